"""`vimoclip optimize`: free disk space and merge small files."""

from datetime import timedelta
from typing import Annotated, Any

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
    for run in stats.dropped_runs:
        render.line(f"The run in {run.folder} is gone; its snapshot of {run.tagged_at:%Y-%m-%d} was dropped.")
    for run in stats.kept_runs:
        if run.gone:
            render.line(f"The run in {run.folder} is gone; its snapshot of {run.tagged_at:%Y-%m-%d} stays for 30 days.")
    if stats.bytes_after >= stats.bytes_before:
        for reason in _reasons(stats, grace):
            render.line(reason)


def _reasons(stats: Any, grace: float) -> list[str]:
    """Why the store is no smaller than before."""
    reasons = []
    if stats.older_versions and grace > 0:
        kept = render.count(stats.older_versions, "older version")
        reasons.append(f"Kept for readers of the last {grace:g} minutes: {kept} of tables; --grace 0 drops them too.")
    if stats.indexed_rows:
        reasons.append(f"The index that finds the frames of a video grew by {render.count(stats.indexed_rows, 'row')}.")
    if stats.kept_runs:
        runs = render.count(len(stats.kept_runs), "training run")
        reasons.append(f"The snapshots that {runs} began with are kept with the runs.")
    return reasons or ["There was nothing to free, and what this run did is itself noted in the tables."]
