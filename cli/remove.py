"""`vimoclip remove`: videos out of the store, and back."""

from typing import Annotated

import typer

from cli import options, render


@render.handled
def remove(
    videos: Annotated[
        list[str], typer.Argument(metavar="VIDEO_ID...", help="Ids; after -- where one begins with a dash.")
    ],
    undo: Annotated[bool, typer.Option("--undo", help="Take removed videos back.")] = False,
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Remove videos: no reader sees them any more, and ingest skips them. `optimize` takes them off the disk."""
    from pipelines.maintain import remove

    report = remove(store, videos, undo, not no_wait, render.line)
    if as_json:
        render.print_json(report)
    done = "taken back" if undo else "removed"
    rows = [(done, len(report.changed)), (f"already {'in' if undo else 'removed'}", len(report.unchanged))]
    if report.forgotten:
        rows.append(("to be ingested again", len(report.forgotten)))
    render.err.print(render.table("Videos", ("", "videos"), rows, numbers=("videos",)))
    if report.copies:
        render.err.print(f"Copies of them stay out too: {render.listed(report.copies)}", markup=False)
    if report.changed and not undo:
        render.err.print("Their frames leave the disk with `vimoclip optimize`; until then --undo brings them back.")
