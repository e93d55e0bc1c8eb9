"""`vimoclip evaluate`: how good a run is on a split."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options, render, training_options


@render.handled
def evaluate(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    split: Annotated[
        str | None,
        typer.Option(
            help="The split to evaluate on, or all, which is every video.",
            show_default="all; without splits, what the run held out",
        ),
    ] = None,
    class_groups: training_options.ClassGroups = None,
    batch_size: Annotated[int, typer.Option(help="Batch size for the micro mAP of batches; 0 is the run's.")] = 0,
    per_class: Annotated[bool, typer.Option("--classes", help="Show every class.")] = False,
    allow_taught: training_options.AllowTaught = False,
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    as_json: options.Json = False,
) -> None:
    """Evaluate a run on a split of a store whose features were made with the same settings.

    The literature calls three figures mAP: micro, over all pairs of video and class in one ranking; the mean of micro
    over batches; and macro, the mean over classes. All three are shown. A run that was trained with --window is
    evaluated on stretches of the same length.
    """
    from pipelines.evaluate import EvaluateRequest, run
    from vimoclip.config.store import RunConfig

    settings = RunConfig(device=device, threads=threads)
    report = run(EvaluateRequest(store, run_folder, split, class_groups, batch_size, settings, allow_taught))
    for warning in report.warnings:
        render.err.print(warning, markup=False, highlight=False)
    if as_json:
        render.print_json(report)
        return
    _print(report, f"epoch {report.epoch}, the last", per_class)
    if report.selected is not None:
        _print(report.selected, f"epoch {report.selected.epoch}, the best on a part cut from train", per_class)


def _print(report: Any, which: str, per_class: bool) -> None:
    """Print the figures of the epoch that `which` describes."""
    from vimoclip.training.metrics import over_classes, percent

    metrics = report.metrics
    rows = [
        ("mAP, micro", percent(metrics.micro)),
        ("mAP, micro of batches", percent(metrics.micro_batches)),
        (f"mAP, macro, {over_classes(metrics.classes)}", percent(metrics.macro)),
        *((f"mAP, {name}", percent(value)) for name, value in metrics.class_groups.items()),
        ("calibration error", percent(metrics.calibration)),
    ]
    if metrics.accuracy is not None:
        rows.append(("accuracy", percent(metrics.accuracy)))
    on = render.count(metrics.videos, "video")
    if metrics.stretches is not None:
        on = f"{render.count(metrics.stretches, 'stretch', 'stretches')} of {on}"
    title = f"{report.folder}, {which}, on {on}, {report.judged_on}"
    render.print_table(render.out, title, (f"epoch {report.epoch}", "%"), rows, numbers="%")
    if per_class:
        columns = ("class", "group", "train", "here", "AP %")
        classes = [(*row[:4], percent(row[4])) for row in report.classes]
        render.print_table(render.out, "Classes", columns, classes, numbers=columns[2:])
    render.err.print(f"Its probabilities are calibrated on {report.calibrated_on}.", markup=False, highlight=False)
    if left_out := report.sequences.unlabelled + report.sequences.unembedded:
        render.line(f"Left out: {render.count(left_out, 'video')} without labels or vectors.")
