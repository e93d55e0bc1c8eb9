"""`vimoclip remove`: take videos out of the store, or back into it."""

from typing import Annotated

import typer

from cli import options, render


@render.handled
def remove(
    videos: Annotated[
        list[str],
        typer.Argument(
            metavar="VIDEO...",
            help="Ids, patterns of ids (site/*.MP4), files or folders; put -- before one that begins with a dash.",
        ),
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Take removed videos back.")] = False,
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Remove videos: readers no longer see them, and ingest skips them. `optimize` deletes them from the disk."""
    from pipelines.maintain import remove

    report = remove(store, videos, undo, not no_wait, render.line)
    if as_json:
        render.print_json(report)
    done = "taken back" if undo else "removed"
    rows = [(done, len(report.changed)), (f"already {'in' if undo else 'removed'}", len(report.unchanged))]
    if report.forgotten:
        rows.append(("to be ingested again", len(report.forgotten)))
    render.print_table(render.err, "Videos", ("", "videos"), rows, numbers=("videos",))
    if report.copies:
        render.err.print(f"Their copies stay out too: {render.listed(report.copies)}", markup=False)
    if report.changed and not undo:
        render.err.print("`vimoclip optimize` deletes their frames; until then --undo brings them back.")
