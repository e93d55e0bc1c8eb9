"""`vimoclip label`: labels, splits and metadata onto videos that are in the store."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options, render
from vimoclip.errors import UsageError


@render.handled
def label(
    file: Annotated[Path | None, typer.Argument(help="CSV: filepath,label[,split,start_s,end_s,…]")] = None,
    from_folders: Annotated[bool, typer.Option("--from-folders", help="A video's folder is its label.")] = False,
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Attach labels, splits and metadata, without touching a frame. Applying a file again replaces its labels."""
    if (file is None) != from_folders:
        raise UsageError("Give a label file, or --from-folders.", received="both" if file else "neither")
    from pipelines.label import run

    report = run(store, file, not no_wait, render.waiting)
    if as_json:
        render.print_json(report)
    rows = [
        ("videos labelled", report.videos),
        ("labels", report.labels),
        ("changed", report.changed),
        ("unknown videos", len(report.unknown)),
        ("names that fit several", len(report.ambiguous)),
    ]
    render.err.print(render.table(report.source, ("", "count"), rows, numbers=("count",)))
    for name in report.unknown[:20]:
        render.err.print(f"not in the store: {name}", markup=False, highlight=False)
    for name in report.ambiguous[:20]:
        render.err.print(f"fits several videos: {name}", markup=False, highlight=False)
    if report.unknown or report.ambiguous:
        render.err.print("The others were labelled. --json lists every name.", markup=False)
        raise typer.Exit(render.SOME_FAILED)
