"""What train-fusion, train-motion and ablate share: their options, how these become settings, the closing report."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeVar

import typer

from cli import render
from cli.options import ADVANCED
from vimoclip.config.base import Config
from vimoclip.config.fusion import Loss, Preset
from vimoclip.errors import ConfigError

PresetName = Annotated[
    Preset, typer.Option("--preset", help="paper: the paper's settings; default: what we think best.")
]
LossName = Annotated[
    Loss | None,
    typer.Option(
        "--loss",
        help="bce and asymmetric are for several behaviours per video.",
        show_default="the preset's; cross-entropy where each video shows one",
        rich_help_panel=ADVANCED,
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Passes over the training videos.", show_default="30")]
BatchSize = Annotated[
    int | None,
    typer.Option(
        "--batch-size",
        help="Videos per step; with a window, stretches of them.",
        show_default="8",
        rich_help_panel=ADVANCED,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option("--lr", help="Peak learning rate.", show_default="1e-4", rich_help_panel=ADVANCED),
]
Seed = Annotated[
    int | None,
    typer.Option("--seed", help="Seed of what training draws.", show_default="49", rich_help_panel=ADVANCED),
]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Any setting, such as training.precision=fp32; repeat it for several.",
        rich_help_panel=ADVANCED,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Settings as TOML; they override the preset, flags override them.", rich_help_panel=ADVANCED
    ),
]
TrainSplit = Annotated[str, typer.Option("--train-split", help="The split to train on.")]
EvalSplit = Annotated[
    str | None,
    typer.Option("--eval-split", help="The split to evaluate on after every epoch.", show_default="val, else test"),
]
HoldOut = Annotated[
    float,
    typer.Option(
        "--hold-out",
        help="Share of the videos held out at random where none has a split.",
        rich_help_panel=ADVANCED,
    ),
]
SelectOn = Annotated[
    float | None,
    typer.Option(
        "--select-on",
        help="Share of the training videos set aside to choose the best epoch on.",
        show_default="none is chosen",
        rich_help_panel=ADVANCED,
    ),
]
SplitSeed = Annotated[
    int,
    typer.Option(
        "--split-seed",
        min=0,
        help="Seed of the random draw of held-out videos; the same for the student and all models.",
        rich_help_panel=ADVANCED,
    ),
]
HoldOutBy = Annotated[
    str | None,
    typer.Option(
        "--hold-out-by",
        metavar="COLUMN",
        help="Keep videos of one site, recording, day, … on the same side: a metadata column, or folder.",
        show_default="each video by itself",
        rich_help_panel=ADVANCED,
    ),
]
AllowTaught = Annotated[
    bool,
    typer.Option(
        "--allow-taught",
        help="Evaluate even on videos that the student of the motion vectors was taught on.",
        rich_help_panel=ADVANCED,
    ),
]
CalibrateOn = Annotated[
    Literal["unseen", "train"],
    typer.Option(
        "--calibrate-on",
        help="unseen: on videos not trained on, which takes twice as long without --select-on; train: quick, too sure.",
        rich_help_panel=ADVANCED,
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
        help="Leave out classes with fewer training videos.",
        show_default="a class without any is refused",
        rich_help_panel=ADVANCED,
    ),
]
ClassGroups = Annotated[
    Path | None,
    typer.Option(
        "--class-groups",
        help="CSV or .xlsx: label, segment.",
        show_default="head, middle, tail by training videos",
        rich_help_panel=ADVANCED,
    ),
]


C_co = TypeVar("C_co", bound=Config, covariant=True)


class Settings(Protocol[C_co]):
    """A preset with changes, such as `vimoclip.config.fusion.fusion_settings`."""

    def __call__(self, preset: Preset, *changes: dict[str, Any]) -> C_co: ...


def merged_settings(
    settings: Settings[C_co], preset: Preset, config: Path | None, changes: list[str], flags: dict[str, Any]
) -> C_co:
    """Merge what the user gave; later ones win: preset, file, --set, flags.

    Args:
        settings: makes the settings from a preset and changes to it.
        preset: what to start from.
        config: a TOML file; None where none was given.
        changes: of --set, each `name=value` or `section.name=value`.
        flags: by section and name; a flag that was not given is None.

    Raises:
        ConfigError: a setting is unknown or has a value it cannot have, or the file cannot be read.
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
    """Drop the flags that were not given."""
    known = {name: _given(value) if isinstance(value, dict) else value for name, value in flags.items()}
    return {name: value for name, value in known.items() if value is not None}


def _toml(path: Path) -> dict[str, Any]:
    """Read a settings file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read.", received=error.strerror, expected="settings as TOML") from error
    except ValueError as error:
        raise ConfigError(
            f"{path} is not TOML.", received=error, expected="TOML, such as [training] and lr = 1e-4"
        ) from error


def _value(text: str) -> Any:
    """Parse a value of --set: TOML, `none`, or else the text itself."""
    if text.strip().lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        return text.strip()


def finish(report: Any) -> bool:
    """Print the figures of the last epoch and how the run ended.

    Args:
        report: a `pipelines.run_folder.TrainReport`.

    Returns:
        Whether the run is finished; False where it was interrupted.
    """
    from pipelines.run_folder import SELECTED
    from vimoclip.training.metrics import over_classes, percent

    last = report.records[-1] if report.records else {}
    metrics = last.get("held_out", {})
    over = f", {over_classes(metrics['classes'])}" if "classes" in metrics else ""
    shown = [("mAP, micro", "micro"), ("mAP, micro of batches", "micro_batches"), (f"mAP, macro{over}", "macro")]
    figures = [(name, percent(metrics[key])) for name, key in shown if key in metrics]
    figures += [(f"mAP, {name}", percent(value)) for name, value in metrics.get("segments", {}).items()]
    figures += [("accuracy", percent(metrics["accuracy"]))] if metrics.get("accuracy") is not None else []
    figures += [("cosine to the image", f"{metrics['cosine']:.3f}")] if "cosine" in metrics else []
    if figures:
        render.print_table(render.err, f"After epoch {last['epoch']}", ("", ""), figures, numbers=("",))
    if report.interrupted:
        render.err.print("Interrupted. The last epoch is kept; the same command continues from there.")
        return False
    if getattr(report, "calibrated_on", ""):
        render.err.print(f"Probabilities are calibrated on {report.calibrated_on}.", markup=False, highlight=False)
    if report.known and report.loss:
        render.err.print(report.loss, markup=False, highlight=False)
    if report.selected is not None:
        chosen = f"Epoch {report.selected} is the best on what was cut from train"
        render.err.print(f"{chosen}: {report.folder / SELECTED}.", markup=False, highlight=False)
    done = (
        "was finished before" if report.known else f"{render.count(report.epochs, 'epoch')} in {report.seconds:.1f} s"
    )
    render.err.print(f"{report.folder}: {done}.", markup=False, highlight=False)
    return True
