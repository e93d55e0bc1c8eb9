"""Options that several commands share, so that they are spelled and explained the same everywhere."""

from typing import Annotated

import typer

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

DEFAULT_STORE = "vimoclip-store"
