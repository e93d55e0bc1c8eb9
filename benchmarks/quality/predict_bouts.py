"""Bouts in a long video of the savannah against what was rendered, and the memory that predicting them takes.

    python -m benchmarks.quality.predict_bouts [--minutes 10] [--train 720] [--epochs 30] [--window 2] [--stride 0.5]
    python -m benchmarks.quality.predict_bouts --store STORE --run RUN --behaviours walking stalking ...

Clips are rendered, ingested with vimoclip-tiny and DIS, and a cross-attention run is trained on them with the default
settings; or a store and a run of rendered clips are taken, such as benchmarks.quality.motion_student leaves, whose
student is trained. Then clips of other seeds, longer ones, are put one after the other into one video, which is
predicted by windows. A bout is right where it shares at least half of the union with a true span of its label that no
better bout has taken: F1 of each label, and over all, at several thresholds, none of which was chosen. Spans of one
label that touch are one. Peak memory is that of `vimoclip predict` with its decoder, on the first 1, 5 and 10 minutes.
"""

import argparse
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

import vimoclip
from benchmarks.common import describe_machine
from benchmarks.speed.ingest import peak
from pipelines import ingest, train_fusion
from pipelines.ingest import IngestRequest
from pipelines.train_fusion import TrainFusionRequest
from schemas.labels import Span
from vimoclip.config.fusion import fusion_settings
from vimoclip.config.store import RunConfig
from vimoclip.prediction.predictions import Prediction, ScoredSpan, predicted_bouts
from vimoclip.savannah import BEHAVIOURS, FPS, Scene, plan, write_folder
from vimoclip.video.encode import cut_clip, write_clip

OVERLAP = 0.5
THRESHOLDS = (0.3, 0.5, 0.7)
LATER = 1_000
"""The seed of the long video's clips, plus that of the others."""


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
    """The counts of each label that a span or a bout has: the best bouts choose first, each the span it shares most of
    the union with."""
    counts = {}
    for label in sorted({bout.label for bout in bouts} | {span.label for span in spans}):
        free = [span for span in spans if span.label == label]
        own = sorted((bout for bout in bouts if bout.label == label), key=lambda bout: -bout.score)
        right = 0
        for bout in own:
            overlaps = [_overlap(bout, span) for span in free]
            if overlaps and max(overlaps) >= OVERLAP:
                free.pop(overlaps.index(max(overlaps)))
                right += 1
        counts[label] = Count(right, len(own) - right, len(free))
    return counts


def _overlap(bout: ScoredSpan, span: Span) -> float:
    """Intersection over union."""
    shared = min(bout.end_s, span.end_s) - max(bout.start_s, span.start_s)
    return max(0.0, shared) / (max(bout.end_s, span.end_s) - min(bout.start_s, span.start_s))


def write_long(path: Path, scenes: Sequence[Scene]) -> list[Span]:
    """Put clips one after the other into a video; what is to be seen in it when."""

    def frames() -> Iterator[object]:
        for scene in scenes:
            yield from scene.frames()

    write_clip(path, frames(), FPS)  # type: ignore[arg-type]
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
    config = fusion_settings("default", {"training": {"epochs": options.epochs}, "tfam": {"layers": options.layers}})
    train_fusion.run(TrainFusionRequest(store, config, run, run=where))
    return store, run


def _where(options: argparse.Namespace) -> RunConfig:
    return RunConfig(device=options.device, threads=options.threads)


def shown(console: Console, found: Prediction, spans: Sequence[Span]) -> float:
    """Print F1 at each threshold; that over all at 0.5 is returned."""
    columns = {}
    for threshold in THRESHOLDS:
        windows = found.starts_s, found.ends_s, found.window_probabilities
        columns[threshold] = compared(predicted_bouts(found.classes, *windows, threshold), spans)
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
    parser.add_argument("--behaviours", nargs="+", default=BEHAVIOURS, choices=BEHAVIOURS, metavar="NAME")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--layers", type=int, default=4, help="of TFAM, fewer to try the script out")
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
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        store, run = trained(folder, options)
        count = max(1, round(60 * options.minutes / options.clip_s))
        scenes = plan(count, options.seed + LATER, options.behaviours)
        scenes = [replace(scene, frames_count=round(options.clip_s * FPS)) for scene in scenes]
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
        shown(console, found, spans)
        for minutes in options.memory:
            part = folder / f"{minutes:g}-minutes.mp4"
            frames = cut_clip(folder / "long.mp4", 0.0, 60 * minutes, part)
            windows = ["--window", str(options.window), "--stride", str(options.stride)]
            where = ["--run", str(run), "--store", str(store), "--threads", str(options.threads)]
            most = peak(["predict", str(part), *windows, *where, "--device", options.device])
            console.print(f"{minutes:g} minutes, {frames} frames: peak {most / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
