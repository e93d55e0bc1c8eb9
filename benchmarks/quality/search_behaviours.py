"""Does search find the species that a text names, and the behaviour that an example shows?

    python -m benchmarks.quality.search_behaviours FOLDER [--clips 600] [--width 128] [--epochs 15]
    python -m benchmarks.quality.search_behaviours --percentiles [--labels 10]

On a rendered savannah with vimoclip-tiny, in FOLDER, which is rendered and ingested where it is not there yet. Half of
the clips of each behaviour, by lot, train a fusion run; the others are asked and searched, so that the behaviour space
has seen neither the examples nor the answers. An example is a labelled span of half a second or more; its own clip is
no answer. precision@10: of the ten best bouts, how many have the example's label where their best segment is. Chance is
the share of the segments that have it. Intervals are over the examples.

--percentiles: made-up stores of 4,000 segments of 512 values, and labels on segments at random, which mean nothing. The
percentile of the segments without the label should be 50 at the median: among random means, as it is now, and among
pairs of single segments, as it was in 0.1.0. Their vectors have one direction in common (`structureless`, pairs have
cosines of 0.3 to 0.8) or are alike within a video too (`places`).
"""

import argparse
import random
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from benchmarks.quality.presets import world
from benchmarks.quality.sentences import ASKED, articled
from benchmarks.speed.vectors import DIM, OF_VIDEO, Array, make_store
from pipelines import index, train_fusion
from pipelines.index import IndexRequest
from pipelines.train_fusion import TrainFusionRequest
from schemas.labels import Span
from vimoclip.api import Store
from vimoclip.config.fusion import fusion_settings
from vimoclip.config.store import RunConfig
from vimoclip.search.corpus import Corpus
from vimoclip.search.filters import Filters
from vimoclip.search.options import Space
from vimoclip.search.query import MeanOf, from_label
from vimoclip.search.ranking import RandomPairBaseline, space_scores
from vimoclip.search.results import Hits
from vimoclip.store.labels import held_by, label_spans, labels_at
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.metrics import Interval, interval, paired
from vimoclip.training.splits import SplitRequest

TOP, SHORTEST_S, LEAST = 10, 0.5, (95.0, 99.0, 99.5, 99.9)
LEARNT, HELD_OUT = "learnt", "asked"
SPACES: tuple[Space, ...] = get_args(Space)
NOTHING = (
    "a red sports car on a motorway", "a cup of coffee on a desk", "a violin concert", "a submarine", "a chessboard",
    "a dentist at work", "a football stadium", "a subway station", "a birthday cake", "a printed circuit board",
)  # fmt: skip
"""Texts of which the savannah shows nothing."""


@dataclass(frozen=True)
class Example:
    """A labelled span of a video."""

    video_id: str
    label: str
    start_s: float
    end_s: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--percentiles", action="store_true", help="of labels that mean nothing")
    parser.add_argument("--labels", type=int, default=10, help="how many of each size, for --percentiles")
    parser.add_argument("--clips", type=int, default=600)
    parser.add_argument("--width", type=int, default=128, help="of TFAM; its feed-forward is four times as wide")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--window", type=float, default=1.0, help="of segments, in seconds; half of it is the stride")
    parser.add_argument("--threads", type=int, default=0)
    asked = parser.parse_args(arguments)
    if (asked.folder is None) != asked.percentiles:
        parser.error("either a folder, or --percentiles")
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    if asked.percentiles:
        percentiles(console, asked.labels)
        return
    run = RunConfig(device="cpu", threads=asked.threads)
    store = made(asked.folder, asked.clips, asked.width, asked.epochs, asked.window, run)
    console.print(f"{len(store.search.corpus)} segments of {asked.window:g} s of {len(store.videos())} clips")
    texts(console, store, run)
    print_examples(console, by_example(store, examples(store)))


def made(folder: Path, clips: int, width: int, epochs: int, window_s: float, run: RunConfig) -> Store:
    """A copy of the world's store in which half of each behaviour is learnt, with all three spaces."""
    where = folder / "halves"
    if not where.is_dir():
        shutil.rmtree(folder / "copying", ignore_errors=True)
        shutil.copytree(world(folder, clips), folder / "copying")
        halve(folder / "copying")
        (folder / "copying").rename(where)
    config = fusion_settings(
        "default",
        {"tfam": {"width": width, "feed_forward": 4 * width}, "training": {"epochs": epochs}},
    )
    trained = train_fusion.run(
        TrainFusionRequest(
            where, config, folder / f"run-{width}-{epochs}", split=SplitRequest(LEARNT, HELD_OUT), run=run
        )
    )
    index.run(IndexRequest(where, window_s, window_s / 2, behaviour=trained.folder, run=run))
    return Store.open(where)


def halve(where: Path) -> None:
    """Put half of the videos of each behaviour, that which they show the longest, by lot into either split."""
    with writer_lock(where):
        store = Store.open(where)
        by_label = defaultdict(list)
        for video_id, spans in sorted(label_spans(store).items()):
            by_label[max(spans, key=lambda span: span.end_s - span.start_s).label].append(video_id)
        splits = dict[str, str]()
        for label in sorted(by_label):
            random.Random(label).shuffle(by_label[label])
            splits |= {video_id: (LEARNT, HELD_OUT)[n % 2] for n, video_id in enumerate(by_label[label])}
        writer = StoreWriter(store)
        for row in store.rows():
            writer.put(replace(row, split=splits.get(row.video_id)))
        writer.flush()


def examples(store: Store) -> list[Example]:
    """The labelled spans of held-out videos that last."""
    held_out = set(store.videos().filter(split=HELD_OUT)["video_id"])
    durations = dict(store.videos().select("video_id", "duration_s").iter_rows())
    found = []
    for video_id, spans in sorted(label_spans(store).items()):
        for span in spans if video_id in held_out else ():
            start_s, end_s = max(0.0, span.start_s), min(span.end_s, durations[video_id])
            if end_s - start_s >= SHORTEST_S:
                found.append(Example(video_id, span.label, start_s, end_s))
    return found


def texts(console: Console, store: Store, run: RunConfig) -> None:
    """Species by text, and texts of what is not there."""
    videos = store.videos()
    rows = videos.select("video_id", "species").iter_rows()
    shows = {video_id: set(re.split(r"\W+", kinds)) for video_id, kinds in rows}
    names = sorted(set[str]().union(*shows.values()))
    words = [articled(ASKED["species"][0].format(name)) for name in names]
    found = [store.search(text=text, top=TOP, run=run) for text in words]
    precisions = [
        sum(name in shows[hit.video_id] for hit in hits) / TOP for name, hits in zip(names, found, strict=True)
    ]
    chance = np.mean([name in kinds for name in names for kinds in shows.values()])
    each = ", ".join(f"{name} {p:.2f}" for name, p in zip(names, precisions, strict=True))
    console.print(f"species by text, precision@{TOP}: {said(interval(precisions))}, chance {chance:.3f}: {each}")
    for least in LEAST:
        shown = sum(1 for text in words if store.search(text=text, min_percentile=least, run=run))
        wrong = [text for text in NOTHING if store.search(text=text, min_percentile=least, run=run)]
        console.print(
            f"--min-percentile {least:g}: {len(names) - shown} of {len(names)} species and "
            f"{len(NOTHING) - len(wrong)} of {len(NOTHING)} texts of what is not there get no match; a match: {wrong}"
        )
    console.print(f"  such as: {store.search(text=NOTHING[0], min_percentile=LEAST[-1], run=run).summary}")


def by_example(store: Store, asked: Sequence[Example]) -> dict[str, dict[str, list[float]]]:
    """precision@TOP of every example by label, in each space and by `chance`."""
    spans, corpus = label_spans(store), store.search.corpus
    among = np.array([split == HELD_OUT for split in corpus.splits])[corpus.video]
    held = held_rows(store, {example.label for example in asked})
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for example in asked:
        others = among & (corpus.video != corpus.video_numbers[example.video_id])
        found[example.label]["chance"].append(float(held[example.label][others].mean()))
        for space in SPACES:
            hits = store.search(
                video=example.video_id,
                start_s=example.start_s,
                end_s=example.end_s,
                by=space,
                top=TOP,
                exclude="video",
                filters=Filters(splits=(HELD_OUT,)),
            )
            found[example.label][space].append(precision(hits, spans, example.label))
    return found


def held_rows(store: Store, labels: set[str]) -> dict[str, np.ndarray]:
    """Which segments have each label."""
    corpus = store.search.corpus
    held = {label: np.zeros(len(corpus), np.bool_) for label in labels}
    for video_id, spans in label_spans(store).items():
        rows = corpus.of_video(corpus.video_numbers[video_id])
        for span in spans:
            if span.label in held:
                held[span.label][rows] |= held_by(span, corpus.start_s[rows], corpus.end_s[rows])
    return held


def precision(hits: Hits, spans: dict[str, list[Span]], label: str) -> float:
    """The share of TOP whose best segment has the label."""
    return sum(label in labels_at(spans, hit.video_id, *hit.best_s) for hit in hits) / TOP


def print_examples(console: Console, found: dict[str, dict[str, list[float]]]) -> None:
    """A line a behaviour, and all together."""
    columns = ["chance", *SPACES]
    table = Table("behaviour", "examples", *columns, title=f"by example, precision@{TOP}", title_justify="left")
    for label in sorted(found):
        own = found[label]
        table.add_row(label, str(len(own["chance"])), *(f"{np.mean(own[name]):.2f}" for name in columns))
    every = {name: [value for label in sorted(found) for value in found[label][name]] for name in columns}
    table.add_section()
    table.add_row("all", str(len(every["chance"])), *(said(interval(every[name])) for name in columns))
    console.print(table)
    for space in SPACES[1:]:
        above = paired(every[space], every["appearance"])
        better = sum(np.mean(own[space]) > np.mean(own["appearance"]) for own in found.values())
        console.print(f"{space} over appearance: {said(above)}; higher in {better} of {len(found)} behaviours")


def percentiles(console: Console, labels: int) -> None:
    """Print the median percentile, among single segments and among means, of segments without a label by chance."""
    table = Table("store", "segments labelled", "before", "now", title="median percentile of the others")
    for name, vectors in MADE_UP.items():
        with tempfile.TemporaryDirectory() as folder:
            corpus = make_store(Path(folder) / "store", vectors(np.random.default_rng(0))).search.corpus
            for count in LABELLED:
                rng = np.random.default_rng(count)
                found = [without_label(corpus, rng.choice(len(corpus), count, replace=False)) for _ in range(labels)]
                before, now = np.mean(found, axis=0)
                table.add_row(name, str(count), f"{before:.1f}", f"{now:.1f}")
    console.print(table)


def without_label(corpus: Corpus, rows: NDArray[np.int64]) -> tuple[float, float]:
    """The median percentile of the rows that do not have a label, among single segments and as a search gives it."""
    spans = defaultdict(list)
    for row in rows.tolist():
        where = Span("nothing", float(corpus.start_s[row]), float(corpus.end_s[row]))
        spans[corpus.video_ids[corpus.video[row]]].append(where)
    query, weights = from_label(corpus, spans, ("appearance",), "nothing"), {"appearance": 1.0}
    others = np.setdiff1d(np.arange(len(corpus)), rows)
    middle = float(np.median(space_scores(corpus, query, weights, others)))
    found = [RandomPairBaseline(corpus, weights, mean_of=mean_of) for mean_of in (MeanOf(), query.mean_of)]
    before, now = (baseline.percentile(middle) or 0.0 for baseline in found)
    return before, now


def structureless(rng: np.random.Generator) -> NDArray[np.float32]:
    """Vectors, fp32 (4000, 512), that share a direction: pairs have cosines of 0.3 to 0.8."""
    return _towards(np.eye(1, DIM), rng.uniform(0.3, 0.8, SEGMENTS), rng)


def places(rng: np.random.Generator) -> NDArray[np.float32]:
    """Vectors, fp32 (4000, 512): within a video pairs have a cosine of 0.8, between two 0.2 to 0.6."""
    videos = _towards(np.eye(1, DIM), rng.uniform(0.25, 0.75, SEGMENTS // OF_VIDEO), rng)
    return _towards(np.repeat(videos, OF_VIDEO, axis=0), np.full(SEGMENTS, 0.8), rng)


def _towards(directions: NDArray[np.floating], alike: NDArray[np.float64], rng: np.random.Generator) -> Array:
    """Vectors whose squared cosine with a direction is `alike`, in all else at random."""
    made = rng.standard_normal((len(alike), DIM))
    made -= (made * directions).sum(axis=1, keepdims=True) * directions
    made /= np.linalg.norm(made, axis=1, keepdims=True)
    found = np.sqrt(alike)[:, None] * directions + np.sqrt(1 - alike)[:, None] * made
    return np.asarray(found, np.float32)


SEGMENTS, LABELLED = 4000, (1, 2, 10, 50, 500)
MADE_UP = {"structureless": structureless, "places": places}


def said(of: Interval) -> str:
    """`0.12 ± 0.03`, at 95%."""
    return f"{of.mean:.3f}" + ("" if of.half is None else f" ± {of.half:.3f}")


if __name__ == "__main__":
    main()
