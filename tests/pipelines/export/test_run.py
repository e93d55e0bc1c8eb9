"""What holds for an export in every form: one snapshot, no lock, where the features come from."""

import json
from pathlib import Path

import polars as pl
import pytest

from pipelines.export import Format
from pipelines.export.run import run
from pipelines.export.selection import Query
from tests.pipelines.export.scene import HOSTILE
from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.errors import ExportError, StoreMissingError
from vimoclip.progress import Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter

FORMS: list[Format] = ["parquet", "arrow", "npz", "datasets"]


@pytest.mark.parametrize("form", FORMS)
def test_the_report_counts_what_was_written(store: FeatureStore, tmp_path: Path, form: Format) -> None:
    report = run(store.place, tmp_path / "out", form, Query(splits=("val",), features=("bio", "clip")))
    ids = HOSTILE[1::4]
    assert (report.format, report.out, report.features) == (form, str(tmp_path / "out"), ["clip", "bio"])
    assert report.videos == len(ids)
    assert report.frames == sum(store.sequence(video_id).num_rows for video_id in ids)
    assert report.labels == store.labels().filter(pl.col("video_id").is_in(ids)).height > 0
    assert report.bytes == sum(path.stat().st_size for path in (tmp_path / "out").rglob("*") if path.is_file())


@pytest.mark.parametrize("form", FORMS)
def test_where_the_vectors_come_from_goes_along(store: FeatureStore, tmp_path: Path, form: Format) -> None:
    run(store.place, tmp_path / "out", form, Query(labels=("resting",), features=("bio", "moclip")))
    made = json.loads((tmp_path / "out" / "features.json").read_text(encoding="utf-8"))
    assert [feature["name"] for feature in made["features"]] == ["moclip", "bio"]
    moclip = store.features["moclip"]
    assert made["features"][0]["fingerprint"] == moclip.fingerprint
    assert made["features"][0]["weights_sha256"] == moclip.weights_sha256
    assert made["features"][0]["preprocessing"] == {"size": 224, "resize": "squash", "batch_size": 8}
    assert made["query"] == {"splits": [], "labels": ["resting"], "features": ["bio", "moclip"]}
    assert made["snapshot"] == {name: table.version for name, table in store.tables.items()}


@pytest.mark.parametrize("form", FORMS)
def test_one_frame_is_enough(tmp_path: Path, form: Format) -> None:
    store = make_store(tmp_path / "store", {"one.mp4": 1})
    assert run(store.place, tmp_path / "out", form).frames == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "query", [Query(splits=("no",)), Query(labels=("no",)), Query(features=("no",)), None], ids=["s", "l", "f", "empty"]
)
def test_where_nothing_is_found_nothing_is_written(
    store: FeatureStore, tmp_path: Path, form: Format, query: Query | None
) -> None:
    where = store.place if query else make_store(tmp_path / "store", {}).place
    with pytest.raises(ExportError):
        run(where, tmp_path / "deep" / "out", form, query)
    assert {path.name for path in tmp_path.iterdir()} <= {"store"}
    with pytest.raises(StoreMissingError):
        run(tmp_path / "nowhere", tmp_path / "out", form)


def test_it_reads_one_snapshot_while_another_process_writes(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    with writer_lock(store.place):
        writer = StoreWriter(store)

        class Writes(Progress):
            def advance(self, n: int = 1, note: str | None = None) -> None:
                for video_id in ("a.mp4", "new.mp4"):
                    writer.add(take := writer.new_take(), embedded(video_id, 0, 2, seed=7))
                    writer.put(ok_row(video_id, take, 2, store.fingerprint))
                writer.flush()
                writer.optimize()

        run(store.place, tmp_path / "out", "npz", progress=Writes())
        run(tmp_path / "store", tmp_path / "after", "npz")
    listed = {
        name: {
            video["video_id"]: video["frames"] for video in json.loads((tmp_path / name / "videos.json").read_text())
        }
        for name in ("out", "after")
    }
    assert listed["out"] == {"a.mp4": 5, "b/c.mp4": 3, "one.mp4": 1}
    assert listed["after"] == listed["out"] | {"a.mp4": 2, "new.mp4": 2}
    assert (tmp_path / "out" / "videos" / "b" / "c.mp4.npz").is_file()


@pytest.mark.parametrize("form", ["npz", "datasets"])
def test_features_whose_arrays_would_have_one_name_are_refused(tmp_path: Path, form: Format) -> None:
    for names in (("clip", "clip_present"), ("clip", "label" if form == "npz" else "labels")):
        where = tmp_path / names[1]
        made = make_store(where / "store", {"a.mp4": 2}, dict.fromkeys(names, 4))
        with pytest.raises(ExportError, match=f"one name. Received: {names[1]}.*--feature"):
            run(made.place, where / "out", form)
        assert run(made.place, where / "out", form, Query(features=("clip",))).features == ["clip"]
