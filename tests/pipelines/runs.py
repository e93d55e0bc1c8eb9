"""Short ingests with a tiny model, and what a store holds in a form that can be compared."""

from pathlib import Path
from typing import Any

from pipelines.ingest import IngestRequest, run
from pipelines.ingest_recorder import IngestReport
from vimoclip.api import Store


def ingest(*paths: Path, store: Path, model: str, **request: Any) -> IngestReport:
    """Ingest with the tiny model, in fp32."""
    asked = {"clip": {"model": model, "precision": "fp32"}} | request.pop("asked", {})
    return run(IngestRequest(paths=list(paths), store=store, asked=asked, **request))


def contents(store: Path) -> dict[str, Any]:
    """All that a reader sees, by video, apart from takes and times of ingest."""
    snapshot = Store.open(store)
    seen = {}
    for row in snapshot.live_videos():
        frames = snapshot.sequence(row.video_id).drop_columns(["take"]).to_pydict()
        flow = snapshot.flow(row.video_id).to_pydict()
        seen[row.video_id] = (row.content_hash, row.frames, row.split, row.metadata, frames, flow)
    labels = set(snapshot.labels().select("video_id", "label", "start_s", "end_s").iter_rows())
    return {"videos": seen, "labels": labels}


def statuses(store: Path) -> dict[str, str]:
    """Status by video_id."""
    return {row.video_id: row.status for row in Store.open(store).rows()}
