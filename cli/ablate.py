"""`vimoclip ablate`: the paper's Table 2 on a store."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from cli import options, render, training_options
from pipelines.executor import Engine
from vimoclip.config.fusion import HEADS, fusion_settings


@render.handled
def ablate(
    seeds: Annotated[int, typer.Option(min=1, help="Runs per row, each with its own seed.")] = 3,
    rows: Annotated[
        str | None,
        typer.Option(help=f"Rows, separated by commas: {', '.join(HEADS)}.", show_default="the five of Table 2"),
    ] = None,
    preset: training_options.PresetName = "default",
    loss: training_options.LossName = None,
    epochs: training_options.Epochs = None,
    batch_size: training_options.BatchSize = None,
    lr: training_options.Rate = None,
    seed: Annotated[
        int | None,
        typer.Option(help="The first seed; the others follow it.", show_default="49", rich_help_panel=options.ADVANCED),
    ] = None,
    changes: training_options.Changes = None,
    config: training_options.ConfigFile = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="The ablation's folder.", show_default="runs/… by store and settings")
    ] = None,
    train_split: training_options.TrainSplit = "train",
    eval_split: training_options.EvalSplit = None,
    hold_out: training_options.HoldOut = 0.2,
    hold_out_by: training_options.HoldOutBy = None,
    split_seed: training_options.SplitSeed = 49,
    min_videos: training_options.MinVideos = None,
    class_groups: training_options.ClassGroups = None,
    allow_taught: training_options.AllowTaught = False,
    calibrate_on: training_options.CalibrateOn = "train",
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    engine: options.Engine = "auto",
    ray_address: options.RayAddress = None,
    side_by_side: Annotated[
        int, typer.Option(min=1, help="On Ray: runs at a time on each GPU.", rich_help_panel=options.ADVANCED)
    ] = 1,
    as_json: options.Json = False,
) -> None:
    """Train the five fusions of the paper's Table 2, each with several seeds, and compare them.

    Run the command again at any time: finished runs are kept, and more seeds or rows are added to them.
    """
    training = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    asked = training_options.merged_settings(
        fusion_settings, preset, config, changes or [], {"training": training, "loss": {"name": loss}}
    )
    from cli.progress import ProgressBar
    from pipelines.ablate import ROWS, AblateRequest, parse_rows, run_all, write_files
    from pipelines.train_fusion import TrainFusionRequest
    from vimoclip.config.store import RunConfig
    from vimoclip.training.splits import SplitRequest

    base = TrainFusionRequest(
        store=store,
        config=asked,
        folder=run_folder,
        split=SplitRequest(train_split, eval_split, hold_out, min_videos, split_seed, hold_out_by, allow_taught),
        class_groups=class_groups,
        run=RunConfig(device=device, threads=threads),
        calibrate_on=calibrate_on,
    )
    request = AblateRequest(
        base, parse_rows(rows) if rows else ROWS, seeds, Engine(engine, address=ray_address), side_by_side
    )
    with ProgressBar() as progress:
        report = run_all(request, progress)
    files = write_files(report) if not report.interrupted else []
    if as_json:
        render.print_json(report)
    _print(report, files, render.err if as_json else render.out)
    if report.interrupted:
        raise typer.Exit(render.INTERRUPTED)


def _print(report: Any, files: list[Path], console: Console) -> None:
    """Print the table to `console`, and the rest to stderr."""
    from pipelines.ablate import FIGURES, cell, heading, paper_cell
    from vimoclip.training.metrics import percent

    figures = [figure for figure in FIGURES if any(row.last.get(figure) for row in report.rows)]
    first = min((seed for row in report.rows for seed in row.seeds), default=0)
    best = f"best epoch of seed {first}"
    columns = ("fusion", *(heading(report, figure) for figure in figures), best, "seeds", "paper")
    rows = [
        (
            HEADS[row.fusion].title,
            *(cell(row, figure) for figure in figures),
            percent(row.best_of("micro", first)),
            len(row.seeds),
            paper_cell(row),
        )
        for row in report.rows
        if row.seeds
    ]
    if rows:
        title = f"After the last epoch, in percent, on {report.held_out}; mean and 95% interval"
        render.print_table(console, title, columns, rows, numbers=columns[1:])
        render.err.print(
            "best epoch: the highest micro mAP of any epoch of one seed, which is how the paper has it; chosen on the "
            "videos it is measured on, and so too high. paper: Table 2, on Animal Kingdom.",
            highlight=False,
        )
    if report.interrupted:
        render.err.print("Interrupted. What is trained is kept; the same command continues from there.")
        return
    done = f"{render.count(report.epochs, 'epoch')} in {report.seconds:.1f} s; finished before: {report.known}"
    render.err.print(f"{report.folder}: {done}.", markup=False, highlight=False)
    for path in files:
        render.err.print(str(path), markup=False, highlight=False)
