"""`vimoclip optimize`: free disk space and merge small files."""

from datetime import timedelta
from typing import Annotated

import typer

from cli import options, render


@render.handled
def optimize(
    store: options.Store = options.DEFAULT_STORE,
    grace: Annotated[
        float, typer.Option(min=0, max=525_600, help="Minutes to keep old versions for readers that use them.")
    ] = 10.0,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Delete removed and left-over rows from the disk, merge small files, index a large store. Safe at any time."""
    from pipelines.maintain import optimize

    stats = optimize(store, timedelta(minutes=grace), not no_wait, render.line)
    if as_json:
        render.print_json(stats)
    rows = [
        ("takes dropped", stats.leftover_takes),
        ("fragments merged", stats.fragments),
        ("rows added to the index", stats.indexed_rows),
        ("before", render.size(stats.bytes_before)),
        ("after", render.size(stats.bytes_after)),
    ]
    render.print_table(render.err, "Optimized", ("", ""), rows)
    if stats.bytes_after >= stats.bytes_before and grace > 0:
        render.err.print(f"Versions younger than {grace:g} minutes were kept for readers; --grace 0 drops them too.")
