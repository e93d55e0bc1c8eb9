"""Findings that nobody found, to look at a page without a demo."""

import numpy as np

from pipelines.ablate import PAPER, ROWS
from pipelines.demo.costs import Cost
from pipelines.demo.hard_pairs import HardPair, PairAccuracy, overall
from pipelines.demo.report import WITH, WITHOUT, HitStrip, Picture, ReportData, Row, SearchShown, StepCost, compared
from pipelines.demo.steps import SearchTarget
from schemas.labels import Span
from vimoclip.config.fusion import HEADS
from vimoclip.savannah import PAIRS
from vimoclip.search.results import Hit, data_uris

DURATION_S = 12.0


def pictures(count: int, words: str = "a zebra") -> list[Picture]:
    """Grey, each a little lighter."""
    frames = [np.full((108, 144, 3), 90 + 20 * n, np.uint8) for n in range(count)]
    return [Picture(uri, f"{words}, at {n} s", 144, 108) for n, uri in enumerate(data_uris(frames))]


def findings(
    words: str = "A zebra is walking through grassland at noon under a clear sky.", seeds: int = 1
) -> ReportData:
    """With the words wherever a store's own text is shown."""
    pairs = [
        HardPair(one, other, 8, {WITHOUT: PairAccuracy(4 + n % 2, 8), WITH: PairAccuracy(7.5, 8)})
        for n, (one, other) in enumerate(PAIRS)
    ]
    half = None if seeds == 1 else 0.021
    rows = [
        Row(fusion, HEADS[fusion].title, m, half and m - half, half and m + half, seeds, PAPER[fusion])
        for fusion, m in zip(ROWS, (0.612, 0.701, 0.733, 0.752, 0.784), strict=True)
    ]
    spans = [
        Span("walking", 0, 2),
        Span("standing", 2, 3),
        Span("lying down", 3, 4),
        Span("resting", 4, 6),
        Span("chasing", 6, 12),
    ]
    bouts = [{"label": "walking", "start_s": 0.0, "end_s": 2.25}, {"label": "chasing", "start_s": 5.75, "end_s": 12.0}]
    costs = Cost("vimoclip index --store demo/store", 75.25, 1_234_567_890, "2025-01-01T00:00:00+00:00", True)
    return ReportData(
        clips=120, minutes=2.9, peak_bytes=1_234_567_890, world=pictures(4, words), train_clips=72, held_out="val",
        held_out_clips=24, rows=rows, pairs=pairs, told=overall(pairs),
        searches=[_search("By a second of a clip, in motion", words, 4), _search(f"By words: {words}", words, 0)],
        film=compared(DURATION_S, spans, {"bouts": bouts}), film_pictures=pictures(6, words),
        film_line="vimoclip predict demo/film.mp4", steps=[StepCost("render", words, costs), StepCost("index", words,
        costs)], status={
            "videos": {"ok": 120}, "frames": 5760, "hours": 0.0667, "bytes": 31_400_000,
            "splits": {"train": 72, words: 48}, "labels": {words: 10},
            "features": [{"name": "clip", "model": words, "dim": 128, "training": "trained"}],
        },
        versions={"vimoclip": "0.1.0"}, machine="Linux x86_64, Python 3.11.7", cores=2, at="2025-01-01 00:00 UTC",
    )  # fmt: skip


def _search(title: str, words: str, asked: int) -> SearchShown:
    hit = Hit("clip-0001.mp4", 0.0, 2.0, 0.91, 99.4, ("walking", words), (0.0, 2.0), "train", "/nowhere.mp4")
    hits = [HitStrip(hit, words, pictures(4, words)) for _ in range(4)]
    sought = SearchTarget(title, "walking", "clip-0003.mp4", 0.5, 1.5)
    return SearchShown(sought, f"vimoclip search {words}", pictures(asked, words), hits, 240)
