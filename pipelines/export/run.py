"""Exporting a snapshot of a store, or a part of it, as files. The store is not locked, and models are not loaded."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.export import Format
from pipelines.export.folder import whole_folder
from pipelines.export.hf_dataset import write_dataset
from pipelines.export.npz import write_npz
from pipelines.export.selection import Query, Selection, select
from pipelines.export.tables import write_tables
from schemas.features import Feature
from vimoclip import __version__
from vimoclip.errors import ExportError
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.frame_reader import FrameReader
from vimoclip.store.location import LocationLike


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        format: of the files.
        out: the folder.
        videos: how many.
        frames: how many.
        labels: how many.
        features: their names.
        bytes: of the files.
        split_names: in a `datasets` folder, the names of the splits there, by the store's; "" is the split of videos
            without one.
    """

    format: Format
    out: str
    videos: int
    frames: int
    labels: int
    features: list[str]
    bytes: int
    split_names: dict[str, str]


def run(
    store: LocationLike,
    out: Path,
    form: Format,
    query: Query | None = None,
    progress: Progress = NO_PROGRESS,
) -> ExportReport:
    """Export what a query finds.

    Args:
        store: the store.
        out: the folder to write, which appears once it is complete.
        form: format of the files.
        query: what to export; None is everything.
        progress: an item is a frame.

    Raises:
        ExportError: the query names something that the store does not have, or finds nothing; or `out` is in use or
            cannot be written. Nothing is left of it then.
        StoreError: see `FeatureStore.open`.
        StoreDamagedError: a table cannot be read.
    """
    query = query or Query()
    if form == "datasets" and set("*?[") & set(str(Path(out).absolute())):
        raise ExportError(
            "`datasets` reads nothing from a folder whose path has *, ? or [ in it: it takes them for patterns.",
            received=out,
            hint="Name another folder.",
        )
    found = select(FeatureStore.open(store), query)
    progress.stage("exporting", found.frames)
    names: dict[str | None, str] = {}
    with whole_folder(out, found.store.place) as folder:
        frames = FrameReader(found.store, found.rows)
        if form == "npz":
            write_npz(found, frames, folder, progress)
        elif form == "datasets":
            names = write_dataset(found, frames, folder, progress)
        else:
            write_tables(found, frames, folder, form, progress)
        made = json.dumps(_provenance(found, query), ensure_ascii=False, indent=1, default=datetime.isoformat)
        (folder / "features.json").write_text(made + "\n", encoding="utf-8")
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return ExportReport(
        format=form,
        out=str(out),
        videos=found.videos.height,
        frames=found.frames,
        labels=found.labels.height,
        features=[feature.name for feature in found.features],
        bytes=size,
        split_names={split or "": name for split, name in names.items()},
    )


def _provenance(found: Selection, query: Query) -> dict[str, Any]:
    """What made the vectors, which videos were asked for, and from which versions of the tables."""
    return {
        "vimoclip": __version__,
        "query": asdict(query),
        "snapshot": {name: table.version for name, table in sorted(found.store.tables.items())},
        "features": [_plain(feature) for feature in found.features],
    }


def _plain(feature: Feature) -> dict[str, Any]:
    """A row of `features`, with the JSON in it parsed."""
    row = asdict(feature) | {"fingerprint": feature.fingerprint}
    return row | {name: json.loads(row[name]) for name in ("preprocessing", "packages")}
