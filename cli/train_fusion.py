"""`vimoclip train-fusion`: a model of behaviours, from the vectors of a store."""

import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options, render
from vimoclip.errors import ConfigError
from vimoclip.fusion_config import Attention, Concat, FusionConfig, Inputs, Loss, Preset, fusion_of, settings


@render.handled
def train_fusion(
    preset: Annotated[Preset, typer.Option(help="The paper's settings, or what we think best.")] = "default",
    attention: Annotated[
        Attention | None, typer.Option(help="cross: image attends to motion.", show_default="cross")
    ] = None,
    concat: Annotated[Concat | None, typer.Option(help="Of image and motion, where attention is self.")] = None,
    inputs: Annotated[Inputs | None, typer.Option(help="What the model sees.", show_default="both")] = None,
    loss: Annotated[
        Loss | None, typer.Option(help="cross-entropy is for one behaviour a video.", show_default="the preset's")
    ] = None,
    epochs: Annotated[int | None, typer.Option(show_default="30")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Videos a step.", show_default="8")] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate at its top.", show_default="1e-4")] = None,
    seed: Annotated[int | None, typer.Option(show_default="49")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any setting: --set tfam.pooling=mean --set mixup=none."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings as TOML, above the preset and below flags.")] = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run", help="The run's folder.", show_default="runs/… by store and settings")
    ] = None,
    train_split: Annotated[str, typer.Option(help="The split to train on.")] = "train",
    eval_split: Annotated[
        str | None, typer.Option(help="The split to evaluate on after every epoch.", show_default="val, else test")
    ] = None,
    hold_out: Annotated[float, typer.Option(help="Share held out by lot where no video has a split.")] = 0.2,
    segments: Annotated[
        Path | None,
        typer.Option(help="CSV or .xlsx: label, segment.", show_default="head, middle, tail by train videos"),
    ] = None,
    store: options.Store = options.DEFAULT_STORE,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")] = "auto",
    threads: Annotated[int, typer.Option(help="0 is one a core.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Train TFAM, which fuses image and motion over time, on the labels of a store.

    Run it again at any time: the same command goes on from the last epoch. The store may be ingested into meanwhile; a
    run keeps to the store as it was when it began.
    """
    given = {"epochs": epochs, "batch_size": batch_size, "lr": lr, "seed": seed}
    flags: dict[str, Any] = {"training": {name: value for name, value in given.items() if value is not None}}
    if (attention, concat, inputs) != (None, None, None):
        flags["tfam"] = {"fusion": fusion_of(attention, concat, inputs or "both")}
    if loss is not None:
        flags["loss"] = {"name": loss}
    asked = _settings(preset, config, changes or [], flags)
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


def _settings(preset: Preset, config: Path | None, changes: list[str], flags: dict[str, Any]) -> FusionConfig:
    layers = [] if config is None else [_toml(config)]
    for change in changes:
        name, found, value = change.partition("=")
        section, dot, setting = name.strip().partition(".")
        if not found or not section:
            raise ConfigError("--set takes a name and a value.", received=change, expected="NAME=VALUE")
        layers.append({section: {setting: _value(value)}} if dot else {section: _value(value)})
    return settings(preset, *layers, flags)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read.", received=error.strerror, expected="settings as TOML") from error
    except ValueError as error:
        raise ConfigError(
            f"{path} is not TOML.", received=error, expected="such as [training] and lr = 1e-4"
        ) from error


def _value(text: str) -> Any:
    """As TOML has it, or the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text.strip()


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
    done = "was finished before" if report.known else f"{report.epochs} epochs in {report.seconds:.1f} s"
    render.err.print(f"{report.folder}: {done}.", markup=False, highlight=False)
    render.err.print(f"Next: vimoclip evaluate {report.folder} --store {store}", markup=False, highlight=False)
