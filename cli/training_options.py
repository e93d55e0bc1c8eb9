"""What train-fusion, train-motion and ablate share: how their settings are given, and what they show in the end."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer

from cli import render
from vimoclip.config.base import Config
from vimoclip.config.fusion import Loss, Preset
from vimoclip.errors import ConfigError

PresetName = Annotated[Preset, typer.Option("--preset", help="The paper's settings, or what we think best.")]
LossName = Annotated[
    Loss | None,
    typer.Option(
        "--loss",
        help="bce and asymmetric are for several behaviours a video.",
        show_default="the preset's; cross-entropy where each video shows one",
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", show_default="30")]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Videos, or stretches of them, a step.", show_default="8")
]
Rate = Annotated[float | None, typer.Option("--lr", help="Learning rate at its top.", show_default="1e-4")]
Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any setting: --set tfam.pooling=mean --set mixup=none."),
]
ConfigFile = Annotated[
    Path | None, typer.Option("--config", help="Settings as TOML, above the preset and below flags.")
]
TrainSplit = Annotated[str, typer.Option("--train-split", help="The split to train on.")]
EvalSplit = Annotated[
    str | None,
    typer.Option("--eval-split", help="The split to evaluate on after every epoch.", show_default="val, else test"),
]
HoldOut = Annotated[float, typer.Option("--hold-out", help="Share held out by lot where no video has a split.")]
SelectOn = Annotated[
    float | None,
    typer.Option(
        "--select-on", help="Share of train to cut off and choose the best epoch on.", show_default="none is chosen"
    ),
]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="The run's folder.", show_default="runs/… by store and settings")
]
MinVideos = Annotated[
    int | None,
    typer.Option(
        "--min-videos",
        min=1,
        help="Leave out classes that fewer videos to train on show.",
        show_default="a class that none shows is refused",
    ),
]
ClassGroups = Annotated[
    Path | None,
    typer.Option(
        "--class-groups", help="CSV or .xlsx: label, segment.", show_default="head, middle, tail by train videos"
    ),
]


C_co = TypeVar("C_co", bound=Config, covariant=True)


class Settings(Protocol[C_co]):
    """A preset with changes, such as `vimoclip.config.fusion.fusion_settings`."""

    def __call__(self, preset: Preset, *changes: dict[str, Any]) -> C_co: ...


def merged_settings(
    settings: Settings[C_co], preset: Preset, config: Path | None, changes: list[str], flags: dict[str, Any]
) -> C_co:
    """The settings that preset, file, --set and flags give together; later ones win. What is None was not given.

    Raises:
        ConfigError: an unknown setting, a value it cannot have, a file that cannot be read.
    """
    layers = [] if config is None else [_toml(config)]
    for change in changes:
        name, found, value = change.partition("=")
        section, dot, setting = name.strip().partition(".")
        if not found or not section:
            raise ConfigError("--set takes a name and a value.", received=change, expected="NAME=VALUE")
        layers.append({section: {setting: _value(value)}} if dot else {section: _value(value)})
    return settings(preset, *layers, _given(flags))


def _given(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags without those that were not."""
    known = {name: _given(value) if isinstance(value, dict) else value for name, value in flags.items()}
    return {name: value for name, value in known.items() if value is not None}


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
    """As TOML has it; none; or the text itself."""
    if text.strip().lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text.strip()


# What they show when they are done.


def finish(report: Any) -> bool:
    """Print the figures of the last epoch and what became of the run; False where it was interrupted."""
    from pipelines.run_folder import SELECTED
    from vimoclip.training.metrics import percent

    last = report.records[-1] if report.records else {}
    metrics = last.get("held_out", {})
    shown = [("mAP, micro", "micro"), ("mAP, micro of batches", "micro_batches"), ("mAP, macro", "macro")]
    figures = [(name, percent(metrics[key])) for name, key in shown if key in metrics]
    figures += [(f"mAP, {name}", percent(value)) for name, value in metrics.get("segments", {}).items()]
    figures += [("accuracy", percent(metrics["accuracy"]))] if metrics.get("accuracy") is not None else []
    figures += [("cosine to the image", f"{metrics['cosine']:.3f}")] if "cosine" in metrics else []
    if figures:
        render.err.print(render.table(f"After epoch {last['epoch']}", ("", ""), figures, numbers=("",)))
    if report.interrupted:
        render.err.print("Interrupted. The last epoch is kept; the same command goes on from there.")
        return False
    if report.selected is not None:
        chosen = f"Epoch {report.selected} is the best on what was cut from train"
        render.err.print(f"{chosen}: {report.folder / SELECTED}.", markup=False, highlight=False)
    done = "was finished before" if report.known else f"{report.epochs} epochs in {report.seconds:.1f} s"
    render.err.print(f"{report.folder}: {done}.", markup=False, highlight=False)
    return True
