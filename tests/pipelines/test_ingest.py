"""Ingest end to end: real savannah, a real (tiny) model, a real store."""

import os
import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from pipelines.ingest import IngestRequest, run
from schemas import FORMAT_VERSION
from schemas.videos import Video
from tests.clips import render
from tests.models import write_tiny_clip
from tests.pipelines.runs import contents, ingest, statuses
from vimoclip.config.store import RunConfig
from vimoclip.errors import (
    LabelError,
    ModelError,
    SettingsError,
    SourceError,
    StoreError,
    StoreNewerError,
    StoreUnreachableError,
    UsageError,
)
from vimoclip.progress import Progress
from vimoclip.store import writer
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter
from vimoclip.video.encode import write_clip
from vimoclip.video.files import StoredFile


@pytest.fixture
def videos(tmp_path: Path, savannah: Path) -> Path:
    """Four clips of one's own, to be changed at will."""
    folder = tmp_path / "videos"
    for name in ("walking/000.mp4", "resting/000.mp4", "approaching/000.mp4", "running/001.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(savannah / name, folder / name)
    shutil.copy2(savannah / "labels.csv", folder / "labels.csv")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_the_whole_job(videos: Path, store: Path, tiny_model: str) -> None:
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.found, report.ingested, report.frames, report.failed) == (4, 4, 40, [])
    assert [done.videos for done in report.labels] == [4]
    assert len(report.labels[0].unknown) == 6  # the label file names ten clips
    snapshot = FeatureStore.open(store)
    table = snapshot.videos()
    assert table["video_id"].to_list() == sorted(
        ["walking/000.mp4", "resting/000.mp4", "approaching/000.mp4", "running/001.mp4"]
    )
    assert set(table["frames"]) == {10}
    assert {"species", "split"} <= set(table.columns)
    assert set(snapshot.labels()["label"]) == {"walking", "resting", "approaching", "running"}
    assert snapshot.config.clip.precision == "fp32"
    assert verify(store) == []


def test_a_second_run_decodes_nothing_and_changes_nothing(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    before, version = contents(store), FeatureStore.open(store).tables["videos"].version
    report = run(IngestRequest(paths=[videos], store=store))  # no flag: the store's own settings
    assert (report.known, report.ingested, report.left) == (4, 0, 0)
    assert contents(store) == before
    assert FeatureStore.open(store).tables["videos"].version == version


def test_new_videos_are_added_and_the_limit_holds(videos: Path, store: Path, savannah: Path, tiny_model: str) -> None:
    report = ingest(videos, store=store, model=tiny_model, limit=3)
    assert (report.ingested, report.left) == (3, 1)
    shutil.copy2(savannah / "jumping" / "000.mp4", videos / "new.mp4")
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.ingested, report.known) == (2, 3)


def test_a_touched_file_is_known_by_its_content(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    os.utime(videos / "resting" / "000.mp4", (1, 1))
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.known, report.ingested) == (4, 0)
    assert ingest(videos, store=store, model=tiny_model).known == 4


def test_a_changed_file_replaces_its_video_and_keeps_what_people_said(
    videos: Path, store: Path, tiny_model: str
) -> None:
    ingest(videos, store=store, model=tiny_model)
    before = contents(store)
    changed = "resting/000.mp4"
    write_clip(videos / changed, render("bouncing", 3, 14, (96, 64), 24.0), 24.0)
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.ingested, report.known) == (1, 3)
    after = contents(store)
    assert after["videos"][changed][1] == 14
    assert after["videos"][changed][2:4] == before["videos"][changed][2:4]
    assert after["labels"] == before["labels"]
    assert {k: v for k, v in after["videos"].items() if k != changed} == {
        k: v for k, v in before["videos"].items() if k != changed
    }
    assert verify(store) == []


def test_a_changed_file_that_is_broken_loses_nothing(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    before = contents(store)
    (videos / "resting" / "000.mp4").write_bytes(b"overwritten by mistake")
    report = ingest(videos, store=store, model=tiny_model)
    assert [(video_id, kind) for video_id, kind, _ in report.failed] == [("resting/000.mp4", "unreadable")]
    assert contents(store) == before
    row = next(row for row in FeatureStore.open(store).rows() if row.video_id == "resting/000.mp4")
    assert (row.status, row.error_kind, row.attempts) == ("ok", "unreadable", 2)
    assert not StoredFile.of(row).unchanged()  # though the row has the size and date of what lies there now
    assert verify(store) == []


def test_the_same_content_twice_is_a_duplicate(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "zz").mkdir()
    shutil.copy(videos / "resting" / "000.mp4", videos / "zz" / "copy.mp4")
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.ingested, report.duplicates) == (4, 1)
    assert statuses(store)["zz/copy.mp4"] == "duplicate"
    shutil.copy(videos / "resting" / "000.mp4", videos / "zz" / "later.mp4")
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.ingested, report.duplicates, report.known) == (0, 1, 5)
    assert verify(store) == []


def test_a_move_keeps_features_and_labels_without_decoding(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    before = contents(store)
    (videos / "labels.csv").unlink()
    (videos / "moved").mkdir()
    (videos / "resting" / "000.mp4").rename(videos / "moved" / "elsewhere.mp4")
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.moved, report.ingested, report.known) == (1, 0, 3)
    after = contents(store)
    moved = after["videos"].pop("moved/elsewhere.mp4")
    original = before["videos"].pop("resting/000.mp4")
    for part in (-1, -2):
        moved[part].pop("video_id", None)
        original[part].pop("video_id", None)
    assert moved == original
    assert after["videos"] == before["videos"]
    assert {
        ("moved/elsewhere.mp4", *label[1:]) for label in before["labels"] if label[0] == "resting/000.mp4"
    } <= after["labels"]
    assert "resting/000.mp4" not in statuses(store)
    assert verify(store) == []


def test_a_moved_root_is_the_same_videos(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    before = contents(store)
    home = videos.rename(videos.with_name("archive"))
    report = ingest(home, store=store, model=tiny_model)
    assert (report.known, report.ingested) == (4, 0)
    assert contents(store) == before
    assert {Path(row.root).name for row in FeatureStore.open(store).rows()} == {"archive"}


def test_one_id_from_two_folders_is_never_mixed(tmp_path: Path, store: Path, savannah: Path, tiny_model: str) -> None:
    for site, clip in (("siteA", "resting"), ("siteB", "jumping")):
        (tmp_path / site).mkdir()
        shutil.copy2(savannah / clip / "000.mp4", tmp_path / site / "IMG_1.AVI")
    ingest(tmp_path / "siteA", store=store, model=tiny_model)
    before = contents(store)
    with pytest.raises(SourceError, match=r"IMG_1.AVI from .*siteB.*--as PREFIX"):
        ingest(tmp_path / "siteB", store=store, model=tiny_model)
    assert contents(store) == before
    ingest(tmp_path / "siteB", store=store, model=tiny_model, prefix="siteB")
    assert statuses(store) == {"IMG_1.AVI": "ok", "siteB/IMG_1.AVI": "ok"}
    assert contents(store)["videos"]["IMG_1.AVI"] == before["videos"]["IMG_1.AVI"]


def test_a_video_known_by_its_path_keeps_its_id(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    report = ingest(videos / "resting", store=store, model=tiny_model)
    assert (report.found, report.known) == (1, 1)
    assert len(statuses(store)) == 4


def test_failed_videos_are_remembered_until_asked_for(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "bad.mp4").write_bytes(b"no video")
    assert ingest(videos, store=store, model=tiny_model).failed[0][:2] == ("bad.mp4", "unreadable")
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.failed, report.failed_before) == ([], ["bad.mp4"])
    assert len(ingest(videos, store=store, model=tiny_model, retry_failed=True).failed) == 1
    write_clip(videos / "bad.mp4", render("bouncing", 9, 3, (96, 64), 24.0), 24.0)
    assert ingest(videos, store=store, model=tiny_model).ingested == 1
    row = next(row for row in FeatureStore.open(store).rows() if row.video_id == "bad.mp4")
    assert (row.status, row.attempts, row.error_kind) == ("ok", 3, None)


def test_a_damaged_file_can_be_kept(shared_videos: Path, store: Path, tiny_model: str) -> None:
    corrupted = shared_videos / "awkward" / "decord" / "corrupted.mp4"
    report = ingest(corrupted, store=store, model=tiny_model)
    assert report.failed[0][1] == "corrupt-after-28-frames"
    keep = RunConfig(on_corrupt="keep")
    report = ingest(corrupted, store=store, model=tiny_model, retry_failed=True, run=keep)
    assert (report.ingested, report.frames) == (1, 28)
    assert ingest(corrupted, store=store, model=tiny_model).known == 1
    assert verify(store) == []


def test_removed_videos_stay_out(videos: Path, store: Path, tiny_model: str) -> None:
    from pipelines import maintain

    ingest(videos, store=store, model=tiny_model)
    before = contents(store)
    maintain.remove(store, ["resting/000.mp4"])
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.removed, report.known) == (["resting/000.mp4"], 3)
    assert "resting/000.mp4" not in contents(store)["videos"]
    maintain.remove(store, ["resting/000.mp4"], undo=True)
    assert contents(store) == before


def test_a_dry_run_writes_nothing(videos: Path, store: Path, tiny_model: str) -> None:
    report = ingest(videos, store=store, model=tiny_model, dry_run=True)
    assert (report.left, report.ingested) == (4, 0)
    assert not store.exists()


def test_other_settings_are_refused_with_both_values(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    asked = {"sampling": {"fps": 5.0}, "flow": {"image": "wheel"}, "keep_flow": False}
    with pytest.raises(
        SettingsError, match=r"fps is None in the store and 5.0.*image is 'uvm'.*'wheel'.*keep_flow is True"
    ):
        run(IngestRequest(paths=[videos], store=store, asked=asked))


def test_other_weights_at_the_same_place_are_refused(videos: Path, store: Path, tmp_path: Path) -> None:
    model = write_tiny_clip(tmp_path / "model", seed=1)
    ingest(videos, store=store, model=model, limit=1)
    write_tiny_clip(tmp_path / "model", seed=2)
    with pytest.raises(SettingsError, match="weights_sha256"):
        ingest(videos, store=store, model=model)


def test_errors_come_before_anything_is_computed(videos: Path, store: Path, tmp_path: Path, tiny_model: str) -> None:
    with pytest.raises(ModelError):
        ingest(videos, store=store, model="no-such-model")
    (tmp_path / "bad.csv").write_text("filepath,label,start_s\na.mp4,x,notanumber\n")
    with pytest.raises(LabelError):
        ingest(videos, store=store, model=tiny_model, labels=tmp_path / "bad.csv")
    with pytest.raises(StoreError, match="not a store, and is not empty"):
        ingest(videos, store=videos, model=tiny_model)
    with pytest.raises(UsageError, match="fps or every, not both"):
        ingest(videos, store=store, model=tiny_model, asked={"sampling": {"fps": 1.0, "every": 2}})
    assert not FeatureStore.exists(store)


def test_a_store_from_a_newer_version_is_refused(
    videos: Path, store: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("feature_store", "snapshot"):
        monkeypatch.setattr(f"vimoclip.store.{module}.FORMAT_VERSION", 99)
    ingest(videos, store=store, model=tiny_model, limit=1)
    monkeypatch.undo()
    with pytest.raises(StoreNewerError, match=f"format 99.*format {FORMAT_VERSION} or older.*Upgrade"):
        ingest(videos, store=store, model=tiny_model)


def test_an_interruption_keeps_what_is_complete(videos: Path, store: Path, tiny_model: str) -> None:
    class Interrupter(Progress):
        def advance(self, n: int = 1, note: str | None = None) -> None:
            if n:
                raise KeyboardInterrupt

    request = IngestRequest(paths=[videos], store=store, asked={"clip": {"model": tiny_model, "precision": "fp32"}})
    report = run(request, Interrupter())
    assert (report.interrupted, report.ingested, report.left) == (True, 1, 3)
    assert verify(store) == []
    assert ingest(videos, store=store, model=tiny_model).ingested == 3


def test_a_commit_whose_answer_got_lost_is_not_made_twice(
    videos: Path, store: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Table.append

    def unanswered(self: Table, rows: pa.Table) -> None:
        real(self, rows)
        monkeypatch.setattr(Table, "append", real)
        raise StoreUnreachableError("The object store does not answer.")

    monkeypatch.setattr(writer, "FLUSH_ROWS", 12)
    monkeypatch.setattr(Table, "append", unanswered)
    with pytest.raises(StoreUnreachableError):
        ingest(videos, store=store, model=tiny_model)
    assert [fault for fault in verify(store) if not fault.harmless] == []
    assert ingest(videos, store=store, model=tiny_model).ingested == 4
    assert verify(store) == []


def test_folders_as_labels(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "labels.csv").unlink()
    ingest(videos, store=store, model=tiny_model, label_folders=True)
    assert {(x[0].split("/")[0], x[1]) for x in contents(store)["labels"]} == {
        (name, name) for name in ("walking", "resting", "approaching", "running")
    }


def test_folders_label_only_what_was_ingested_from_them(
    tmp_path: Path, videos: Path, store: Path, tiny_model: str
) -> None:
    (videos / "labels.csv").unlink()
    ingest(videos, store=store, model=tiny_model, prefix="2024")
    other = tmp_path / "other" / "eating"
    other.mkdir(parents=True)
    write_clip(other / "x.mp4", render("bouncing", 5, 3, (96, 64), 24.0), 24.0)
    ingest(tmp_path / "other", store=store, model=tiny_model, label_folders=True)
    assert {(label[0], label[1]) for label in contents(store)["labels"]} == {("eating/x.mp4", "eating")}


def test_a_broken_new_content_is_looked_at_once(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    (videos / "resting" / "000.mp4").write_bytes(b"overwritten by mistake")
    assert len(ingest(videos, store=store, model=tiny_model).failed) == 1
    again = ingest(videos, store=store, model=tiny_model)
    assert (again.failed, again.known) == ([], 4)
    assert len(ingest(videos, store=store, model=tiny_model, retry_failed=True).failed) == 1


def test_a_drive_that_is_off_is_no_move(tmp_path: Path, videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    before = contents(store)
    backup = tmp_path / "backup"
    shutil.copytree(videos, backup / "copy")
    videos.rename(tmp_path / "unmounted")
    report = ingest(backup, store=store, model=tiny_model)
    assert (report.moved, report.duplicates) == (0, 4)
    assert contents(store)["videos"] == before["videos"]


def test_a_move_onto_a_known_id_brings_its_own_labels(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    (videos / "walking" / "000.mp4").replace(videos / "resting" / "000.mp4")
    report = ingest(videos, store=store, model=tiny_model, labels="none")
    assert report.moved == 1
    assert {label for name, label, *_ in contents(store)["labels"] if name == "resting/000.mp4"} == {"walking"}
    assert verify(store) == []


def test_labelled_videos_with_other_content_are_named(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    write_clip(videos / "resting" / "000.mp4", render("growing", 8, 4, (96, 64), 24.0), 24.0)
    assert ingest(videos, store=store, model=tiny_model).relabel == ["resting/000.mp4"]


def other_content(file: Path) -> None:
    write_clip(file, render("growing", 8, 4, (96, 64), 24.0), 24.0)


def test_content_that_is_replaced_takes_its_labels_along(videos: Path, store: Path, tiny_model: str) -> None:
    """One memory card after another at one place, with the same file names."""
    (videos / "labels.csv").write_text("filepath,label,split,site\nresting/000.mp4,leopard,train,A\n")
    ingest(videos, store=store, model=tiny_model)
    other_content(videos / "resting" / "000.mp4")
    planned = ingest(videos, store=store, model=tiny_model, labels="none", dry_run=True)
    assert (planned.replaced, planned.left) == (["resting/000.mp4"], 1)
    assert {label[:2] for label in contents(store)["labels"]} == {("resting/000.mp4", "leopard")}
    report = ingest(videos, store=store, model=tiny_model, labels="none")
    assert (report.replaced, report.relabel, report.labels_kept) == (["resting/000.mp4"], ["resting/000.mp4"], False)
    assert contents(store)["labels"] == set()
    row = next(row for row in FeatureStore.open(store).rows() if row.video_id == "resting/000.mp4")
    assert (row.status, row.split, row.metadata) == ("ok", None, "{}")
    assert verify(store) == []
    again = ingest(videos, store=store, model=tiny_model, labels="none")
    assert (again.replaced, again.known) == ([], 4)


def test_content_that_is_replaced_keeps_its_labels_if_asked(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "labels.csv").write_text("filepath,label,split\nresting/000.mp4,leopard,train\n")
    ingest(videos, store=store, model=tiny_model)
    other_content(videos / "resting" / "000.mp4")
    report = ingest(videos, store=store, model=tiny_model, labels="none", keep_labels=True)
    assert (report.replaced, report.labels_kept) == (["resting/000.mp4"], True)
    assert {label[:2] for label in contents(store)["labels"]} == {("resting/000.mp4", "leopard")}
    assert contents(store)["videos"]["resting/000.mp4"][2] == "train"


def test_a_label_file_of_the_same_run_speaks_of_the_new_content(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    other_content(videos / "resting" / "000.mp4")
    report = ingest(videos, store=store, model=tiny_model)  # labels.csv is still there
    assert report.replaced == ["resting/000.mp4"]
    assert ("resting/000.mp4", "resting") in {label[:2] for label in contents(store)["labels"]}


def test_the_same_content_with_another_date_is_not_replaced(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    for file in videos.rglob("*.mp4"):
        os.utime(file, (1, 1))
    assert ingest(videos, store=store, model=tiny_model, dry_run=True).replaced == []
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.replaced, report.relabel, report.known) == ([], [], 4)


def test_a_file_that_failed_before_is_completed_and_not_replaced(videos: Path, store: Path, tiny_model: str) -> None:
    whole = (videos / "resting" / "000.mp4").read_bytes()
    (videos / "resting" / "000.mp4").write_bytes(b"")
    (videos / "labels.csv").write_text("filepath,label,split\nresting/000.mp4,leopard,val\n")
    assert [failed[0] for failed in ingest(videos, store=store, model=tiny_model).failed] == ["resting/000.mp4"]
    (videos / "resting" / "000.mp4").write_bytes(whole)
    report = ingest(videos, store=store, model=tiny_model, labels="none")
    assert (report.ingested, report.replaced, report.unlabelled) == (1, [], 3)
    assert {label[:2] for label in contents(store)["labels"]} == {("resting/000.mp4", "leopard")}
    assert contents(store)["videos"]["resting/000.mp4"][2] == "val"


def test_system_folders_are_counted(videos: Path, store: Path, tiny_model: str) -> None:
    for name in ("@eaDir", "$RECYCLE.BIN", "#recycle"):
        (videos / name).mkdir()
        other_content(videos / name / "copy.mp4")
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.found, report.ingested, report.failed) == (4, 4, [])
    assert report.left_out == {"@eaDir": 1, "$RECYCLE.BIN": 1, "#recycle": 1}


def test_contradicting_labels_cost_no_computing(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "labels.csv").write_text("filepath,label,split\nresting/000.mp4,x,train\n./resting/000.mp4,x,test\n")
    with pytest.raises(LabelError, match="both are video"):
        ingest(videos, store=store, model=tiny_model)
    assert not FeatureStore.exists(store)
    assert ingest(videos, store=store, model=tiny_model, labels="none").ingested == 4


def test_a_copy_speaks_for_its_original(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "zz").mkdir()
    shutil.copy(videos / "resting" / "000.mp4", videos / "zz" / "copy.mp4")
    (videos / "labels.csv").write_text("filepath,label,split,site,fps\nzz/copy.mp4,nap,train,Taï,high\n")
    ingest(videos, store=store, model=tiny_model)
    (row,) = FeatureStore.open(store).videos().filter(pl.col("video_id") == "resting/000.mp4").to_dicts()
    assert (row["split"], row["site"], row["metadata.fps"], row["fps"]) == ("train", "Taï", "high", 24.0)
    assert {label[:2] for label in contents(store)["labels"]} == {("resting/000.mp4", "nap")}


def test_weights_are_known_by_content_and_found_where_they_lie_now(videos: Path, store: Path, tmp_path: Path) -> None:
    first = write_tiny_clip(tmp_path / "first")
    ingest(videos, store=store, model=first, limit=2)
    (tmp_path / "first").rename(tmp_path / "second")
    assert ingest(videos, store=store, model=f"local-dir:{tmp_path / 'second'}").ingested == 2


def test_an_interruption_while_nothing_is_embedded_is_one_too(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    for file in videos.rglob("*.mp4"):
        os.utime(file, (1, 1))

    class Interrupter(Progress):
        def advance(self, n: int = 1, note: str | None = None) -> None:
            if n:
                raise KeyboardInterrupt

    assert run(IngestRequest(paths=[videos], store=store), Interrupter()).interrupted
    assert ingest(videos, store=store, model=tiny_model).known == 4


def test_an_unlabelled_video_moves_onto_a_labelled_one(videos: Path, store: Path, tiny_model: str) -> None:
    ingest(videos, store=store, model=tiny_model)
    assert "resting/000.mp4" in {label[0] for label in contents(store)["labels"]}
    shutil.copy2(videos / "resting" / "000.mp4", videos / "kept.mp4")
    write_clip(videos / "bare.mp4", render("bouncing", 7, 5, (96, 64), 24.0), 24.0)
    ingest(videos, store=store, model=tiny_model)
    bare = contents(store)["videos"]["bare.mp4"]
    (videos / "bare.mp4").replace(videos / "resting" / "000.mp4")  # an ordinary mv over an old file
    report = ingest(videos, store=store, model=tiny_model, labels="none")
    assert (report.moved, report.relabel) == (1, ["resting/000.mp4"])
    assert contents(store)["videos"]["resting/000.mp4"][0] == bare[0]
    assert "resting/000.mp4" not in {label[0] for label in contents(store)["labels"]}
    ingest(videos, store=store, model=tiny_model, labels="none")
    assert statuses(store)["kept.mp4"] == "ok"  # its original has gone, so that it speaks for itself
    assert verify(store) == []


def test_labels_beside_a_folder_are_of_its_own_videos(
    tmp_path: Path, store: Path, savannah: Path, tiny_model: str
) -> None:
    for site, clip in (("siteA", "resting"), ("siteB", "jumping"), ("siteA/inner", "approaching")):
        (tmp_path / site).mkdir()
        shutil.copy2(savannah / clip / "000.mp4", tmp_path / site / "IMG_1.mp4")
    ingest(tmp_path / "siteA", store=store, model=tiny_model)
    for folder, video_id, prefix in (("siteB", "B/IMG_1.mp4", "B"), ("siteA/inner", "inner/IMG_1.mp4", None)):
        (tmp_path / folder / "labels.csv").write_text(f"filepath,label\nIMG_1.mp4,seen at {folder}\n")
        ingest(tmp_path / folder, store=store, model=tiny_model, prefix=prefix)
        assert {label[:2] for label in contents(store)["labels"] if folder in label[1]} == {
            (video_id, f"seen at {folder}")
        }


def test_a_name_that_fits_two_files_is_ambiguous_before_both_are_in(
    tmp_path: Path, store: Path, savannah: Path, tiny_model: str
) -> None:
    videos = tmp_path / "videos"
    for site, clip in (("a", "resting"), ("b", "jumping")):
        (videos / site).mkdir(parents=True)
        shutil.copy2(savannah / clip / "000.mp4", videos / site / "1.mp4")
    (videos / "labels.csv").write_text("filepath,label\n1.mp4,grooming\nb/1.mp4,resting\n")
    for limit, unknown in ((1, ["b/1.mp4"]), (None, [])):
        (labels,) = ingest(videos, store=store, model=tiny_model, limit=limit).labels
        assert (labels.ambiguous, labels.unknown) == (["1.mp4"], unknown)
    assert {label[:2] for label in contents(store)["labels"]} == {("b/1.mp4", "resting")}


def test_a_copy_of_a_video_that_changes_keeps_the_old_content(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "zz").mkdir()
    shutil.copy2(videos / "resting" / "000.mp4", videos / "zz" / "copy.mp4")
    ingest(videos, store=store, model=tiny_model)
    old = contents(store)["videos"]["resting/000.mp4"]
    write_clip(videos / "resting" / "000.mp4", render("growing", 8, 4, (96, 64), 24.0), 24.0)
    report = ingest(videos, store=store, model=tiny_model)
    assert (report.ingested, report.relabel) == (2, ["resting/000.mp4"])
    assert contents(store)["videos"]["zz/copy.mp4"][0] == old[0]
    assert ingest(videos, store=store, model=tiny_model).known == 5


@pytest.mark.parametrize("sound", [True, False], ids=["whole", "broken"])
def test_a_copy_is_recorded_with_its_original_and_not_before(
    videos: Path, store: Path, tiny_model: str, sound: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in videos.rglob("*.mp4"):
        file.unlink()
    if sound:
        write_clip(videos / "a.mp4", render("growing", 8, 40, (96, 64), 24.0), 24.0)
    else:
        (videos / "a.mp4").write_bytes(b"no video")
    shutil.copyfile(videos / "a.mp4", videos / "b.mp4")

    class Counts(Progress):
        def advance(self, n: int = 1, note: str | None = None) -> None:
            advanced.append(n)

    def put(self: StoreWriter, *rows: Video) -> None:
        order.extend((row.video_id, row.error_kind or row.status) for row in rows)
        real(self, *rows)

    advanced: list[int] = []
    order: list[tuple[str, str]] = []
    real = StoreWriter.put
    monkeypatch.setattr(StoreWriter, "put", put)
    asked = {"clip": {"model": tiny_model, "precision": "fp32", "batch_size": 4}}
    report = run(IngestRequest(paths=[videos], store=store, asked=asked, labels="none"), Counts())
    # A copy of a file that fails is a failure like it, not a duplicate: users count the files to repair.
    assert order == [("a.mp4", "ok" if sound else "unreadable"), ("b.mp4", "duplicate" if sound else "unreadable")]
    assert sum(advanced) == 2
    assert (report.duplicates, len(report.failed), report.left) == ((1, 0, 0) if sound else (0, 2, 0))
    assert statuses(store) == {"a.mp4": "ok", "b.mp4": "duplicate"} if sound else {"a.mp4": "failed", "b.mp4": "failed"}
    assert verify(store) == []


def test_an_interruption_leaves_no_copy_without_its_original(videos: Path, store: Path, tiny_model: str) -> None:
    write_clip(videos / "a.mp4", render("growing", 8, 40, (96, 64), 24.0), 24.0)
    shutil.copyfile(videos / "a.mp4", videos / "b.mp4")

    class Interrupter(Progress):
        def advance(self, n: int = 1, note: str | None = None) -> None:
            assert not n  # a.mp4 is the first, and not done
            if len(notes) > 2:
                raise KeyboardInterrupt
            notes.append(note)

    notes: list[str | None] = []
    asked = {"clip": {"model": tiny_model, "precision": "fp32", "batch_size": 4}}
    report = run(IngestRequest(paths=[videos], store=store, asked=asked, labels="none"), Interrupter())
    assert (report.interrupted, report.duplicates) == (True, 0)
    assert not {"a.mp4", "b.mp4"} & statuses(store).keys()
    assert verify(store) == []
    assert ingest(videos, store=store, model=tiny_model, asked={"clip": {"model": tiny_model}}).duplicates == 1


def test_a_renamed_folder_with_an_edited_file_is_the_same_folder(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "bad.mp4").write_bytes(b"no video")
    ingest(videos, store=store, model=tiny_model)
    home = videos.rename(videos.with_name("archive"))
    write_clip(home / "resting" / "000.mp4", render("growing", 8, 4, (96, 64), 24.0), 24.0)
    report = ingest(home, store=store, model=tiny_model)
    assert (report.ingested, report.known, report.failed_before) == (1, 3, ["bad.mp4"])
    home = home.rename(videos.with_name("archive2"))
    report = ingest(home, store=store, model=tiny_model, retry_failed=True)
    assert (report.known, [failed[0] for failed in report.failed]) == (4, ["bad.mp4"])
    assert len(statuses(store)) == 5
    assert {row.root for row in FeatureStore.open(store).rows()} == {str(home)}
    assert verify(store) == []


def test_folders_label_videos_that_are_known_under_a_longer_id(
    tmp_path: Path, store: Path, savannah: Path, tiny_model: str
) -> None:
    (tmp_path / "v" / "site" / "grooming").mkdir(parents=True)
    shutil.copy2(savannah / "resting" / "000.mp4", tmp_path / "v" / "site" / "grooming" / "a.mp4")
    ingest(tmp_path / "v", store=store, model=tiny_model)
    ingest(tmp_path / "v" / "site", store=store, model=tiny_model, label_folders=True)
    assert {label[:2] for label in contents(store)["labels"]} == {("site/grooming/a.mp4", "grooming")}


def test_taking_back_what_optimize_dropped_forgets_it(shared_videos: Path, store: Path, tiny_model: str) -> None:
    from datetime import timedelta

    from pipelines import maintain

    corrupted = shared_videos / "awkward" / "decord" / "corrupted.mp4"
    ingest(corrupted, store=store, model=tiny_model, run=RunConfig(on_corrupt="keep"))
    maintain.remove(store, ["corrupted.mp4"])
    maintain.optimize(store, timedelta(0))
    assert maintain.remove(store, ["corrupted.mp4"], undo=True).forgotten == ["corrupted.mp4"]
    assert statuses(store) == {}


def test_metadata_columns_never_hide_another(videos: Path, store: Path, tiny_model: str) -> None:
    (videos / "labels.csv").write_text("filepath,label,status,metadata.status\nresting/000.mp4,x,wild,tame\n")
    ingest(videos, store=store, model=tiny_model)
    (row,) = FeatureStore.open(store).videos().filter(pl.col("video_id") == "resting/000.mp4").to_dicts()
    assert row["status"] == "ok"
    assert sorted(value for name, value in row.items() if name.startswith("metadata.")) == ["tame", "wild"]


def test_a_removed_video_stays_out_when_its_file_is_renamed(videos: Path, store: Path, tiny_model: str) -> None:
    from pipelines import maintain

    ingest(videos, store=store, model=tiny_model)
    maintain.remove(store, ["resting/000.mp4"])
    (videos / "resting" / "000.mp4").rename(videos / "again.mp4")
    for expected in ((1, 3), (0, 4)):
        report = ingest(videos, store=store, model=tiny_model, labels="none")
        assert (report.duplicates, report.known, report.ingested) == (*expected, 0)
    assert set(contents(store)["videos"]) == {"walking/000.mp4", "approaching/000.mp4", "running/001.mp4"}
    assert verify(store) == []
