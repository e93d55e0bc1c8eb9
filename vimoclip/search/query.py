"""What is searched for, as vectors: spans, videos and labels of the store, vectors, and clips, images and texts.

What is in the store needs no model, but for the behaviour of a span or video, which goes through the model of that
space. Clips, images and texts are embedded as the store's own frames were, by the models of its features. Those load
torch, so they are imported inside the functions, and a search by a span does not wait for them.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas.labels import Span
from schemas.segments import SegmentSettings, Space
from vimoclip.config.store import RunConfig
from vimoclip.errors import SearchError, SettingsError, UnknownVideoError, VideoError, require_known
from vimoclip.frames import FrameBatch, VideoDone, VideoFailed, VideoJob, VideoReset, frame_columns
from vimoclip.search.corpus import Corpus
from vimoclip.search.cosine import unit
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.labels import held_by
from vimoclip.store.video_names import known_id, suggestion
from vimoclip.windows import CLOCK_S, frames_in, mean_direction, vector_sum

if TYPE_CHECKING:
    from vimoclip.models.clip_text import TextTower

_ROUNDED_S = 0.01
"""How far a span may end after its video, in seconds: hits are shown to two decimals."""

Kind = Literal["span", "video", "clip", "image", "text", "label", "vector"]


@dataclass(frozen=True)
class QuerySource:
    """The part of a stored video that a query is made from, in seconds, with every frame that it was made from."""

    video_id: str
    start_s: float
    end_s: float


class MeanOf(NamedTuple):
    """What of a corpus a query is the mean of, as far as chance depends on it: see `RandomPairBaseline`.

    Attributes:
        runs: how many runs of rows that follow each other in a video.
        rows: how many rows a run has, on average.
    """

    runs: int = 1
    rows: int = 1


ONE_ROW = MeanOf()


@dataclass(frozen=True)
class Query:
    """What is searched for.

    Attributes:
        kind: what it was made from.
        about: the query in words.
        vectors: by space, fp32 (D,) of unit length; without the spaces in which the query has none.
        own: where it comes from, if it comes from the store.
        others: for a text, unit vectors (m, D) of everyday texts, with which its cosines are compared.
        mean_of: the rows that it is the mean of, or as long as; a single one where that is not known.
    """

    kind: Kind
    about: str
    vectors: Mapping[str, NDArray[np.float32]]
    own: QuerySource | None = None
    others: NDArray[np.float32] | None = field(default=None, compare=False)
    mean_of: MeanOf = ONE_ROW


def check_video(store: FeatureStore, corpus: Corpus, video_id: str) -> str:
    """Return the id of a video in a corpus as it is stored.

    Raises:
        UnknownVideoError: the video is not in the store, or has no frames; names the nearest.
    """
    if (found := known_id(video_id, corpus.video_numbers)) is not None:
        return found
    rows = {row.video_id: row.status for row in store.rows()}
    status = rows.get(known_id(video_id, rows) or "")
    raise UnknownVideoError(
        "The store holds no such video."
        if status is None
        else f"This video has no frames in the store: it is {status}.",
        **suggestion(
            video_id,
            corpus.video_ids,
            "an id that `vimoclip status --videos` lists",
            "A file that is not in the store is searched for with --clip.",
        ),
    )


def from_span(
    store: FeatureStore,
    corpus: Corpus,
    spaces: Collection[Space],
    video_id: str,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Query:
    """Make a query from a stored video, or a span of it.

    Its vectors are the mean directions of its frames; its behaviour is what the model makes of them as one segment. A
    span that lies between two stored frames is made from the nearest.

    Args:
        store: the snapshot.
        corpus: what is searched.
        spaces: those to compare in.
        video_id: the video.
        start_s: where the span starts, in seconds; None is the beginning.
        end_s: where it ends, exclusive; None is the end.

    Raises:
        UnknownVideoError: the video is not in the store.
        SearchError: the span lies outside of the video, or is empty.
        CheckpointError: the model of the behaviour space cannot be read.
    """
    video_id = check_video(store, corpus, video_id)
    duration = corpus.durations[corpus.video_numbers[video_id]]
    features = {space: corpus.settings.spaces[space].feature for space in spaces if space != "behaviour"}
    read = read_by(corpus.settings, spaces)
    needed = list(dict.fromkeys([*features.values(), *read]))
    frames = FrameBatch.from_arrow(video_id, store.sequence(video_id, frame_columns(needed)), needed)
    time_s = frames.time_s
    length = float(time_s[-1]) if duration is None else duration
    whole = start_s is None and end_s is None
    start, end = start_s or 0.0, length if end_s is None else end_s
    if not 0 <= start < end or start >= length or end > length + _ROUNDED_S:
        raise SearchError(
            f"The span lies outside of {video_id}." if 0 <= start < end else "This is not a span.",
            received=f"from {start:g} s to {end:g} s",
            expected=f"0 <= from < to <= {length:.3f} s",
        )
    first, last = frames_in(time_s, start, end)
    found = {}
    for space, feature in features.items():
        mean = mean_direction(vector_sum(frames[first:last].features[feature]))
        if mean is not None:
            found[str(space)] = mean.astype(np.float32)
    if read:
        (z,) = corpus.pool([frames[first:last]])
        if z is not None:
            found["behaviour"] = z
    about = video_id if whole else f"{video_id} from {start:.2f} s to {end:.2f} s"
    own = QuerySource(video_id, start, end)
    near = float(time_s[first])
    if not start - CLOCK_S <= near < end:  # a frame outside of the span, which must not be an answer either
        own = QuerySource(video_id, min(start, near), max(end, float(np.nextafter(near, np.inf))))
    mean_of = MeanOf(rows=corpus.rows_of(end - start, last - first))
    return Query("video" if whole else "span", about, found, own, mean_of=mean_of)


def read_by(settings: SegmentSettings, spaces: Collection[Space]) -> list[str]:
    """List the features that the model of the behaviour space reads, where that is one of the spaces."""
    if settings.behaviour is None or "behaviour" not in spaces:
        return []
    return [made.feature for made in settings.behaviour.reads.values()]


def from_vector(corpus: Corpus, space: Space, values: ArrayLike) -> Query:
    """Make a query from a vector of any length.

    Args:
        corpus: what is searched.
        space: the vector belongs to the feature that this space is made from, or to the behaviour space.
        values: D numbers.

    Raises:
        SearchError: it is not a vector of that space.
    """
    dim = corpus.dim(space)
    of = "the behaviour space" if space == "behaviour" else corpus.settings.spaces[space].feature
    try:
        array = np.asarray(values, np.float64)
    except (ValueError, TypeError) as error:
        raise SearchError("This is not a vector.", received=str(error), expected=f"{dim} numbers") from error
    direction = unit(array) if array.shape == (dim,) else None
    if direction is None:
        raise SearchError(
            f"This is not a vector of {of}.",
            received=f"shape {array.shape}" if array.shape != (dim,) else "zeros, or what is not finite",
            expected=f"{dim} finite numbers, not all zero",
        )
    return Query("vector", f"a vector of {of}", {space: direction})


def from_label(corpus: Corpus, spans: Mapping[str, Sequence[Span]], spaces: Iterable[Space], label: str) -> Query:
    """Make a query from a label: the mean direction of the segments that have it (see vimoclip/store/labels.py).

    Args:
        corpus: what is searched.
        spans: labels by video_id.
        spaces: those to compare in.
        label: its name.

    Raises:
        SearchError: the store has no such label, or no segment has it.
    """
    known = sorted({span.label for own in spans.values() for span in own})
    hint = "`vimoclip status` lists them; what is not labelled can be searched for with --text."
    (label,) = require_known("label", [label], known, SearchError, hint=hint)
    held = np.zeros(len(corpus), np.bool_)
    for video_id, own in spans.items():
        if (video := corpus.video_numbers.get(video_id)) is not None:
            rows = corpus.of_video(video)
            for span in own:
                if span.label == label:
                    held[rows] |= held_by(span, corpus.start_s[rows], corpus.end_s[rows])
    rows_held = np.flatnonzero(held)
    found = {}
    for space in spaces:
        mean = mean_direction(np.nansum(corpus.unit_vectors(space, rows_held), axis=0, dtype=np.float64))
        if mean is not None:
            found[str(space)] = mean.astype(np.float32)
    if not found:
        raise SearchError(f"No segment has the label {label}.", hint="Its spans may lie past the ends of the videos.")
    runs = 1 + int(np.count_nonzero((np.diff(rows_held) > 1) | (np.diff(corpus.video[rows_held]) != 0)))
    mean_of = MeanOf(runs, max(1, round(len(rows_held) / runs)))
    return Query("label", f"label {label}, of {len(rows_held)} segments", found, mean_of=mean_of)


def from_clip(store: FeatureStore, corpus: Corpus, spaces: Collection[Space], path: Path, run: RunConfig) -> Query:
    """Make a query from a video file, decoded, sampled and embedded with the store's settings.

    Its vectors are the mean directions of its frames; its behaviour is what the model makes of them as one segment, for
    which the vectors of all frames are in memory.

    Args:
        store: the snapshot.
        corpus: what is searched.
        spaces: those to compare in.
        path: of the file.
        run: where to compute.

    Raises:
        VideoError: the file cannot be decoded.
        SearchError: there is no such file, or it cannot be embedded here.
        SettingsError: the weights are not those of the store's features.
        ModelError: a model cannot be loaded.
        CheckpointError: the model of the behaviour space cannot be read.
    """
    if not path.is_file():
        raise SearchError("There is no such file.", received=path, expected="a video file")
    means = {space: store.features[corpus.settings.spaces[space].feature] for space in spaces if space != "behaviour"}
    read = read_by(corpus.settings, spaces)
    features = {feature.name: feature for feature in (*means.values(), *(store.features[name] for name in read))}
    from vimoclip.embedding.worker import worker_for

    worker = worker_for(store, list(features.values()), run)
    parts: list[FrameBatch] = []
    sums: dict[str, NDArray[np.float64]] = {}
    frames, duration_s = 0, 0.0
    for event in worker.embed([VideoJob(path.name, str(path.absolute()))]):
        if isinstance(event, VideoFailed):
            raise VideoError(event.kind, event.message)
        if isinstance(event, VideoReset):
            sums, parts, frames = {}, [], 0
        if isinstance(event, FrameBatch):
            frames += len(event)
            for space, feature in means.items():
                total = vector_sum(event.features[feature.name])
                sums[space] = sums.get(space, np.zeros(feature.dim)) + total
            if read:
                parts.append(event)
        if isinstance(event, VideoDone):
            duration_s = event.info.duration_s
            break
    directions = {space: mean_direction(total) for space, total in sums.items()}
    vectors = {space: mean.astype(np.float32) for space, mean in directions.items() if mean is not None}
    if parts:
        (z,) = corpus.pool([FrameBatch.concat(parts)])
        if z is not None:
            vectors["behaviour"] = z
    mean_of = MeanOf(rows=corpus.rows_of(duration_s, frames))
    return Query("clip", f"the clip {path.name}", vectors, mean_of=mean_of)


def from_image(store: FeatureStore, settings: SegmentSettings, path: Path, run: RunConfig) -> Query:
    """Make a query from an image, embedded as a frame of the feature that appearance is made from.

    Args:
        store: the snapshot.
        settings: of the segments.
        path: of the image.
        run: where to compute.

    Raises:
        SearchError: the image cannot be read.
        SettingsError: the weights are not those of the store's feature.
        ModelError: the model cannot be loaded.
    """
    import PIL.Image
    import PIL.ImageOps

    from vimoclip.device import pick_device, set_threads
    from vimoclip.embedding.worker import OTHER_WEIGHTS, tower_config
    from vimoclip.models.backbones import load_backbone

    try:
        with PIL.Image.open(path) as image:
            frame = np.array(PIL.ImageOps.exif_transpose(image).convert("RGB"))
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError) as error:
        raise SearchError(
            "The image cannot be read.", received=f"{path}: {error}", expected="a JPEG, PNG or other image"
        ) from error
    feature = store.features[settings.spaces["appearance"].feature]
    set_threads(run)
    tower = load_backbone(tower_config(store, feature), pick_device(run.device))
    if tower.weights_sha256 != feature.weights_sha256:
        raise SettingsError(
            f"The image would not be a frame of the store's feature {feature.name}.",
            received=f"weights {tower.weights_sha256[:16]}",
            expected=f"weights {feature.weights_sha256[:16]}",
            hint=OTHER_WEIGHTS,
        )
    z = unit(tower(tower.resize(frame[None], 1.0))[0].cpu().numpy())
    if z is None:
        raise SearchError("The model gives this image no vector.", received=path)
    return Query("image", f"the image {path.name}", {"appearance": z})


def from_text(tower: "TextTower", words: str) -> Query:
    """Make a query from a text, which is compared as a frame that it describes would be.

    Its cosines must be higher than those of everyday texts, the query's `others`.

    Args:
        tower: from `text_tower`.
        words: the text.

    Raises:
        SearchError: the text is empty.
        ModelError: the text cannot be embedded.
    """
    if not words.strip():
        raise SearchError("The text is empty.", received=repr(words), expected="words, such as 'a zebra that grazes'")
    from vimoclip.models.clip_text import BASELINE_PROMPTS

    found = tower([words.strip(), *BASELINE_PROMPTS])
    return Query("text", f"“{words.strip()}”", {"appearance": found[0]}, others=found[1:])


def text_tower(store: FeatureStore, settings: SegmentSettings, run: RunConfig) -> "TextTower":
    """Load the text tower of the feature that appearance is made from.

    Args:
        store: the snapshot.
        settings: of the segments.
        run: where to compute.

    Raises:
        ModelError: the model has no text tower, or cannot be loaded.
        SettingsError: its weights are not those of the store's feature.
    """
    from vimoclip.device import pick_device, set_threads
    from vimoclip.embedding.worker import tower_config
    from vimoclip.models.clip_text import TextTower

    feature = store.features[settings.spaces["appearance"].feature]
    set_threads(run)
    tower = TextTower(tower_config(store, feature), pick_device(run.device))
    tower.check(feature)
    return tower
