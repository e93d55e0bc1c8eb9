"""What is searched for, as vectors: spans and videos of the store, labels, vectors. None of them needs a model, but for
the behaviour of a span or video, which goes through the model of that space.

Queries from outside of the store are in outside.py.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from schemas.segments import SegmentSettings, Space
from vimoclip.errors import SearchError, UnknownVideoError
from vimoclip.frames import FrameVectors, columns_of, vectors
from vimoclip.search.corpus import Corpus
from vimoclip.search.cosine import unit
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.labels import LabelSpan
from vimoclip.windows import mean_direction

_ROUNDED_S = 0.01
"""By so much a span may end after its video: hits are shown to two decimals."""

Kind = Literal["span", "video", "clip", "image", "text", "label", "vector"]


@dataclass(frozen=True)
class Own:
    """The stretch of a stored video that a query is made of."""

    video_id: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Query:
    """What is searched for. about: in words. vectors: by space, fp32 (D,) of unit length; a space in which it has none
    is not there.

    own: where it is from, if it is of the store. others: for a text, unit vectors (m, D) of other texts, against which
    its cosines are held.
    """

    kind: Kind
    about: str
    vectors: Mapping[str, NDArray[np.float32]]
    own: Own | None = None
    others: NDArray[np.float32] | None = field(default=None, compare=False)


def check_video(store: FeatureStore, corpus: Corpus, video_id: str) -> int:
    """The number of a video that is in.

    Raises:
        UnknownVideoError: it is not; naming the nearest.
    """
    if (number := corpus.video_numbers.get(video_id)) is not None:
        return number
    status = next((row.status for row in store.rows() if row.video_id == video_id), None)
    near = difflib.get_close_matches(video_id, corpus.video_ids, n=3, cutoff=0.4)
    raise UnknownVideoError(
        "The store holds no such video."
        if status is None
        else f"This video has no frames in the store: it is {status}.",
        received=video_id,
        expected=" or ".join(near) if near else "an id that `vimoclip status --videos` lists",
        hint="A file that is not in the store is searched for with --clip.",
    )


def of_span(
    store: FeatureStore,
    corpus: Corpus,
    spaces: Collection[Space],
    video_id: str,
    start_s: float | None = None,
    end_s: float | None = None,
) -> Query:
    """The mean direction of a video's frames in [start_s, end_s), or of all of them; their behaviour is what the model
    makes of them as one segment.

    Raises:
        UnknownVideoError. SearchError: the span is none of the video, or holds no frame. CheckpointError.
    """
    duration = corpus.durations[check_video(store, corpus, video_id)]
    features = {space: corpus.settings.spaces[space].feature for space in spaces if space != "behaviour"}
    read = read_by(corpus.settings, spaces)
    rows = store.sequence(video_id, list(dict.fromkeys(["time_s", *features.values(), *columns_of(read)])))
    time_s = rows["time_s"].to_numpy()
    length = float(time_s[-1]) if duration is None else duration
    whole = start_s is None and end_s is None
    start, end = start_s or 0.0, length if end_s is None else end_s
    if not 0 <= start < end or start >= length or end > length + _ROUNDED_S:
        raise SearchError(
            f"The span lies outside of {video_id}." if 0 <= start < end else "This is no span.",
            received=f"from {start:g} s to {end:g} s",
            expected=f"0 <= from < to <= {length:.3f} s",
        )
    first, last = np.searchsorted(time_s, [start - 1e-6, end - 1e-6])
    if first == last:  # between two frames: the one that is shown there
        first, last = max(0, first - 1), max(1, first)
    found = {}
    for space, feature in features.items():
        values = vectors(rows[feature])[first:last].astype(np.float64)
        mean = mean_direction(values[~np.isnan(values[:, 0])].sum(axis=0))
        if mean is not None:
            found[str(space)] = mean.astype(np.float32)
    if read:
        (z,) = corpus.pool([FrameVectors.stored(rows.slice(first, last - first), read)])
        if z is not None:
            found["behaviour"] = z
    about = video_id if whole else f"{video_id} from {start:.2f} s to {end:.2f} s"
    return Query("video" if whole else "span", about, found, Own(video_id, start, end))


def read_by(settings: SegmentSettings, spaces: Collection[Space]) -> list[str]:
    """The features that the model of the behaviour space reads, where that is one of the spaces."""
    if settings.behaviour is None or "behaviour" not in spaces:
        return []
    return [made.feature for made in settings.behaviour.reads.values()]


def of_vector(corpus: Corpus, space: Space, values: ArrayLike) -> Query:
    """A vector (D,) of the feature that the space is made from, or of the behaviour space; of any length.

    Raises:
        SearchError: it is none.
    """
    dim = corpus.dim(space)
    of = "the behaviour space" if space == "behaviour" else corpus.settings.spaces[space].feature
    try:
        array = np.asarray(values, np.float64)
    except (ValueError, TypeError) as error:
        raise SearchError("This is no vector.", received=str(error), expected=f"{dim} numbers") from error
    direction = unit(array) if array.shape == (dim,) else None
    if direction is None:
        raise SearchError(
            f"This is no vector of {of}.",
            received=f"shape {array.shape}" if array.shape != (dim,) else "zeros, or what is not finite",
            expected=f"{dim} finite numbers, not all zero",
        )
    return Query("vector", f"a vector of {of}", {space: direction})


def of_label(corpus: Corpus, spans: Mapping[str, Sequence[LabelSpan]], spaces: Iterable[Space], label: str) -> Query:
    """The prototype of a label: the mean direction of the segments that have it (see label_spans.py).

    Raises:
        SearchError: the store has no such label, or no segment has it.
    """
    known = sorted({span.label for own in spans.values() for span in own})
    if label not in known:
        near = difflib.get_close_matches(label, known, n=3, cutoff=0.4) or known[:5]
        raise SearchError(
            "The store has no such label.",
            received=label,
            expected=" or ".join(near) if near else "a label, of which the store has none",
            hint="`vimoclip status` lists them; what is not labelled can be searched for with --text.",
        )
    held = np.zeros(len(corpus), np.bool_)
    for video_id, own in spans.items():
        if (video := corpus.video_numbers.get(video_id)) is not None:
            rows = corpus.of_video(video)
            for span in own:
                if span.label == label:
                    held[rows] |= span.held_by(corpus.start_s[rows], corpus.end_s[rows])
    rows_held = np.flatnonzero(held)
    found = {}
    for space in spaces:
        mean = mean_direction(np.nansum(corpus.unit_vectors(space, rows_held), axis=0, dtype=np.float64))
        if mean is not None:
            found[str(space)] = mean.astype(np.float32)
    if not found:
        raise SearchError(f"No segment has the label {label}.", hint="Its spans may lie past the ends of the videos.")
    return Query("label", f"label {label}, of {len(rows_held)} segments", found)
