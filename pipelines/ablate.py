"""Table 2 of the paper from a store: the five fusions, each trained with several seeds on the same snapshot.

Each row and seed is a run of train_fusion.py in its own folder below the ablation's. The same command continues an
ablation that was interrupted, and trains only what is missing when it asks for more seeds or rows. Runs follow one
another in this process, or run side by side on Ray. The results are written as results.json, results.csv, table.md and
table.png.
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
from pipelines.run_folder import finished, split_settings
from pipelines.train_fusion import TrainFusionReport, TrainFusionRequest, run
from vimoclip.atomic import atomic_write
from vimoclip.config.fusion import HEADS, FusionConfig
from vimoclip.errors import ConfigError, RunError
from vimoclip.progress import NO_PROGRESS, Progress, count
from vimoclip.sequences.sequences import BATCHING
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import as_location
from vimoclip.training.metrics import Interval, classes_shown, interval, over_count, percent
from vimoclip.training.splits import SplitRequest, check_taught, training_split

PAPER = {name: head.paper for name, head in HEADS.items() if head.paper is not None}
"""The rows of the paper's Table 2: micro mAP on Animal Kingdom, in percent, by head."""
ROWS = tuple(PAPER)

ABLATION = "ablation.json"
Figure = Literal["micro", "macro", "accuracy"]


@dataclass(frozen=True)
class AblateRequest:
    """What to compare.

    Attributes:
        base: the training, whose head and seed are replaced in each run; its folder is the ablation's.
        rows: names of heads in HEADS.
        seeds: how many; the first is the base's, and each following one is larger by 1.
        engine: where to run.
        side_by_side: runs at a time on each GPU, or on the CPUs where there are no GPUs.
    """

    base: TrainFusionRequest
    rows: tuple[str, ...] = ROWS
    seeds: int = 3
    engine: Engine = field(default_factory=Engine)
    side_by_side: int = 1

    def __post_init__(self) -> None:
        """Check the rows and the counts.

        Raises:
            ConfigError: there are no rows, one is unknown or named twice, or a count is not positive.
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
    """A row of the table: one head.

    Attributes:
        fusion: name of the head.
        paper: its micro mAP in the paper's Table 2, in percent; None where the paper does not have it.
        seeds: those that are done.
        last: figures after the last epoch, as fractions, by name and then by seed in the order of `seeds`.
        best: likewise the highest figures of any epoch. They were chosen on the videos they are measured on, and are
            therefore too high.
    """

    fusion: str
    paper: float | None
    seeds: list[int] = field(default_factory=list)
    last: dict[str, list[float]] = field(default_factory=dict)
    best: dict[str, list[float]] = field(default_factory=dict)

    def best_of(self, figure: Figure, seed: int) -> float | None:
        """The highest figure of any epoch of one seed, as the paper's is; None where it is not known."""
        return dict(zip(self.seeds, self.best.get(figure, []), strict=False)).get(seed)

    def interval(self, figure: Figure) -> Interval | None:
        """The mean and 95% interval of a figure over the seeds, after the last epoch; None where it is not known."""
        values = self.last.get(figure, [])
        return interval(values) if values else None


@dataclass
class AblateReport:
    """What an ablation found.

    Attributes:
        folder: of the ablation.
        rows: of the table.
        train: which videos were trained on, in words.
        held_out: which were evaluated on, in words.
        classes: how many.
        macro_classes: how many of them macro mAP is the mean over: those that a held-out video shows.
        epochs: how many were trained this time.
        known: how many runs were finished before.
        interrupted: whether a KeyboardInterrupt ended it.
        seconds: how long it took this time.
    """

    folder: Path
    rows: list[AblateRow]
    train: str = ""
    held_out: str = ""
    classes: int = 0
    macro_classes: int = 0
    epochs: int = 0
    known: int = 0
    interrupted: bool = False
    seconds: float = 0.0


def parse_rows(text: str) -> tuple[str, ...]:
    """Parse names of heads, separated by commas.

    Raises:
        ConfigError: a name is unknown.
    """
    names = [name.strip() for name in text.split(",")]
    rows = tuple(row for name in names for row in HEADS if row == name)
    if len(rows) < len(names):
        raise ConfigError("There is no such row.", received=text, expected=f"some of {', '.join(HEADS)}")
    return rows


def run_all(request: AblateRequest, progress: Progress = NO_PROGRESS) -> AblateReport:
    """Train the runs that are not finished, and gather the figures.

    A KeyboardInterrupt ends it with `interrupted` set; what is done is kept.

    Args:
        request: what to compare.
        progress: a message per run, and the stages of the runs in this process.

    Raises:
        RunError: nothing is held out, or the folder holds another ablation.
        VimoclipError: see `pipelines.train_fusion.run`.
    """
    began = time.monotonic()
    folder = request.base.folder or default_folder(request)
    versions, split = _begin(folder, request)
    base = replace(request.base, versions=versions, split=split)
    if not all(finished(folder / _name(*key)) for key in _wanted(request)):
        _check_taught(request, base)
    report = AblateReport(folder, [AblateRow(fusion, HEADS[fusion].paper) for fusion in request.rows])
    rows = {row.fusion: row for row in report.rows}
    for fusion, seed, trained in _runs(request, base, folder, progress):
        if trained.interrupted:
            report.interrupted = True
            break
        report.train, report.held_out, report.classes = trained.train, trained.held_out, trained.classes
        report.epochs, report.known = report.epochs + trained.epochs, report.known + trained.known
        report.macro_classes = _add(rows[fusion], seed, trained)
    report.seconds = time.monotonic() - began
    return report


def default_folder(request: AblateRequest) -> Path:
    """The folder of an ablation that was not given one; it does not depend on rows and seeds."""
    base = request.base
    made_of = [str(as_location(base.store)), _settings(base.config), *split_settings(base.split)]
    what = json.dumps(made_of, sort_keys=True)
    return Path("runs") / f"ablation-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def _wanted(request: AblateRequest) -> list[tuple[str, int]]:
    """The head and the seed of each run."""
    first = request.base.config.training.seed
    return [(fusion, first + n) for n in range(request.seeds) for fusion in request.rows]


def _name(fusion: str, seed: int) -> str:
    """The folder of a run, below the ablation's."""
    return f"{fusion}-{seed}"


def _runs(
    request: AblateRequest,
    base: TrainFusionRequest,
    folder: Path,
    progress: Progress,
) -> Iterator[tuple[str, int, TrainFusionReport]]:
    """Yield (head, seed, report) of each run, in the order in which they end."""
    requests = {key: _one(base, folder, *key) for key in _wanted(request)}
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
    """The result of a run, as a line for people."""
    held_out = trained.records[-1].get("held_out", {}) if trained.records else {}
    done = "was finished before" if trained.known else f"{count(trained.epochs, 'epoch')} in {trained.seconds:.1f} s"
    return f"{fusion}, seed {seed}: {done}, mAP micro {percent(held_out.get('micro'))}"


def _one(base: TrainFusionRequest, folder: Path, fusion: str, seed: int) -> TrainFusionRequest:
    """The request of a run, with absolute paths: on Ray the working folder is another one."""
    config = base.config.with_head(fusion)
    config = replace(config, training=replace(config.training, seed=seed))
    return replace(
        base,
        store=str(as_location(base.store)),
        class_groups=base.class_groups and base.class_groups.absolute(),
        config=config,
        folder=(folder / _name(fusion, seed)).absolute(),
        advise=False,
    )


def _begin(folder: Path, request: AblateRequest) -> tuple[dict[str, int], SplitRequest]:
    """What all runs read: the snapshot that the ablation was begun with, or the newest, which is then noted; and how
    they split it. One that was begun before there was a split seed keeps to the training seed of each run."""
    split = request.base.split
    what = {"store": str(as_location(request.base.store)), "config": _settings(request.base.config)}
    if not (folder / ABLATION).exists():
        versions = FeatureStore.open(request.base.store).versions
        with atomic_write(folder / ABLATION) as path:
            drawn_by = {"split": {"seed": split.seed, "by": split.by}}
            noted = what | drawn_by | {"versions": versions, "batching": BATCHING}
            path.write_text(json.dumps(noted, indent=2), encoding="utf-8")
        return versions, split
    try:
        begun = json.loads((folder / ABLATION).read_text(encoding="utf-8"))
        versions = {str(name): int(version) for name, version in begun.pop("versions").items()}
        batching = begun.pop("batching", None)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(
            f"{folder / ABLATION} cannot be read.", received=error, hint="Name another folder with --run."
        ) from error
    drawn = begun.pop("split", None)
    rule = None if drawn is None else {**drawn, "share": None}
    if begun != json.loads(json.dumps(what)) or split.differs(rule) is not None:
        raise RunError(
            f"{folder} holds an ablation of another store or with other settings.",
            hint="Give the same, or another folder with --run.",
        )
    if batching != BATCHING and not all(finished(folder / _name(*key)) for key in _wanted(request)):
        raise RunError(
            f"{folder} holds an ablation of an earlier version, which batched videos otherwise.",
            received="runs that are not finished there",
            expected="runs that can be compared",
            hint="Train all of them in another folder, with --run.",
        )
    return versions, split if drawn is not None else split.before_split_seeds()


def _check_taught(request: AblateRequest, base: TrainFusionRequest) -> None:
    """Refuse before the first run what a later one would refuse: held-out videos that a student was taught on."""
    store = FeatureStore.open(base.store, base.versions)
    roles = {role for name in request.rows for role in HEADS[name].roles}
    names = {getattr(base.config.sequences, role) for role in roles}
    features = [feature for name, feature in store.features.items() if name in names]
    for seed in range(request.seeds if base.split.seed is None else 1):
        split = training_split(store, base.split, base.config.select_on, base.config.training.seed + seed)
        check_taught(store, features, split.held_out, base.split.allow_taught)


def _settings(config: FusionConfig) -> dict[str, object]:
    """The settings that all runs of an ablation share."""
    shared = config.to_dict()
    shared.pop("head", None)
    shared["tfam"] = {name: value for name, value in shared["tfam"].items() if name != "fusion"}
    shared["training"] = {name: value for name, value in shared["training"].items() if name != "seed"}
    return shared


def _add(row: AblateRow, seed: int, trained: TrainFusionReport) -> int:
    """Add the figures of a run to its row; return how many classes its macro mAP is over."""
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
    return classes_shown(figures[-1]["classes"])


# An ablation as files: results.json and results.csv for programs, table.md and table.png for papers.


FIGURES: dict[Figure, str] = {"micro": "mAP, micro", "macro": "mAP, macro", "accuracy": "accuracy"}


def write_files(report: AblateReport) -> list[Path]:
    """Write the results into the ablation's folder, in four formats.

    Returns:
        The paths of the files.

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


def heading(report: AblateReport, figure: Figure) -> str:
    """Name a figure; macro mAP with the number of classes it is over: `mAP, macro, over 12 of 140 classes`."""
    if figure != "macro":
        return FIGURES[figure]
    return f"{FIGURES[figure]}, {over_count(report.macro_classes, report.classes)}"


def cell(row: AblateRow, figure: Figure) -> str:
    """Format a figure in percent: `77.09 ± 0.41`; without ± for one seed; a dash where it is not known."""
    found = row.interval(figure)
    if found is None:
        return "–"
    return f"{100 * found.mean:.2f}" + (f" ± {100 * found.half:.2f}" if found.half is not None else "")


def paper_cell(row: AblateRow) -> str:
    """Format the paper's figure in percent: `77.09`; a dash where the paper does not have the row."""
    return "–" if row.paper is None else f"{row.paper:.2f}"


def _measured(report: AblateReport) -> list[Figure]:
    """The figures that some row has."""
    return [figure for figure in FIGURES if any(row.interval(figure) for row in report.rows)]


def _json(report: AblateReport) -> str:
    figures = _measured(report)
    rows = [
        asdict(row) | {"interval": {name: asdict(found) for name in figures if (found := row.interval(name))}}
        for row in report.rows
    ]
    head = {name: getattr(report, name) for name in ("train", "held_out", "classes", "macro_classes")}
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
    names = [heading(report, figure) for figure in figures]
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
