"""Options that several commands share, so that they are spelled and explained the same everywhere."""

import re
from typing import Annotated

import typer

from pipelines.executor import EngineName
from vimoclip.config.store import Precision as PrecisionName
from vimoclip.config.store import Resize as ResizeName
from vimoclip.errors import UsageError

Store = Annotated[  # text, not a Path, which would turn s3://bucket into s3:/bucket
    str,
    typer.Option(
        "--store",
        envvar="VIMOCLIP_STORE",
        help="The store's folder, or s3://bucket/folder.",
        show_default="./vimoclip-store",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document; everything else goes to stderr.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Fail rather than wait when another process writes.")]

Weights = Annotated[
    str | None, typer.Option(help="open_clip tag, path, or none (seeded random).", show_default="openai")
]
Preprocess = Annotated[str | None, typer.Option(help="For weights by path: the tag they were made like, or JSON.")]
Precision = Annotated[PrecisionName | None, typer.Option(help="Of the models' arithmetic.", show_default="auto")]
Resize = Annotated[
    ResizeName | None, typer.Option(help="Frame to square input; own is the model's own way.", show_default="squash")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")]
Threads = Annotated[int, typer.Option(help="0 is one a core.")]
Engine = Annotated[EngineName, typer.Option(help="auto is Ray where there are several GPUs.")]
Workers = Annotated[int, typer.Option(help="On Ray; 0 is one a GPU.")]
RayAddress = Annotated[str | None, typer.Option(help="Of a running Ray cluster.", show_default="a private one")]
Timeout = Annotated[float, typer.Option(help="Seconds without a frame after which a video is given up.")]

DEFAULT_STORE = "vimoclip-store"


# Times as people write them on a command line.


_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0}
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")


def seconds(option: str, text: str | None) -> float | None:
    """`2s`, `500ms`, `1.5`, `1:30` or `1:02:03.5`, in seconds; None where nothing was given.

    Raises:
        UsageError: it is no time.
    """
    if text is None:
        return None
    plain = text.strip().lower()
    if (found := _TIME.fullmatch(plain)) and found[2] in _UNITS:
        return float(found[1]) * _UNITS[found[2]]
    if found := _CLOCK.fullmatch(plain):
        return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])
    raise UsageError(f"{option} is a time.", received=text, expected="2s, 1.5, 500ms or 1:30")
