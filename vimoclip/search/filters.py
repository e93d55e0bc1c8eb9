"""Which segments may be an answer: by label, split, metadata, and the name of their video.

A filter never becomes text of a query. It is a mask over the rows that are in memory, so that no label, value or name
can mean anything but itself.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.labels import Span
from vimoclip.errors import SearchError, names_it, nearest, require_known
from vimoclip.search.corpus import Corpus
from vimoclip.store.labels import held_by
from vimoclip.store.video_names import match_ids


@dataclass(frozen=True)
class Filters:
    """What an answer must satisfy: all of these fields, and of a field with several values any one.

    Labels, splits and ids are found in any spelling: see `vimoclip.errors.spellings`.

    Attributes:
        labels: the segment has such a label (see vimoclip/store/labels.py).
        without: the segment has no such label.
        splits: of its video.
        where: by column of `FeatureStore.videos()`, metadata included, the values it may have, compared as text.
        videos: ids, or patterns of ids, as `vimoclip.store.video_names.match_ids` reads them.
    """

    labels: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    where: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    videos: tuple[str, ...] = ()

    @property
    def given(self) -> bool:
        """Whether there is any condition."""
        return bool(self.labels or self.without or self.splits or self.where or self.videos)


def matching(
    videos: pl.DataFrame, corpus: Corpus, spans: Mapping[str, list[Span]], filters: Filters
) -> NDArray[np.bool_]:
    """Find the rows of a corpus that match.

    Args:
        videos: `FeatureStore.videos()`.
        corpus: what is searched.
        spans: labels by video_id.
        filters: the conditions.

    Returns:
        bool (n,).

    Raises:
        SearchError: the store has no such label, split or column, or nothing matches.
    """
    ids = _videos(videos, filters)
    known = sorted({span.label for own in spans.values() for span in own})
    labels = require_known("label", filters.labels, known, SearchError)
    without = require_known("label", filters.without, known, SearchError)
    of_video = np.array([video_id in ids for video_id in corpus.video_ids], np.bool_)
    found = of_video[corpus.video] if len(corpus) else np.zeros(0, np.bool_)
    if labels:
        found &= _have(corpus, spans, labels)
    if without:
        found &= ~_have(corpus, spans, without)
    if not found.any():
        raise SearchError(
            "The filter matches no segment.",
            received=_said(filters),
            hint=_hint(filters, videos["video_id"].to_list()),
        )
    return found


def _videos(frame: pl.DataFrame, filters: Filters) -> set[str]:
    ids = set(frame["video_id"])
    named = {video_id for name in filters.videos for video_id in match_ids(name, ids, SearchError)}
    splits = require_known("split", filters.splits, sorted(set(frame["split"].drop_nulls())), SearchError)
    if splits:
        frame = frame.filter(pl.col("split").is_in(splits))
    columns = require_known("column of videos", filters.where, frame.columns, SearchError)
    for column, values in zip(columns, filters.where.values(), strict=True):
        held = frame[column].cast(pl.String, strict=False).to_list()
        frame = frame.filter(pl.Series([value in values for value in held], dtype=pl.Boolean))
    return named.intersection(frame["video_id"]) if filters.videos else set(frame["video_id"])


def _hint(filters: Filters, ids: list[str]) -> str:
    for name in filters.videos:
        if not match_ids(name, ids, SearchError) and names_it(name, ids):
            return f"Did you mean {nearest(name, ids)}?"
    return "Leave a part of it out; `vimoclip status` counts the videos of each split and label."


def _have(corpus: Corpus, spans: Mapping[str, list[Span]], labels: Iterable[str]) -> NDArray[np.bool_]:
    """Which rows have any of the labels."""
    wanted = set(labels)
    found = np.zeros(len(corpus), np.bool_)
    for video_id, own in spans.items():
        if (video := corpus.video_numbers.get(video_id)) is None:
            continue
        rows = corpus.of_video(video)
        for span in own:
            if span.label in wanted:
                found[rows] |= held_by(span, corpus.start_s[rows], corpus.end_s[rows])
    return found


def _said(filters: Filters) -> str:
    said = [
        f"{what} {' or '.join(values)}"
        for what, values in (
            ("label", filters.labels),
            ("no label", filters.without),
            ("split", filters.splits),
            *filters.where.items(),
            ("video", filters.videos),
        )
        if values
    ]
    return " and ".join(said)
