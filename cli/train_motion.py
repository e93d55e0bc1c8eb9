"""`vimoclip train-motion`: train a motion student on the flow and labels of a store."""

from typing import Annotated, Any

import typer

from cli import options, render, training_options
from pipelines.executor import Engine
from vimoclip.config.motion import motion_settings
from vimoclip.config.store import FlowImage


@render.handled
def train_motion(
    preset: training_options.PresetName = "default",
    encoding: Annotated[
        FlowImage | None,
        typer.Option(
            help="Image of the flow that the student sees.", show_default="uvm", rich_help_panel=options.ADVANCED
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training videos.", show_default="10")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Segments of 30 frames per step.", show_default="32")] = None,
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
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    engine: options.Engine = "auto",
    workers: options.Workers = 0,
    ray_address: options.RayAddress = None,
    as_json: options.Json = False,
) -> None:
    """Train the motion student, MoCLIP, on the flow and the labels of a store. No video is decoded.

    Run the command again at any time: it continues where it stopped. The store may be written to meanwhile; a run
    reads the store as it was when the run began.
    """
    flags: dict[str, Any] = {
        "training": {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed},
        "encoding": encoding,
        "select_on": select_on,
    }
    asked = training_options.merged_settings(motion_settings, preset, config, changes or [], flags)
    from cli.progress import ProgressBar
    from pipelines.executor import is_ray
    from pipelines.train_motion import TrainMotionRequest, run
    from vimoclip.config.store import RunConfig
    from vimoclip.training.splits import SplitRequest

    request = TrainMotionRequest(
        store=store,
        config=asked,
        folder=run_folder,
        split=SplitRequest(train_split, eval_split, hold_out, min_videos, split_seed, hold_out_by),
        run=RunConfig(device=device, threads=threads),
    )
    chosen = Engine(engine, workers, ray_address)
    with ProgressBar() as progress:
        if is_ray(request.run, chosen):
            from pipelines.train_motion import run_distributed as run_on_ray

            report = run_on_ray(request, chosen, progress)
        else:
            report = run(request, progress)
    if as_json:
        render.print_json(report)
    _print(report, store)
    if report.interrupted:
        raise typer.Exit(render.INTERRUPTED)


def _print(report: Any, store: str) -> None:
    rows = [
        (name, found.videos, found.segments, found.frames, found.unlabelled, found.one_frame, found.flowless)
        for name, found in report.segments.items()
    ]
    if rows:
        columns = ("", "videos", "segments", "frames", "no label", "one frame", "no flow")
        classes = render.count(report.classes, "class", "classes")
        title = f"{report.train}; {report.held_out} held out; {classes}"
        render.print_table(render.err, title, columns, rows, numbers=columns[1:])
    if training_options.finish(report):
        made = f"vimoclip embed --motion {report.folder} --as moclip_trained {render.at(store)}"
        render.err.print(f"Next: {made}", markup=False, highlight=False)
