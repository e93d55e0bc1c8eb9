"""`vimoclip optimize`: maintenance of a store."""

from datetime import timedelta
from typing import Annotated

import typer

from cli import options, render


@render.handled
def optimize(
    store: options.Store = options.DEFAULT_STORE,
    grace: Annotated[
        float, typer.Option(min=0, max=525_600, help="Minutes that old versions stay for readers that hold them.")
    ] = 10.0,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Take removed and left-over rows off the disk, merge small files, index a large store. Safe at any moment."""
    from pipelines.maintain import optimize

    won = optimize(store, timedelta(minutes=grace), not no_wait, render.line)
    if as_json:
        render.print_json(won)
    rows = [
        ("takes dropped", won.leftover_takes),
        ("fragments merged", won.fragments),
        ("rows added to the index", won.indexed_rows),
        ("before", render.size(won.bytes_before)),
        ("after", render.size(won.bytes_after)),
    ]
    render.err.print(render.table("Optimized", ("", ""), rows))
    if won.bytes_after >= won.bytes_before and grace > 0:
        render.err.print(f"Versions younger than {grace:g} minutes were kept for readers; --grace 0 drops them too.")
