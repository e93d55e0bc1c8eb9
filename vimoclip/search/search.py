"""Search: what in the store is like this? The answer is a list of bouts.

    store = vimoclip.open_store("vimoclip-store")
    store.search(video="site/a.mp4", start_s=1.5, end_s=3.0, by="motion")
    store.search(text="a zebra that grazes", filters=Filters(splits=("val",)), min_percentile=99)

`Search` joins the parts: query.py makes the query, corpus.py holds what is searched, filters.py and ranking.py choose
from it, and results.py holds the answer.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from schemas.labels import Span
from schemas.segments import Space
from vimoclip.bouts import Bout, bouts
from vimoclip.config.store import RunConfig
from vimoclip.errors import SearchError, UsageError
from vimoclip.search.corpus import Corpus, Rows
from vimoclip.search.filters import Filters, matching
from vimoclip.search.options import By, Exclude, SearchOptions, Unit
from vimoclip.search.query import (
    MeanOf,
    Query,
    QuerySource,
    from_clip,
    from_image,
    from_label,
    from_span,
    from_text,
    from_vector,
    text_tower,
)
from vimoclip.search.ranking import Candidates, RandomPairBaseline, Weights, rankings
from vimoclip.search.results import Hit, Hits
from vimoclip.store.labels import label_spans, labels_at

if TYPE_CHECKING:
    from vimoclip.models.clip_text import TextTower
    from vimoclip.store.feature_store import FeatureStore

_BACKGROUNDS = 32
"""How many are kept, of 1 MB each: whole videos of other lengths have others."""


class Search:
    """Searches one snapshot; what it reads once serves every later query. `store.search` is one.

    Call it with exactly one query: `video`, whole or from `start_s` to `end_s`; `clip` or `image`, a file; `text`;
    `label`; or `vector`.
    """

    def __init__(self, store: "FeatureStore") -> None:
        self._store = store
        self._backgrounds: dict[tuple[Unit, tuple[tuple[str, float], ...], MeanOf], RandomPairBaseline] = {}
        self._towers: dict[RunConfig, TextTower] = {}

    def __call__(
        self,
        *,
        video: str | None = None,
        start_s: float | None = None,
        end_s: float | None = None,
        clip: str | Path | None = None,
        image: str | Path | None = None,
        text: str | None = None,
        label: str | None = None,
        vector: ArrayLike | None = None,
        by: By = "appearance",
        weights: Mapping[Space, float] | None = None,
        top: int = 10,
        min_percentile: float = 0.0,
        exclude: Exclude = "span",
        unit: Unit = "segments",
        filters: Filters | None = None,
        run: RunConfig | None = None,
    ) -> Hits:
        """Find the `top` bouts that are most like the query.

        Args:
            video: the id of a stored video.
            start_s: where the span of the video starts, in seconds; None is its beginning.
            end_s: where it ends; None is its end.
            clip: the path of a video file.
            image: the path of an image file.
            text: a description of what is seen.
            label: a label of the store.
            vector: D numbers, in the space `by`.
            by: see `SearchOptions`, as for the next four.
            weights: of the spaces, for `mix`.
            top: how many bouts.
            min_percentile: the least percentile of a hit.
            exclude: what of a stored query's own video is not an answer.
            unit: what bouts are made of: the segments of `vimoclip index`, or single frames.
            filters: which segments may be an answer.
            run: where models compute.

        Raises:
            UsageError: not exactly one query, or options that contradict it.
            UnknownVideoError: the video is not in the store.
            VideoError: the clip cannot be decoded.
            SearchError: the store lacks what is asked for, or a filter matches nothing.
            ModelError: a model cannot be loaded.
            CheckpointError: the model of the behaviour space cannot be read.
            StoreError: the store cannot be read.
        """
        answers = SearchOptions(by, weights, top, min_percentile, exclude)
        asked = {"video": video, "clip": clip, "image": image, "text": text, "label": label, "vector": vector}
        kind = _one({name: value for name, value in asked.items() if value is not None})
        if kind != "video" and (start_s is not None or end_s is not None):
            raise UsageError("Only a stored video is searched for by a span.", received=f"a span, and {kind}")
        corpus = self.corpus if unit == "segments" else self.frames
        self._check_spaces(kind, corpus, answers)
        query = self._query(kind, asked[kind], (start_s, end_s), corpus, answers, run or RunConfig())
        return self._find(query, corpus, answers, filters or Filters())

    @functools.cached_property
    def corpus(self) -> Corpus:
        """The segments.

        Raises:
            SearchError: the store has none.
        """
        return Corpus(self._store)

    @functools.cached_property
    def frames(self) -> Corpus:
        """The single frames."""
        from vimoclip.search.corpus import FrameCorpus

        return FrameCorpus(self._store)

    def _find(self, query: Query, corpus: Corpus, answers: SearchOptions, filters: Filters) -> Hits:
        """Find the bouts that are most like a finished query."""
        weights: Weights = {
            str(space): weight for space, weight in answers.space_weights().items() if space in query.vectors
        }
        if not weights:
            raise SearchError(
                f"{query.about} has no {' or '.join(answers.space_weights())} to compare.",
                hint="The first frame of a video has no motion; search with --by appearance.",
            )
        background = self._background(query, corpus, weights)
        candidates = Candidates(
            matching(self._videos, corpus, self._spans, filters) if filters.given else None,
            _own_rows(corpus, query.own, answers.exclude),
            background.least(answers.min_percentile),
        )
        if not (searched := candidates.count(corpus)):
            raise SearchError(
                f"Besides what is searched for there is no {corpus.unit[:-1]} to find.",
                hint="Take a shorter span or a wider filter, ingest more videos, or give --exclude nothing.",
            )
        for ranking in rankings(corpus, query, weights, answers.top, candidates):
            found, enough = bouts(ranking.hits(corpus), answers.top)
            if enough:
                break
        return Hits(
            query=query.about,
            by=dict(weights),
            found=tuple(self._hit(bout, corpus, background) for bout in found),
            searched=searched,
            exact=ranking.exact,
            closest=None if ranking.best is None else (ranking.best, background.percentile(ranking.best)),
            notes=tuple(corpus.notes),
            unit=corpus.unit,
        )

    def _check_spaces(self, kind: str, corpus: Corpus, answers: SearchOptions) -> None:
        """Refuse spaces that the store or the query does not have."""
        has = corpus.settings.names
        for space in answers.space_weights():
            if kind in ("text", "image") and space != "appearance":
                raise UsageError(
                    f"A still {kind} has no motion."
                    if kind == "image"
                    else "A text is compared with appearance alone.",
                    received=f"--by {answers.by}",
                    expected="--by appearance",
                )
            if space not in has:
                raise self._no_space(space, corpus, answers.by)
        if kind == "vector" and answers.by == "mix":
            raise UsageError("A vector is of one space.", received="--by mix", expected=" or ".join(has))

    def _no_space(self, space: Space, corpus: Corpus, by: str) -> SearchError:
        makes = "FEATURE` makes it, from a feature that `vimoclip features` lists."
        if space == "behaviour":
            makes = "RUN` makes it, by the model of a finished `vimoclip train-fusion`."
        what = f"The {corpus.unit} of {self._store.place} have no {space}."
        if corpus.lost and space == "behaviour":
            what = "The behaviour of the segments is stale: a feature that its model reads has changed since."
        hint = f"`vimoclip index --{space} {makes}"
        if corpus.unit == "frames" and space == "behaviour":
            hint = "Behaviour is of several frames: search among segments, without --unit frames."
        return SearchError(what, received=f"--by {by}", expected=" or ".join(corpus.settings.names), hint=hint)

    def _query(
        self,
        kind: str,
        value: Any,
        span: tuple[float | None, float | None],
        corpus: Corpus,
        answers: SearchOptions,
        run: RunConfig,
    ) -> Query:
        store, spaces = self._store, list(answers.space_weights())
        if kind == "video":
            return from_span(store, corpus, spaces, value, *span)
        if kind == "label":
            return from_label(corpus, self._spans, spaces, value)
        if kind == "vector":
            return from_vector(corpus, spaces[0], value)

        if kind == "clip":
            return from_clip(store, corpus, spaces, Path(value), run)
        if kind == "image":
            return from_image(store, corpus.settings, Path(value), run)
        if run not in self._towers:
            self._towers[run] = text_tower(store, corpus.settings, run)
        return from_text(self._towers[run], value)

    @functools.cached_property
    def _spans(self) -> dict[str, list[Span]]:
        return label_spans(self._store)

    @functools.cached_property
    def _videos(self) -> pl.DataFrame:
        return self._store.videos()

    def _background(self, query: Query, corpus: Corpus, weights: Weights) -> RandomPairBaseline:
        if query.others is not None:
            return RandomPairBaseline(corpus, weights, query.others)
        key = corpus.unit, tuple(sorted(weights.items())), query.mean_of
        if key not in self._backgrounds:
            if len(self._backgrounds) >= _BACKGROUNDS:
                self._backgrounds.pop(next(iter(self._backgrounds)))
            self._backgrounds[key] = RandomPairBaseline(corpus, weights, mean_of=query.mean_of)
        return self._backgrounds[key]

    def _hit(self, bout: Bout, corpus: Corpus, background: RandomPairBaseline) -> Hit:
        video_id = corpus.video_ids[bout.key]
        return Hit(
            video_id=video_id,
            start_s=bout.start_s,
            end_s=bout.end_s,
            score=bout.score,
            percentile=background.percentile(bout.score),
            labels=labels_at(self._spans, video_id, bout.start_s, bout.end_s),
            best_s=(float(corpus.start_s[bout.row]), float(corpus.end_s[bout.row])),
            split=corpus.splits[bout.key],
            path=(file := corpus.file(bout.key)).path,
            file=file,
        )


def _own_rows(corpus: Corpus, own: QuerySource | None, exclude: Exclude) -> Rows:
    """The rows that are no answer because the query is made from them."""
    if own is None or exclude == "nothing":
        return np.empty(0, np.int64)
    rows = corpus.of_video(corpus.video_numbers[own.video_id])
    own_rows = np.arange(rows.start, rows.stop)
    if exclude == "video":
        return own_rows
    return own_rows[(corpus.end_s[rows] > own.start_s) & (corpus.start_s[rows] < own.end_s)]


def _one(asked: dict[str, Any]) -> str:
    if len(asked) != 1:
        raise UsageError(
            "Search for one thing at a time." if asked else "Nothing to search for was given.",
            received=", ".join(asked) or "no query",
            expected="one of a video, clip, image, text, label or vector",
        )
    return next(iter(asked))
