"""`vimoclip label`: labels, splits and metadata for stored videos."""

from pathlib import Path
from typing import Annotated

import typer

from cli import options, render
from vimoclip.errors import UsageError


@render.handled
def label(
    file: Annotated[
        Path | None, typer.Argument(help="Label file: CSV, BORIS, Camtrap DP, or a data set's own format.")
    ] = None,
    from_folders: Annotated[
        bool, typer.Option("--from-folders", help="Label each video with the name of its folder.")
    ] = False,
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Add labels, splits and metadata to stored videos. Applying a file again replaces its labels."""
    if (file is None) != from_folders:
        raise UsageError("Give a label file, or --from-folders.", received="both" if file else "neither")
    from pipelines.label import run

    report = run(store, file, not no_wait, render.line)
    if as_json:
        render.print_json(report)
    rows = [
        ("videos labelled", report.videos),
        ("labels", report.labels),
        ("changed", report.changed),
        ("unknown videos", len(report.unknown)),
        ("names of several videos", len(report.ambiguous)),
        ("past the video's end", len(report.past_end)),
        ("unpaired starts and stops", len(report.unpaired)),
        ("events without a place", len(report.unplaced)),
    ]
    render.err.print(render.table(report.source, ("", "count"), rows, numbers=("count",)))
    for what, names in (
        ("not in the store", report.unknown),
        ("matches several videos", report.ambiguous),
        ("cut or left out", report.past_end),
        ("not paired", report.unpaired),
        ("no known place in a video", report.unplaced),
    ):
        for name in names[:20]:
            render.err.print(f"{what}: {name}", markup=False, highlight=False)
    if not report.complete:
        render.err.print("Everything else was applied. --json lists every name.", markup=False)
        raise typer.Exit(render.SOME_FAILED)
