"""Table 2 of the paper from a store: the five fusions, each trained with several seeds on the same snapshot.

A run of each row and seed is one of train_fusion.py, in a folder of its own below the ablation's: the same command goes
on where it stopped, and adds what is missing when it asks for more seeds. Runs follow one another in this process, or
several at a time on Ray.
"""

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

from pipelines.executor import Engine, is_ray
from pipelines.train_fusion import TrainFusionReport, TrainFusionRequest, run
from vimoclip.atomic import atomic_write
from vimoclip.config.fusion import HEADS, FusionConfig
from vimoclip.errors import ConfigError, RunError
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import as_location
from vimoclip.training.metrics import Interval, interval, percent

PAPER = {name: head.paper for name, head in HEADS.items() if head.paper is not None}
"""mAP, micro, in percent, on Animal Kingdom: the rows of the paper's Table 2, by the names of their heads."""
ROWS = tuple(PAPER)

ABLATION = "ablation.json"
Figure = Literal["micro", "macro", "accuracy"]


@dataclass(frozen=True)
class AblateRequest:
    """What to compare. base: the training, whose head and seed are replaced; its folder is the ablation's.

    rows: of HEADS. seeds: how many; the first is the base's, and each further one is one more. side_by_side: runs at a
    time on each GPU, or on the CPUs where there is none.
    """

    base: TrainFusionRequest
    rows: tuple[str, ...] = ROWS
    seeds: int = 3
    engine: Engine = field(default_factory=Engine)
    side_by_side: int = 1

    def __post_init__(self) -> None:
        """Check.

        Raises:
            ConfigError: no rows, one twice, an unknown one, or no seeds.
        """
        if not self.rows or len(set(self.rows)) < len(self.rows) or not set(self.rows) <= set(HEADS):
            raise ConfigError(
                "Rows of the table are named once each.", received=list(self.rows), expected=f"of {', '.join(HEADS)}"
            )
        for name in ("seeds", "side_by_side"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be positive.", received=getattr(self, name), expected="1 or more")


@dataclass
class AblateRow:
    """One head, by its name. seeds: those that are done. paper: of Table 2, in percent, where that has it.

    last: the figures after the last epoch, by name, a value a seed. best: the highest of any epoch, which was chosen on
    the very videos it is of, and flatters.
    """

    fusion: str
    paper: float | None
    seeds: list[int] = field(default_factory=list)
    last: dict[str, list[float]] = field(default_factory=dict)
    best: dict[str, list[float]] = field(default_factory=dict)

    def interval(self, figure: Figure) -> Interval | None:
        """Mean and 95% interval over the seeds, after the last epoch; None where it was not measured."""
        values = self.last.get(figure, [])
        return interval(values) if values else None


@dataclass
class AblateReport:
    """What an ablation found. trained: epochs in this run. known: runs that were finished before."""

    folder: Path
    rows: list[AblateRow]
    train: str = ""
    held_out: str = ""
    classes: int = 0
    epochs: int = 0
    known: int = 0
    interrupted: bool = False
    seconds: float = 0.0


def parse_rows(text: str) -> tuple[str, ...]:
    """Rows by their names, separated by commas.

    Raises:
        ConfigError: see AblateRequest.
    """
    names = [name.strip() for name in text.split(",")]
    rows = tuple(row for name in names for row in HEADS if row == name)
    if len(rows) < len(names):
        raise ConfigError("There is no such row.", received=text, expected=f"of {', '.join(HEADS)}")
    return rows


def run_all(request: AblateRequest, progress: Progress = NO_PROGRESS) -> AblateReport:
    """Train what is not trained yet, and gather the figures.

    A KeyboardInterrupt ends it with `interrupted` set, and what is done is kept.

    Raises:
        RunError: nothing is held out; the folder holds another ablation. And as `train_fusion.run`.
    """
    began = time.monotonic()
    folder = request.base.folder or default_folder(request)
    base = replace(request.base, versions=_begin(folder, request))
    wanted = [(fusion, base.config.training.seed + n) for n in range(request.seeds) for fusion in request.rows]
    report = AblateReport(folder, [AblateRow(fusion, HEADS[fusion].paper) for fusion in request.rows])
    rows = {row.fusion: row for row in report.rows}
    for fusion, seed, trained in _runs(request, wanted, base, folder, progress):
        if trained.interrupted:
            report.interrupted = True
            break
        report.train, report.held_out, report.classes = trained.train, trained.held_out, trained.classes
        report.epochs, report.known = report.epochs + trained.epochs, report.known + trained.known
        _add(rows[fusion], seed, trained)
    report.seconds = time.monotonic() - began
    return report


def default_folder(request: AblateRequest) -> Path:
    """The same for the same store and settings, whatever rows and seeds are asked for."""
    what = json.dumps([str(as_location(request.base.store)), _settings(request.base.config)], sort_keys=True)
    return Path("runs") / f"ablation-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def _runs(
    request: AblateRequest,
    wanted: list[tuple[str, int]],
    base: TrainFusionRequest,
    folder: Path,
    progress: Progress,
) -> Iterator[tuple[str, int, TrainFusionReport]]:
    """The runs in the order in which they end."""
    requests = {key: _one(base, folder, *key) for key in wanted}
    if is_ray(base.run, request.engine):
        from pipelines.ray_cluster import RayRuns

        with RayRuns(request.engine.address, request.side_by_side, base.run.device) as runs:
            shared = {key: _with_threads(one, runs.threads) for key, one in requests.items()}
            for key, trained in runs.map(run, shared):
                progress.message(_describe(*key, trained))
                yield (*key, trained)
        return
    for number, ((fusion, seed), one) in enumerate(requests.items(), 1):
        progress.message(f"Run {number} of {len(requests)}: {fusion}, seed {seed}")
        trained = run(one, progress)
        progress.message(_describe(fusion, seed, trained))
        yield fusion, seed, trained


def _with_threads(one: TrainFusionRequest, threads: int) -> TrainFusionRequest:
    return replace(one, run=replace(one.run, threads=one.run.threads or threads))


def _describe(fusion: str, seed: int, trained: TrainFusionReport) -> str:
    """What came of a run, as a line for people."""
    held_out = trained.records[-1].get("held_out", {}) if trained.records else {}
    said = "was finished before" if trained.known else f"{trained.epochs} epochs in {trained.seconds:.1f} s"
    return f"{fusion}, seed {seed}: {said}, mAP micro {percent(held_out.get('micro'))}"


def _one(base: TrainFusionRequest, folder: Path, fusion: str, seed: int) -> TrainFusionRequest:
    """The request of a run, which names nothing by where this process stands: on Ray it stands elsewhere."""
    config = base.config.with_head(fusion)
    config = replace(config, training=replace(config.training, seed=seed))
    return replace(
        base,
        store=str(as_location(base.store)),
        class_groups=base.class_groups and base.class_groups.absolute(),
        config=config,
        folder=(folder / f"{fusion}-{seed}").absolute(),
    )


def _begin(folder: Path, request: AblateRequest) -> dict[str, int]:
    """The snapshot of the store that all runs read: the one the ablation was begun with, or the newest."""
    what = {"store": str(as_location(request.base.store)), "config": _settings(request.base.config)}
    if not (folder / ABLATION).exists():
        versions = FeatureStore.open(request.base.store).versions
        with atomic_write(folder / ABLATION) as path:
            path.write_text(json.dumps(what | {"versions": versions}, indent=2), encoding="utf-8")
        return versions
    try:
        begun = json.loads((folder / ABLATION).read_text(encoding="utf-8"))
        versions = {str(name): int(version) for name, version in begun.pop("versions").items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{folder / ABLATION} cannot be read.", received=error, hint="Name another folder with --run."
        ) from error
    if begun != json.loads(json.dumps(what)):
        raise RunError(
            f"{folder} holds an ablation of another store or with other settings.",
            hint="Give the same, or another folder with --run.",
        )
    return versions


def _settings(config: FusionConfig) -> dict[str, object]:
    """What the runs of an ablation have in common."""
    said = config.to_dict()
    said.pop("head", None)
    said["tfam"] = {name: value for name, value in said["tfam"].items() if name != "fusion"}
    said["training"] = {name: value for name, value in said["training"].items() if name != "seed"}
    return said


def _add(row: AblateRow, seed: int, trained: TrainFusionReport) -> None:
    figures = [record["held_out"] for record in trained.records if "held_out" in record]
    if not figures:
        raise RunError(
            "An ablation needs videos that are held out.",
            received=trained.held_out,
            hint="Name their split with --eval-split.",
        )
    row.seeds.append(seed)
    names: tuple[Figure, ...] = ("micro", "macro", "accuracy")
    for name in names:
        known = [each[name] for each in figures if each.get(name) is not None]
        if known and math.isfinite(known[-1]):
            row.last.setdefault(name, []).append(known[-1])
            row.best.setdefault(name, []).append(max(known))


# An ablation as files: results.json and results.csv for programs, table.md and table.png for papers.


FIGURES: dict[Figure, str] = {"micro": "mAP, micro", "macro": "mAP, macro", "accuracy": "accuracy"}


def write_files(report: AblateReport) -> list[Path]:
    """Write all four into the ablation's folder; their paths.

    Raises:
        RunError: they cannot be written.
    """
    made = {
        "results.json": _json(report).encode(),
        "results.csv": _csv(report).encode(),
        "table.md": _markdown(report).encode(),
        "table.png": _png(report),
    }
    for name, data in made.items():
        with atomic_write(report.folder / name) as path:
            path.write_bytes(data)
    return [report.folder / name for name in made]


def cell(row: AblateRow, figure: Figure) -> str:
    """`77.09 ± 0.41`, in percent; without ± for one seed; a dash where nothing was measured."""
    found = row.interval(figure)
    if found is None:
        return "–"
    return f"{100 * found.mean:.2f}" + (f" ± {100 * found.half:.2f}" if found.half is not None else "")


def paper_cell(row: AblateRow) -> str:
    """`77.09`, in percent; a dash where the paper has no such row."""
    return "–" if row.paper is None else f"{row.paper:.2f}"


def _measured(report: AblateReport) -> list[Figure]:
    return [figure for figure in FIGURES if any(row.interval(figure) for row in report.rows)]


def _json(report: AblateReport) -> str:
    figures = _measured(report)
    rows = [
        asdict(row) | {"interval": {name: asdict(found) for name in figures if (found := row.interval(name))}}
        for row in report.rows
    ]
    head = {"train": report.train, "held_out": report.held_out, "classes": report.classes}
    return json.dumps(head | {"rows": rows}, indent=2, allow_nan=False) + "\n"


def _csv(report: AblateReport) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(("fusion", "seed", "figure", "last_epoch", "best_epoch"))
    for row in report.rows:
        for figure in _measured(report):
            for n, seed in enumerate(row.seeds):
                if figure in row.last:
                    writer.writerow((row.fusion, seed, figure, row.last[figure][n], row.best[figure][n]))
    return file.getvalue()


def _markdown(report: AblateReport) -> str:
    figures = _measured(report)
    names = [FIGURES[figure] for figure in figures]
    lines = [
        f"| fusion | {' | '.join(f'{name} (95%)' for name in names)} | seeds | paper, Animal Kingdom |",
        f"|---|{'---|' * len(names)}---|---|",
    ]
    for row in report.rows:
        cells = [cell(row, figure) for figure in figures]
        lines.append(f"| {HEADS[row.fusion].title} | {' | '.join(cells)} | {len(row.seeds)} | {paper_cell(row)} |")
    return "\n".join(lines) + "\n"


def _png(report: AblateReport) -> bytes:
    from matplotlib.figure import Figure as Picture

    rows = [(row, found) for row in report.rows if (found := row.interval("micro"))]
    picture = Picture(figsize=(7.2, 1.2 + 0.45 * len(report.rows)), layout="constrained")
    axes = picture.add_subplot()
    for n, (row, found) in enumerate(rows):
        axes.barh(n, 100 * found.mean, height=0.6, color="#3d7a5c", xerr=100 * (found.half or 0), capsize=3)
        axes.plot([100 * value for value in row.last["micro"]], [n] * len(row.seeds), "o", color="#123", ms=3)
        if row.paper is not None:
            axes.plot(row.paper, n, "D", color="#c2571a", ms=5, label="paper, Animal Kingdom" if n == 0 else None)
    axes.set_yticks(range(len(rows)), [HEADS[row.fusion].title for row, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(f"mAP, micro, in percent, after the last epoch, on {report.held_out}")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if any(row.paper is not None for row, _ in rows):
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), frameon=False)
    data = io.BytesIO()
    picture.savefig(data, format="png", dpi=144)
    return data.getvalue()
