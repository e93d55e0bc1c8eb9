"""Bouts in a long video of the savannah against what was rendered, and the memory that predicting them takes.

    python -m benchmarks.quality.predict_bouts [--minutes 10] [--train 720] [--epochs 30] [--window 2] [--stride 0.5]
    python -m benchmarks.quality.predict_bouts --store STORE --run RUN --behaviours walking stalking ...
    python -m benchmarks.quality.predict_bouts --store STORE --run RUN --stored [--window 1] [--stride 0.25]
    python -m benchmarks.quality.predict_bouts --perfect [--clip-s 2] [--window 1] [--stride 0.25]

Clips are rendered, ingested with vimoclip-tiny and DIS, and a run is trained on them with the default settings, on
whole clips or (--train-window) on parts with their own labels; or a store and a run of rendered clips are taken, such
as benchmarks.quality.motion_student leaves, whose student is trained. Then clips of other seeds, longer ones, are put
one after the other into one video, which is predicted by windows. A bout is right where it shares at least half of the
union with a true span of its label that no better bout has taken: F1 of each label, and over all, at several
thresholds, none of which was chosen. Spans of one label that touch are one. Peak memory is that of `vimoclip predict`
with its decoder, on the first 1, 5 and 10 minutes.

Below it, the direction of the errors: the time in all bouts against that in all spans, and by how much bouts start and
end later than the span they share most with. Each figure is printed for bouts as they are, and for the union of their
windows, which they were in 0.1.0.

--stored: no film is rendered and decoded; the stored frames of the videos that the run was not trained on are put one
after the other, which takes seconds.

--perfect: no model and no film, but a classifier that gives each window the labels that training would
(vimoclip/store/labels.py); what it gets wrong is due to windows alone.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

import vimoclip
from benchmarks.common import describe_machine
from benchmarks.speed.ingest import peak
from benchmarks.worlds.train_tiny import WORLDS_SEED
from pipelines import ingest, train_fusion
from pipelines.ingest import IngestRequest
from pipelines.train_fusion import TrainFusionRequest
from schemas.labels import Span
from vimoclip.bouts import Bout, Bouts
from vimoclip.config.fusion import fusion_settings
from vimoclip.config.store import RunConfig
from vimoclip.frames import FrameBatch, VideoDone, VideoInfo, frame_columns
from vimoclip.prediction.predictions import ScoredSpan, predicted_bouts
from vimoclip.prediction.predictor import WindowModel
from vimoclip.savannah import BEHAVIOURS, FPS, Scene, plan, write_folder
from vimoclip.store.labels import held_by, label_spans
from vimoclip.video.encode import cut_clip, write_clip
from vimoclip.windows import Window, iter_windows
from vimoclip.windows import spans as window_spans

OVERLAP = 0.5
THRESHOLDS = (0.3, 0.5, 0.7)
LATER = 1_000
"""The seed of the long video's clips, plus that of the others."""
_SAME_S = 1e-3
"""Closer edges are at the same moment: spans are of whole frames, and windows are not."""


@dataclass(frozen=True)
class Count:
    """Bouts that are right, bouts that are not, and spans that no bout is right about."""

    right: int = 0
    wrong: int = 0
    missed: int = 0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.right + other.right, self.wrong + other.wrong, self.missed + other.missed)

    @property
    def f1(self) -> float:
        """0 where there is neither a bout nor a span."""
        of = 2 * self.right + self.wrong + self.missed
        return 2 * self.right / of if of else 0.0


def joined(spans: Iterable[Span]) -> list[Span]:
    """Spans of one label that overlap or touch made one."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.label, span.start_s)):
        last = found[-1] if found else None
        if last is not None and last.label == span.label and span.start_s <= last.end_s + 1e-6:
            found[-1] = Span(span.label, last.start_s, max(last.end_s, span.end_s))
        else:
            found.append(span)
    return found


def compared(bouts: Sequence[ScoredSpan], spans: Sequence[Span]) -> dict[str, Count]:
    """The counts of each label that a span or a bout has."""
    counts = {}
    for label in sorted({bout.label for bout in bouts} | {span.label for span in spans}):
        own = [bout for bout in bouts if bout.label == label]
        true = [span for span in spans if span.label == label]
        right = len(matched(own, true, OVERLAP))
        counts[label] = Count(right, len(own) - right, len(true) - right)
    return counts


def matched(bouts: Sequence[ScoredSpan], spans: Sequence[Span], least: float) -> list[tuple[ScoredSpan, Span]]:
    """Bouts with the spans they are about: the best bouts choose first, each the span of its label that it shares most
    of the union with, and at least so much."""
    free, found = list(spans), []
    for bout in sorted(bouts, key=lambda bout: -bout.score):
        overlaps = [_overlap(bout, span) if span.label == bout.label else -1.0 for span in free]
        if overlaps and max(overlaps) >= least:
            found.append((bout, free.pop(overlaps.index(max(overlaps)))))
    return found


def _overlap(bout: ScoredSpan, span: Span) -> float:
    """Intersection over union."""
    shared = min(bout.end_s, span.end_s) - max(bout.start_s, span.start_s)
    return max(0.0, shared) / (max(bout.end_s, span.end_s) - min(bout.start_s, span.start_s))


@dataclass(frozen=True)
class Edges:
    """How bouts lie to the spans that they are about.

    Attributes:
        f1: over all labels.
        bouts: how many there are.
        more_time: in bouts than in spans, as a share of the time in spans.
        start_s: the median of how much later than its span a bout starts, in seconds.
        end_s: of how much later it ends.
        early: the share of bouts that start before their spans.
        late: the share that ends after them.
    """

    f1: float
    bouts: int
    more_time: float
    start_s: float
    end_s: float
    early: float
    late: float


def edges(bouts: Sequence[ScoredSpan], spans: Sequence[Span]) -> Edges:
    """A bout is about the span that it shares most with, however little."""
    pairs = matched(bouts, spans, 1e-9)
    starts = np.array([bout.start_s - span.start_s for bout, span in pairs] or [np.nan])
    ends = np.array([bout.end_s - span.end_s for bout, span in pairs] or [np.nan])
    in_bouts, in_spans = (sum(each.end_s - each.start_s for each in of) for of in (bouts, spans))
    return Edges(
        sum(compared(bouts, spans).values(), Count()).f1,
        len(bouts),
        in_bouts / in_spans - 1,
        float(np.median(starts)),
        float(np.median(ends)),
        float((starts < -_SAME_S).mean()),
        float((ends > _SAME_S).mean()),
    )


@dataclass(frozen=True)
class Windows:
    """What a classifier says of the windows of a video.

    Attributes:
        classes: C names.
        starts_s: of n windows, fp64 (n,).
        ends_s: of the windows, fp64 (n,).
        probabilities: fp32 (n, C).
    """

    classes: tuple[str, ...]
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    probabilities: NDArray[np.float32]

    def bouts(self, threshold: float) -> tuple[ScoredSpan, ...]:
        """The bouts of `vimoclip predict`."""
        return predicted_bouts(self.classes, self.starts_s, self.ends_s, self.probabilities, threshold)

    def unions(self, threshold: float) -> tuple[ScoredSpan, ...]:
        """Windows that reach the threshold, where they overlap or touch as one: the bouts of 0.1.0."""
        merging = Bouts()
        at, labels = np.nonzero(self.probabilities >= threshold)
        scores = self.probabilities[at, labels]
        for n in np.argsort(-scores, kind="stable").tolist():
            span = float(self.starts_s[at[n]]), float(self.ends_s[at[n]])
            merging.add(Bout(int(labels[n]), *span, float(scores[n]), int(at[n])))
        return tuple(
            ScoredSpan(self.classes[bout.key], bout.start_s, bout.end_s, score=bout.score) for bout in merging.list()
        )


KINDS: dict[str, Callable[[Windows, float], tuple[ScoredSpan, ...]]] = {
    "before": Windows.unions,
    "now": Windows.bouts,
}


def perfect(spans: Sequence[Span], duration_s: float, window_s: float, stride_s: float) -> Windows:
    """The windows of a video, each with probability 1 of the labels that it has, and 0 of the others."""
    classes = tuple(sorted({span.label for span in spans}))
    starts, ends = window_spans(duration_s, window_s, stride_s)
    found = np.zeros((len(starts), len(classes)), np.float32)
    for span in spans:
        found[held_by(span, starts, ends), classes.index(span.label)] = 1
    return Windows(classes, starts, ends, found)


def stored_film(store: vimoclip.Store, options: argparse.Namespace) -> tuple[Windows, list[Span], float]:
    """What a run says of the windows of the videos of other splits, one after the other; what they show; and seconds.

    The first frame of each is left out: it has no motion, which within a video there always is.
    """
    model = WindowModel(store, options.run, _where(options))
    names, labels = [feature.name for feature in model.features], label_spans(store)
    parts: list[FrameBatch] = []
    spans: list[Span] = []
    begins = 0.0
    for video_id, split, lasts in store.videos().select("video_id", "split", "duration_s").sort("video_id").iter_rows():
        if split in (None, "train") or video_id not in labels:
            continue
        frames = FrameBatch.from_arrow(video_id, store.sequence(video_id, frame_columns(names)), names)[1:]
        index = np.arange(len(frames)) + sum(map(len, parts))
        parts.append(replace(frames, video_id="film", frame_index=index, time_s=frames.time_s + begins))
        spans += [
            Span(own.label, begins + max(0, own.start_s), begins + min(lasts, own.end_s)) for own in labels[video_id]
        ]
        begins += lasts
    info = VideoInfo("", 0, 0, 1.0, FPS, "pts", sum(map(len, parts)), begins)
    cut = iter_windows([FrameBatch.concat(parts), VideoDone("film", info)], options.window, options.stride)
    windows = [each for each in cut if isinstance(each, Window)]
    steps = [model.steps(each.frames) for each in windows]
    found = [model.probabilities(steps[first : first + 64]) for first in range(0, len(steps), 64)]
    starts, ends = np.array([(each.start_s, each.end_s) for each in windows]).T
    return Windows(model.classes, starts, ends, np.concatenate(found)), joined(spans), begins


def print_edges(console: Console, found: Windows, spans: Sequence[Span], thresholds: Sequence[float]) -> None:
    """A line for each kind of bouts and threshold."""
    title = f"Bouts beside {len(spans)} spans: unions of windows, as before, and now; start and end in seconds"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in ("at", "bouts", "F1", "time", "start", "end", "early", "late"):
        table.add_column(name, justify="right")
    for kind, threshold in ((kind, threshold) for kind in KINDS for threshold in thresholds):
        of = edges(KINDS[kind](found, threshold), spans)
        table.add_row(
            kind,
            f"{threshold:g}",
            str(of.bouts),
            f"{100 * of.f1:.1f}",
            f"{100 * of.more_time:+.1f}%",
            f"{of.start_s:+.3f}",
            f"{of.end_s:+.3f}",
            f"{100 * of.early:.0f}%",
            f"{100 * of.late:.0f}%",
        )
    console.print(table)


def write_long(path: Path, scenes: Sequence[Scene]) -> list[Span]:
    """Put clips one after the other into a video; what is to be seen in it when."""

    def frames() -> Iterator[object]:
        for scene in scenes:
            yield from scene.frames()

    write_clip(path, frames(), FPS)  # type: ignore[arg-type]
    return seen(scenes)


def seen(scenes: Sequence[Scene]) -> list[Span]:
    """What is to be seen when in clips that are put one after the other."""
    spans, first = [], 0
    for scene in scenes:
        spans += [Span(each.label, each.start_s + first / FPS, each.end_s + first / FPS) for each in scene.spans]
        first += scene.frames_count
    return joined(spans)


def trained(folder: Path, options: argparse.Namespace) -> tuple[Path, Path]:
    """Store and run."""
    if options.store is not None:
        return options.store, options.run
    store, run, where = folder / "store", folder / "run", _where(options)
    write_folder(folder / "clips", options.train, options.seed, options.behaviours)
    asked = {"clip": {"model": "vimoclip-tiny"}, "flow": {"estimator": "dis"}}
    ingest.run(IngestRequest([folder / "clips"], store, asked, where))
    training, tfam = {"epochs": options.epochs}, {"layers": options.layers, "fusion": options.fusion}
    cut = {"window_s": options.train_window}
    config = fusion_settings("default", {"training": training, "tfam": tfam, "sequences": cut})
    train_fusion.run(TrainFusionRequest(store, config, run, run=where))
    return store, run


def _where(options: argparse.Namespace) -> RunConfig:
    return RunConfig(device=options.device, threads=options.threads)


def shown(console: Console, found: Windows, spans: Sequence[Span]) -> float:
    """Print F1 at each threshold; that over all at 0.5 is returned."""
    columns = {threshold: compared(found.bouts(threshold), spans) for threshold in THRESHOLDS}
    table = Table(title=f"F1 at {OVERLAP:g} overlap, in percent, by threshold")
    table.add_column("label")
    table.add_column("spans", justify="right")
    for threshold in THRESHOLDS:
        table.add_column(f"{threshold:g}", justify="right")
    labels = sorted({span.label for span in spans})
    for label in labels:
        count = str(sum(span.label == label for span in spans))
        table.add_row(label, count, *(f"{100 * columns[each][label].f1:.1f}" for each in THRESHOLDS))
    overall = {each: sum(columns[each].values(), Count()) for each in THRESHOLDS}
    table.add_row("all", str(len(spans)), *(f"{100 * overall[each].f1:.1f}" for each in THRESHOLDS))
    console.print(table)
    return overall[0.5].f1


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the long video")
    parser.add_argument("--clip-s", type=float, default=4.0, help="of each clip in it")
    parser.add_argument("--store", type=Path, help="a store that is there, for a run that is there")
    parser.add_argument("--run", type=Path, help="and that run")
    parser.add_argument("--train", type=int, default=720, help="clips of 2 s; three of five are trained on")
    parser.add_argument("--train-window", type=float, help="train on parts of so many seconds, each with its labels")
    parser.add_argument("--stored", action="store_true", help="the film is of the store's own frames")
    parser.add_argument("--perfect", action="store_true", help="a perfect classifier in place of a model")
    parser.add_argument("--behaviours", nargs="+", default=BEHAVIOURS, choices=BEHAVIOURS, metavar="NAME")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--layers", type=int, default=4, help="of TFAM, fewer to try the script out")
    parser.add_argument("--fusion", default="cross", help="how TFAM fuses")
    parser.add_argument("--window", type=float, default=2.0)
    parser.add_argument("--stride", type=float, default=0.5)
    parser.add_argument("--memory", type=float, nargs="*", default=(1.0, 5.0, 10.0), help="minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, help="keep everything here")
    options = parser.parse_args(arguments)
    if (options.store is None) != (options.run is None):
        parser.error("--store and --run are given together")
    if options.stored and options.store is None:
        parser.error("--stored needs --store and --run")
    if WORLDS_SEED in (options.seed, options.seed + LATER):
        parser.error(f"--seed {options.seed} shows clips of world {WORLDS_SEED}, which vimoclip-tiny was trained on")
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    count = max(1, round(60 * options.minutes / options.clip_s))
    scenes = plan(count, options.seed + LATER, options.behaviours)
    scenes = [replace(scene, frames_count=round(options.clip_s * FPS)) for scene in scenes]
    if options.perfect:
        spans = seen(scenes)
        duration_s = sum(scene.frames_count for scene in scenes) / FPS
        of = f"{options.window:g} s, one every {options.stride:g} s, of {duration_s / 60:.1f} minutes of {count} clips"
        console.print(f"a perfect classifier of windows of {of}")
        print_edges(console, perfect(spans, duration_s, options.window, options.stride), spans, (0.5,))
        return
    if options.stored:
        windows, spans, duration_s = stored_film(vimoclip.open_store(options.store), options)
        console.print(f"{duration_s:.0f} s of stored videos, {len(windows.starts_s)} windows of {options.window:g} s")
        shown(console, windows, spans)
        print_edges(console, windows, spans, THRESHOLDS)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        store, run = trained(folder, options)
        spans = write_long(folder / "long.mp4", scenes)
        began = time.perf_counter()
        (found,) = vimoclip.open_store(store).predict(
            folder / "long.mp4",
            run,
            window_s=options.window,
            stride_s=options.stride,
            settings=_where(options),
        )
        seconds = time.perf_counter() - began
        what = f"{found.frames} frames, {found.duration_s / 60:.1f} minutes of {count} clips"
        rate = f"in {seconds:.0f} s, {found.frames / seconds:.0f} frames/s"
        console.print(f"{what}, {len(found.starts_s)} windows of {options.window:g} s {rate}")
        windows = Windows(found.classes, found.starts_s, found.ends_s, found.window_probabilities)
        shown(console, windows, spans)
        print_edges(console, windows, spans, THRESHOLDS)
        for minutes in options.memory:
            part = folder / f"{minutes:g}-minutes.mp4"
            frames = cut_clip(folder / "long.mp4", 0.0, 60 * minutes, part)
            cut = ["--window", str(options.window), "--stride", str(options.stride)]
            where = ["--run", str(run), "--store", str(store), "--threads", str(options.threads)]
            most = peak(["predict", str(part), *cut, *where, "--device", options.device])
            console.print(f"{minutes:g} minutes, {frames} frames: peak {most / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
