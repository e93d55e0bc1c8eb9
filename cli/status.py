"""`vimoclip status`: what is in a store."""

from collections import Counter
from typing import Annotated, Any

import typer

from cli import options, render


@render.handled
def status(
    store: options.Store = options.DEFAULT_STORE,
    videos: Annotated[bool, typer.Option("--videos", help="Print one line per video.")] = False,
    as_json: options.Json = False,
) -> None:
    """Show what is in the store: videos, frames, features, splits and labels."""
    if videos:
        _videos(store, as_json)
        return
    from pipelines.status import run
    from schemas.features import arithmetic

    report = run(store)
    if as_json:
        render.print_json(report)
        return
    counts: list[tuple[str, int | str]] = [(what, count) for what, count in report.videos.items()]
    counts += [
        ("frames", report.frames),
        ("hours of video", f"{report.hours:.2f}"),
        ("on disk", render.size(report.bytes)),
    ]
    render.print_table(render.out, f"Store {report.store}", ("", "count"), counts, numbers=("count",))
    if report.writer is not None:
        _writer(report.writer)
    columns = ("name", "kind", "dim", "model", "weights", "training", "precision")
    rows = []
    for feature in report.features:
        how = arithmetic(feature["precision"], feature["memory_format"])
        rows.append([*(feature[column] for column in columns[:-1]), how, _flow(feature["flow"])])
    render.print_table(render.out, "Features", (*columns, "flow"), rows)
    failed: Counter[str] = Counter()
    for kind, number in report.failed.items():
        failed[render.failure_kind(kind)] += number
    for title, found in (("Failed", dict(failed.most_common())), ("Splits", report.splits), ("Labels", report.labels)):
        if found:
            shown = list(found.items())[: 20 if render.out.is_terminal else None]
            render.print_table(render.out, title, (title.lower().rstrip("s"), "videos"), shown, numbers=("videos",))
            if len(found) > len(shown):
                render.out.print(f"… and {len(found) - len(shown)} more (--json lists them all)")
    if report.failed:
        render.line(f"Next: vimoclip errors {render.at(store)}")


def _flow(flow: dict[str, Any] | None) -> str:
    """The flow estimator, and whether its weights are random."""
    if flow is None:
        return ""
    return f"{flow['estimator']}, random" if flow.get("training") == "random" else str(flow["estimator"])


def _writer(writer: dict[str, Any]) -> None:
    """Print who is writing to the store, and what each worker does."""
    where = f"process {writer['pid']} on {writer['host']}, since {writer['since']}, last heard from {writer['heard']}"
    done = f"; {writer['done']} of {render.count(writer['videos'], 'video')} done" if "done" in writer else ""
    render.line(f"Being written to by {writer['command']} ({where}){done}.")
    if workers := writer.get("workers"):
        cells = ((worker["name"], worker["frames"], f"{worker['frames_per_s']:.1f}") for worker in workers)
        columns = ("worker", "frames", "frames/s")
        render.print_table(render.out, "Workers", columns, cells, numbers=columns[1:])


def _videos(store: options.Store, as_json: bool) -> None:
    """Print one line per video."""
    from vimoclip.store.feature_store import FeatureStore

    rows = sorted(FeatureStore.open(store).rows(), key=lambda row: row.video_id)
    if as_json:
        render.print_json(rows)
        return
    columns = ("video", "status", "frames", "seconds", "fps", "size", "times", "split")
    cells = (
        (
            row.video_id,
            row.status,
            row.frames,
            f"{row.duration_s:.2f}" if row.duration_s is not None else "",
            f"{row.fps:.2f}" if row.fps is not None else "",
            f"{row.width}x{row.height}" if row.width else "",
            row.time_source,
            row.split,
        )
        for row in rows
    )
    render.print_table(
        render.out, render.count(len(rows), "video"), columns, cells, numbers=("frames", "seconds", "fps")
    )
