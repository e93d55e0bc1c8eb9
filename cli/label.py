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
    sources: Annotated[
        bool, typer.Option("--sources", help="List where the labels come from, and how many each source gives.")
    ] = False,
    remove: Annotated[
        str | None, typer.Option("--remove", metavar="SOURCE", help="Take out every label that a source gives.")
    ] = None,
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Add labels, splits and metadata to stored videos. Applying a file again replaces its labels, and no others."""
    given = {"a file": file is not None, "--from-folders": from_folders, "--sources": sources, "--remove": bool(remove)}
    if sum(given.values()) != 1:
        raise UsageError(
            "Give a label file, or --from-folders; or --sources, or --remove SOURCE.",
            received=" and ".join(name for name, is_given in given.items() if is_given) or "neither",
        )
    if sources:
        _list_sources(store, as_json)
    elif remove:
        _remove_source(store, remove, not no_wait, as_json)
    else:
        _apply(store, file, not no_wait, as_json)


def _list_sources(store: options.Store, as_json: bool) -> None:
    from pipelines.label import sources

    found = sources(store)
    if as_json:
        render.print_json(found)
        return
    columns = ("source", "labels", "videos", "behaviours", "subjects")
    rows = ((each.source, each.labels, each.videos, each.classes, each.subjects) for each in found)
    render.print_table(render.out, "Sources of labels", columns, rows, numbers=columns[1:])


def _remove_source(store: options.Store, source: str, wait: bool, as_json: bool) -> None:
    from pipelines.label import remove_source

    dropped = remove_source(store, source, wait, render.line)
    if as_json:
        render.print_json({"source": source, "dropped": dropped})
    render.line(f"{source}: {render.count(dropped, 'label')} taken out. Splits and metadata stay.")


def _apply(store: options.Store, file: Path | None, wait: bool, as_json: bool) -> None:
    from pipelines.label import run

    report = run(store, file, wait, render.line)
    if as_json:
        render.print_json(report)
    rows = [
        ("videos labelled", report.videos),
        ("labels", report.labels),
        ("changed", report.changed),
        ("taken back", report.taken_back),
        ("videos given a split", report.splits),
        ("videos with another split or metadata", report.videos_changed),
        ("unknown videos", len(report.unknown)),
        ("names of several videos", len(report.ambiguous)),
        ("past the video's end", len(report.past_end)),
        ("unpaired starts and stops", len(report.unpaired)),
        ("events without a place", len(report.unplaced)),
        ("other times than another source", len(report.disagreeing)),
    ]
    render.print_table(render.err, report.source, ("", "count"), rows, numbers=("count",))
    unknown = [f"{name} ({why})" if (why := report.nearest.get(name)) else name for name in report.unknown]
    for what, names in (
        ("not in the store", unknown),
        ("matches several videos", report.ambiguous),
        ("cut or left out", report.past_end),
        ("not paired", report.unpaired),
        ("no known place in a video", report.unplaced),
        ("disagrees", report.disagreeing),
        ("copy", report.copies),
        ("note", report.notes),
    ):
        for name in names[:20]:
            render.line(f"{what}: {name}")
    if not report.complete:
        render.err.print("Everything else was applied. --json lists every name.", markup=False)
        raise typer.Exit(render.SOME_FAILED)
