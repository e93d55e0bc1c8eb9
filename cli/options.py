"""Options that several commands share, so that every command spells and explains them alike, and times as text."""

import re
from typing import Annotated

import typer

from pipelines.executor import EngineName
from vimoclip.config.store import Precision as PrecisionName
from vimoclip.config.store import Resize as ResizeName
from vimoclip.errors import UsageError

ADVANCED = "Advanced"
"""The panel of `--help` for the options that few users need. A short command shows all in one (`render.Command`)."""

DEFAULT_STORE = "vimoclip-store"

Store = Annotated[  # text, not a Path, which would turn s3://bucket into s3:/bucket
    str,
    typer.Option(
        "--store",
        envvar="VIMOCLIP_STORE",
        help="The store's folder, or s3://bucket/folder.",
        show_default="./vimoclip-store",
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document to stdout; everything else goes to stderr.",
        rich_help_panel=ADVANCED,
    ),
]
NoWait = Annotated[
    bool,
    typer.Option("--no-wait", help="Fail, rather than wait, while another process writes.", rich_help_panel=ADVANCED),
]

Weights = Annotated[
    str | None, typer.Option(help="Tag of open_clip or timm, path, or none (seeded random).", show_default="openai")
]
Preprocess = Annotated[
    str | None,
    typer.Option(
        help="For weights from a path: the open_clip tag they are preprocessed like, or JSON.",
        rich_help_panel=ADVANCED,
    ),
]
Precision = Annotated[
    PrecisionName | None,
    typer.Option(help="Arithmetic of the models.", show_default="auto", rich_help_panel=ADVANCED),
]
Resize = Annotated[
    ResizeName | None,
    typer.Option(
        help="How a frame becomes square; own is the model's own way.",
        show_default="squash",
        rich_help_panel=ADVANCED,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Threads = Annotated[int, typer.Option(help="CPU threads; 0 is one per core.", rich_help_panel=ADVANCED)]
Engine = Annotated[EngineName, typer.Option(help="auto is Ray where there are several GPUs.", rich_help_panel=ADVANCED)]
Workers = Annotated[int, typer.Option(help="Ray workers; 0 is one per GPU.", rich_help_panel=ADVANCED)]
RayAddress = Annotated[
    str | None,
    typer.Option(help="Address of a running Ray cluster.", show_default="a private one", rich_help_panel=ADVANCED),
]
Timeout = Annotated[
    float,
    typer.Option(help="Seconds without a frame after which a video is given up.", rich_help_panel=ADVANCED),
]


# Times as users write them.


_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0}
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")


def seconds(option: str, text: str | None) -> float | None:
    """Parse `2s`, `500ms`, `1.5`, `1:30` or `1:02:03.5`.

    Args:
        option: its name, for the error.
        text: as given; None where the option was not given.

    Returns:
        Seconds; None where `text` is None.

    Raises:
        UsageError: the text is not a time.
    """
    if text is None:
        return None
    plain = text.strip().lower()
    if (found := _TIME.fullmatch(plain)) and found[2] in _UNITS:
        return float(found[1]) * _UNITS[found[2]]
    if found := _CLOCK.fullmatch(plain):
        return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])
    raise UsageError(f"{option} is a time.", received=text, expected="2s, 1.5, 500ms or 1:30")
