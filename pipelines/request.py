"""What an ingest is asked for, what it answers, and whom it tells on the way."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pipelines.engine import Engine
from pipelines.ingest_plan import Plan
from pipelines.label import LabelReport
from vimoclip.config.store import ClipConfig, FlowConfig, RunConfig
from vimoclip.store.location import Where


@dataclass(frozen=True)
class IngestRequest:
    """What to ingest, and how.

    asked: store settings that the user gave, `{section: {name: value}}`; the rest are the store's own, or the defaults.
    labels: a label file; None looks for labels.csv in or beside the folder, "none" does not. label_folders: the
        folder's name is the label.
    limit: at most this many videos that are not known yet. wait: for another writer, rather than fail.
    """

    paths: list[Path]
    store: Where
    asked: dict[str, Any] = field(default_factory=dict)
    run: RunConfig = field(default_factory=RunConfig)
    engine: Engine = field(default_factory=Engine)
    prefix: str | None = None
    labels: Path | Literal["none"] | None = None
    label_folders: bool = False
    retry_failed: bool = False
    limit: int | None = None
    dry_run: bool = False
    wait: bool = True


@dataclass
class IngestReport:
    """What an ingest did. failed: (video_id or path, kind, message) of this run. left: videos beyond the limit, or
    that an interruption left. failed_before, removed: ids that were skipped for it. relabel: labelled ids whose file
    now has other content, so that their labels may be wrong."""

    found: int = 0
    known: int = 0
    ingested: int = 0
    frames: int = 0
    duplicates: int = 0
    moved: int = 0
    left: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)
    failed_before: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    relabel: list[str] = field(default_factory=list)
    labels: list[LabelReport] = field(default_factory=list)
    interrupted: bool = False
    seconds: float = 0.0


class Observer:
    """Told what an ingest is doing; this one ignores it all."""

    def waiting(self, holder: str) -> None:
        """Another process writes to the store."""

    def planned(self, plan: Plan, todo: int) -> None:
        """What there is to do is known; `todo` videos are to be looked into in this run."""

    def ready(self, clip: ClipConfig, flow: FlowConfig | None, device: str) -> None:
        """Models are loaded. flow: None where none is computed."""

    def frames(self, video_id: str, count: int, worker: str) -> None:
        """`count` more frames of a video are embedded, by a worker that has a name where there are several."""

    def video(self, video_id: str, outcome: str) -> None:
        """A video is done: `ok`, `known`, `duplicate`, `moved`, or the kind of its error."""
