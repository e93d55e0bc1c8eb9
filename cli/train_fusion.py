"""`vimoclip train-fusion`: a model of behaviours, from the vectors of a store."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import fusion_options, options, render
from vimoclip.fusion_config import Attention, Concat, Inputs, fusion_of


@render.handled
def train_fusion(
    preset: fusion_options.PresetName = "default",
    attention: Annotated[
        Attention | None, typer.Option(help="cross: image attends to motion.", show_default="cross")
    ] = None,
    concat: Annotated[Concat | None, typer.Option(help="Of image and motion, where attention is self.")] = None,
    inputs: Annotated[Inputs | None, typer.Option(help="What the model sees.", show_default="both")] = None,
    loss: fusion_options.LossName = None,
    epochs: fusion_options.Epochs = None,
    batch_size: fusion_options.BatchSize = None,
    lr: fusion_options.Rate = None,
    seed: Annotated[int | None, typer.Option(show_default="49")] = None,
    changes: fusion_options.Changes = None,
    config: fusion_options.Settings = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="The run's folder.", show_default="runs/… by store and settings")
    ] = None,
    train_split: fusion_options.TrainSplit = "train",
    eval_split: fusion_options.EvalSplit = None,
    hold_out: fusion_options.HoldOut = 0.2,
    select_on: Annotated[
        float | None,
        typer.Option(help="Share of train to cut off and choose the best epoch on.", show_default="none is chosen"),
    ] = None,
    least_videos: fusion_options.LeastVideos = None,
    segments: fusion_options.Segments = None,
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    as_json: options.Json = False,
) -> None:
    """Train TFAM, which fuses image and motion over time, on the labels of a store.

    Run it again at any time: the same command goes on from the last epoch. The store may be ingested into meanwhile; a
    run keeps to the store as it was when it began.
    """
    flags: dict[str, Any] = {
        "training": {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed},
        "loss": {"name": loss},
        "select_on": select_on,
    }
    if (attention, concat, inputs) != (None, None, None):
        flags["tfam"] = {"fusion": fusion_of(attention, concat, inputs or "both")}
    asked = fusion_options.settings_of(preset, config, changes or [], flags)
    from cli.training_progress import TrainingProgress
    from pipelines.train_fusion import TrainFusionRequest, run
    from vimoclip.config import RunConfig

    request = TrainFusionRequest(
        store=store,
        config=asked,
        folder=run_folder,
        train=train_split,
        held_out=eval_split,
        share=hold_out,
        least_videos=least_videos,
        segments=segments,
        run=RunConfig(device=device, threads=threads),
    )
    with TrainingProgress() as progress:
        report = run(request, progress)
    if as_json:
        render.print_json(report)
    _print(report, store)
    if report.interrupted:
        raise typer.Exit(render.INTERRUPTED)


def _print(report: Any, store: str) -> None:
    rows = [
        (name, found.videos, found.frames, found.one_frame, found.motionless, found.unlabelled + found.unembedded)
        for name, found in report.sequences.items()
    ]
    if rows:
        columns = ("", "videos", "frames", "of one frame", "at rest", "left out")
        title = f"{report.train}; {report.held_out} held out; {report.classes} classes"
        render.err.print(render.table(title, columns, rows, numbers=columns[1:]))
    last = report.records[-1] if report.records else {}
    metrics = last.get("held_out", {})
    shown = [("mAP, micro", "micro"), ("mAP, micro of batches", "micro_batches"), ("mAP, macro", "macro")]
    figures = [(name, render.percent(metrics[key])) for name, key in shown if key in metrics]
    figures += [(f"mAP, {name}", render.percent(value)) for name, value in metrics.get("segments", {}).items()]
    figures += [("accuracy", render.percent(metrics["accuracy"]))] if metrics.get("accuracy") is not None else []
    if figures:
        render.err.print(render.table(f"After epoch {last['epoch']}", ("", ""), figures, numbers=("",)))
    if report.interrupted:
        render.err.print("Interrupted. The last epoch is kept; the same command goes on from there.")
        return
    if report.selected is not None:
        chosen = f"Epoch {report.selected} is the best on what was cut from train"
        render.err.print(f"{chosen}: {report.folder}/selected.", markup=False, highlight=False)
    done = "was finished before" if report.known else f"{report.epochs} epochs in {report.seconds:.1f} s"
    render.err.print(f"{report.folder}: {done}.", markup=False, highlight=False)
    render.err.print(f"Next: vimoclip evaluate {report.folder} --store {store}", markup=False, highlight=False)
