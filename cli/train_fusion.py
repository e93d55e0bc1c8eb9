"""`vimoclip train-fusion`: train a behaviour model on the vectors and labels of a store."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from cli import options, render, training_options
from vimoclip.config.fusion import HEADS, Attention, Concat, Fusion, Inputs, fusion_of, fusion_settings
from vimoclip.errors import UsageError

if TYPE_CHECKING:
    HeadName = str
else:
    HeadName = Literal[tuple(HEADS)]

COLUMNS = {
    "videos": "videos",
    "stretches": "stretches",
    "frames": "frames",
    "one_frame": "of one frame",
    "motionless": "at rest",
}
"""Headings of the table by the fields of `SequenceReport` that it shows."""


@render.handled
def train_fusion(
    preset: training_options.PresetName = "default",
    attention: Annotated[
        Attention | None,
        typer.Option(help="cross: image attends to motion; self: both are joined.", show_default="cross"),
    ] = None,
    concat: Annotated[
        Concat | None,
        typer.Option(help="With --attention self: join the two in time or in width.", rich_help_panel=options.ADVANCED),
    ] = None,
    inputs: Annotated[
        Inputs | None,
        typer.Option(help="The vectors that the model sees.", show_default="both", rich_help_panel=options.ADVANCED),
    ] = None,
    head: Annotated[
        HeadName | None,
        typer.Option(help="linear and prototype are for few clips, and fitted in seconds.", show_default="cross"),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(
            help="Cut longer videos into stretches of at most this length, each with its own labels: 2s.",
            show_default="whole videos",
        ),
    ] = None,
    loss: training_options.LossName = None,
    epochs: training_options.Epochs = None,
    batch_size: training_options.BatchSize = None,
    lr: training_options.Rate = None,
    seed: training_options.Seed = None,
    changes: training_options.Changes = None,
    config: training_options.ConfigFile = None,
    run_folder: training_options.RunFolder = None,
    train_split: training_options.TrainSplit = "train",
    eval_split: training_options.EvalSplit = None,
    hold_out: training_options.HoldOut = 0.2,
    hold_out_by: training_options.HoldOutBy = None,
    split_seed: training_options.SplitSeed = 49,
    select_on: training_options.SelectOn = None,
    min_videos: training_options.MinVideos = None,
    class_groups: training_options.ClassGroups = None,
    allow_taught: training_options.AllowTaught = False,
    calibrate_on: training_options.CalibrateOn = "unseen",
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    as_json: options.Json = False,
) -> None:
    """Train TFAM, which fuses image and motion over time, or another head, on the labels of a store.

    Run the command again at any time: it continues from the last epoch. The store may be written to meanwhile; a run
    reads the store as it was when the run began.
    """
    from cli.options import seconds

    flags: dict[str, Any] = {
        "sequences": {"window_s": seconds("--window", window)},
        "training": {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed},
        "loss": {"name": loss},
        "select_on": select_on,
    }
    if head is not None and (attention, concat, inputs) != (None, None, None):
        raise UsageError("--head names all that --attention, --concat and --inputs name.", received=f"--head {head}")
    if head in get_args(Fusion):
        flags["tfam"] = {"fusion": head}
    else:
        flags["head"] = head
    if (attention, concat, inputs) != (None, None, None):
        flags["tfam"] = {"fusion": fusion_of(attention, concat, inputs or "both")}
    asked = training_options.merged_settings(fusion_settings, preset, config, changes or [], flags)
    from cli.progress import ProgressBar
    from pipelines.train_fusion import TrainFusionRequest, run
    from vimoclip.config.store import RunConfig
    from vimoclip.training.splits import SplitRequest

    request = TrainFusionRequest(
        store=store,
        config=asked,
        folder=run_folder,
        split=SplitRequest(train_split, eval_split, hold_out, min_videos, split_seed, hold_out_by, allow_taught),
        class_groups=class_groups,
        run=RunConfig(device=device, threads=threads),
        calibrate_on=calibrate_on,
    )
    with ProgressBar() as progress:
        report = run(request, progress)
    if as_json:
        render.print_json(report)
    _print(report, store)
    if report.interrupted:
        raise typer.Exit(render.INTERRUPTED)


def _print(report: Any, store: str) -> None:
    cut = any(found.cut for found in report.sequences.values())
    shown = {field: heading for field, heading in COLUMNS.items() if cut or field != "stretches"}
    if any(found.imageless for found in report.sequences.values()):
        shown["imageless"] = "no image"
    rows = [
        (name, *(getattr(found, field) for field in shown), found.unlabelled + found.unembedded)
        for name, found in report.sequences.items()
    ]
    if rows:
        columns = ("", *shown.values(), "left out")
        classes = render.count(report.classes, "class", "classes")
        title = f"{report.train}; {report.held_out} held out; {classes}"
        render.print_table(render.err, title, columns, rows, numbers=columns[1:])
    if training_options.finish(report):
        render.err.print(f"Next: vimoclip evaluate {report.folder} --store {store}", markup=False, highlight=False)
