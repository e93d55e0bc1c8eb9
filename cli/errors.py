"""`vimoclip errors`: which videos failed, and why."""

from cli import options, render


@render.handled
def errors(store: options.Store = options.DEFAULT_STORE, as_json: options.Json = False) -> None:
    """List the videos that could not be ingested, with the reason for each."""
    from vimoclip.store.feature_store import FeatureStore

    rows = [row for row in FeatureStore.open(store).rows() if row.error_kind is not None and row.status != "removed"]
    rows.sort(key=lambda row: (row.error_kind or "", row.video_id))
    if as_json:
        wanted = ("video_id", "status", "path", "error_kind", "error", "attempts")
        render.print_json([{name: getattr(row, name) for name in wanted} for row in rows])
        return
    if not rows:
        render.out.print("No video failed.")
        return
    cells = ((row.video_id, row.status, row.error_kind, row.error, row.attempts) for row in rows)
    columns = ("video", "status", "kind", "why", "attempts")
    render.out.print(render.table(f"{len(rows)} videos", columns, cells, numbers=("attempts",)))
    render.out.print("Next: repair the files and ingest them, or run ingest again with --retry-failed.", markup=False)
