"""Queries from outside of the store, embedded as the store's own frames were: a clip, an image, a text.

These load a model, and torch with it. Whoever searches by a span of the store needs neither.
"""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from numpy.typing import NDArray

from schemas.features import OWN, Feature
from schemas.segments import SegmentSettings, Space
from vimoclip.config.store import ClipConfig, RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.embedding.events import Embedded, EmbeddedFrames, Failed, Job, Restarted
from vimoclip.embedding.feature_models import Added, added_of
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.errors import SearchError, SettingsError, VideoError
from vimoclip.frames import FrameVectors
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.clip_text import EVERYDAY, TextTower
from vimoclip.search.corpus import Corpus
from vimoclip.search.cosine import unit
from vimoclip.search.query import Query, read_by
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import check_same
from vimoclip.windows import mean_direction

_OTHER = "Its weights have changed since the store was made; put the old ones back."


def of_clip(store: FeatureStore, corpus: Corpus, spaces: Collection[Space], path: Path, run: RunConfig) -> Query:
    """The mean direction of a file's frames, decoded, sampled and embedded with the store's settings; their behaviour
    is what the model makes of them as one segment, for which the vectors of all of them are held.

    Raises:
        VideoError: it cannot be decoded. SearchError: there is no such file, or it cannot be embedded here.
        SettingsError, ModelError, CheckpointError.
    """
    if not path.is_file():
        raise SearchError("There is no such file.", received=path, expected="a video file")
    means = {space: store.features[corpus.settings.spaces[space].feature] for space in spaces if space != "behaviour"}
    read = read_by(corpus.settings, spaces)
    features = {feature.name: feature for feature in (*means.values(), *(store.features[name] for name in read))}
    worker = worker_of(store, list(features.values()), run)
    sums: dict[str, NDArray[np.float64]] = {}
    parts: list[FrameVectors] = []
    for outcome in worker.embed([Job(path.name, str(path.absolute()))]):
        if isinstance(outcome, Failed):
            raise VideoError(outcome.kind, outcome.message)
        if isinstance(outcome, Restarted):
            sums, parts = {}, []
        if isinstance(outcome, EmbeddedFrames):
            for space, feature in means.items():
                found = outcome.features[feature.name]
                total = found.values[found.present].astype(np.float64).sum(axis=0)
                sums[space] = sums.get(space, np.zeros(feature.dim)) + total
            if read:
                parts.append(FrameVectors.made(outcome.features, read))
        if isinstance(outcome, Embedded):
            break
    directions = {space: mean_direction(total) for space, total in sums.items()}
    vectors = {space: mean.astype(np.float32) for space, mean in directions.items() if mean is not None}
    if parts:
        (z,) = corpus.pool([FrameVectors.joined(parts)])
        if z is not None:
            vectors["behaviour"] = z
    return Query("clip", f"the clip {path.name}", vectors)


def of_image(store: FeatureStore, settings: SegmentSettings, path: Path, run: RunConfig) -> Query:
    """An image, as a frame of the feature that appearance is made from.

    Raises:
        SearchError: it cannot be read. SettingsError, ModelError.
    """
    try:
        with PIL.Image.open(path) as image:
            frame = np.array(PIL.ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise SearchError(
            "The image cannot be read.", received=f"{path}: {error}", expected="a JPEG, PNG or other image"
        ) from error
    feature = store.features[settings.spaces["appearance"].feature]
    set_threads(run)
    tower = ClipTeacher(tower_of(store, feature), pick_device(run.device))
    if tower.weights_sha256 != feature.weights_sha256:
        raise SettingsError(
            f"The image would not be a frame of the store's feature {feature.name}.",
            received=f"weights {tower.weights_sha256[:16]}",
            expected=f"weights {feature.weights_sha256[:16]}",
            hint=_OTHER,
        )
    z = unit(tower(tower.resize(frame[None], 1.0))[0].cpu().numpy())
    if z is None:
        raise SearchError("The model gives this image no vector.", received=path)
    return Query("image", f"the image {path.name}", {"appearance": z})


def of_text(tower: TextTower, words: str) -> Query:
    """A text, as a frame that it describes would be, beside everyday ones that it has to be better than.

    Raises:
        SearchError: an empty text. ModelError.
    """
    if not words.strip():
        raise SearchError("This is no text.", received=repr(words), expected="words, such as 'a zebra that grazes'")
    found = tower([words.strip(), *EVERYDAY])
    return Query("text", f"“{words.strip()}”", {"appearance": found[0]}, others=found[1:])


def text_tower(store: FeatureStore, settings: SegmentSettings, run: RunConfig) -> TextTower:
    """The text tower of the feature that appearance is made from.

    Raises:
        ModelError, SettingsError.
    """
    feature = store.features[settings.spaces["appearance"].feature]
    set_threads(run)
    device: torch.device = pick_device(run.device)
    tower = TextTower(tower_of(store, feature), device)
    tower.check(feature)
    return tower


def worker_of(store: FeatureStore, features: list[Feature], run: RunConfig) -> EmbedWorker:
    """What makes these features of the store from files, with the store's settings and by the same weights.

    Raises:
        SettingsError: the weights are others. ModelError. SearchError: motion that was added to the store.
    """
    worker = EmbedWorker(store.config, run, _models(store, features))
    for feature in worker.features:
        if feature.name in {own.name for own in features}:
            check_same(store.features[feature.name], feature, _OTHER)
    return worker


def tower_of(store: FeatureStore, feature: Feature) -> ClipConfig:
    """The settings of an image feature's tower."""
    return Added.of([feature]).towers[feature.name] if feature.added else store.config.clip


def _models(store: FeatureStore, features: list[Feature]) -> Added:
    """The towers that make these features: without motion no flow is computed."""
    towers = {feature.name: tower_of(store, feature) for feature in features if feature.kind == "image"}
    moving = [feature.name for feature in features if feature.kind == "motion"]
    if not moving:
        return Added(towers, alone=True)
    own = {name: config for name, config in towers.items() if name not in OWN}
    return Added(own, students=added_of(store, [feature for feature in features if feature.kind == "motion"]).students)
