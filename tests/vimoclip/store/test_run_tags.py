"""The snapshots of training runs: kept while the run may be, let go a month after it began once its folder is gone."""

import shutil
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from pipelines.maintain import optimize
from tests.cli.runner import document, vimoclip
from tests.vimoclip.stores import make_store, ok_row
from vimoclip.store import run_tags
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.run_tags import run_snapshots, tag_run
from vimoclip.store.snapshot import TABLES
from vimoclip.store.writer import StoreWriter

NOW = timedelta(0)


def commit(store: FeatureStore, split: str) -> None:
    """Make another version of the tables."""
    writer = StoreWriter(store.refresh())
    writer.put(ok_row("a.mp4", writer.videos["a.mp4"].take or 0, 3, store.fingerprint, split=split))
    writer.flush()


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A store with the snapshots of two runs, and a newer version of its tables."""
    store = make_store(tmp_path / "store", {"a.mp4": 3})
    for name in ("one", "two"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        tag_run(store, tmp_path / "runs" / name)
    commit(store, "train")
    return store


def folders(store: FeatureStore) -> list[str]:
    return [Path(each.folder or "").name for each in run_snapshots(store.refresh().tables)]


def test_a_snapshot_says_which_run_it_is_of(store: FeatureStore, tmp_path: Path) -> None:
    one, two = run_snapshots(store.tables)
    assert (one.folder, one.host, one.gone) == (str(tmp_path / "runs" / "one"), socket.gethostname(), False)
    assert one.tagged_at < two.tagged_at
    assert {name for name in TABLES if store.tables[name].tags().keys() == {one.tag, two.tag}} == set(TABLES)
    tag_run(store.refresh(), tmp_path / "runs" / "one")  # begun anew
    assert folders(store) == ["two", "one"]


def test_only_a_deleted_run_that_began_a_month_ago_loses_its_snapshot(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "runs" / "one")
    report = optimize(store.place, NOW)
    assert (len(report.dropped_runs), [each.gone for each in report.kept_runs]) == (0, [True, False])
    assert FeatureStore.open(store.place, store.versions).rows() == store.rows()
    monkeypatch.setattr(run_tags, "KEPT", NOW)
    report = optimize(store.place, NOW)
    assert [Path(each.folder or "").name for each in report.dropped_runs] == ["one"]
    assert folders(store) == ["two"]
    assert FeatureStore.open(store.place, store.versions).rows() == store.rows()
    shutil.rmtree(tmp_path / "runs")
    optimize(store.place, NOW)
    assert folders(store) == []
    assert store.tables["videos"].version not in [each.version for each in store.tables["videos"].latest().versions()]


@pytest.mark.parametrize(
    "other", [{"host": "elsewhere"}, {"mount": "/no/such/disk"}, {"folder": None}, {"mount": None}]
)
def test_a_run_that_cannot_be_looked_for_keeps_its_snapshot(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, str | None]
) -> None:
    for name in TABLES:
        table = store.tables[name]
        for tag, (_, about) in table.tags().items():
            table.tag(tag, {key: value for key, value in (about | other).items() if value is not None})
    shutil.rmtree(tmp_path / "runs")
    monkeypatch.setattr(run_tags, "KEPT", NOW)
    report = optimize(store.place, NOW)
    assert (len(report.dropped_runs), [each.gone for each in report.kept_runs]) == (0, [False, False])


def test_optimize_says_what_it_dropped_and_why_it_is_no_smaller(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(tmp_path / "runs" / "one")
    said = vimoclip("optimize", "--store", str(store.place)).stderr
    assert f"The run in {tmp_path / 'runs' / 'one'} is gone; its snapshot of " in said and "stays for 30 days" in said
    for _ in range(3):
        report = document("optimize", "--grace", "0", "--store", str(store.place))
    assert report["bytes_after"] >= report["bytes_before"]
    assert len(report["kept_runs"]) == 2
    said = vimoclip("optimize", "--grace", "0", "--store", str(store.place)).stderr
    assert "The snapshots that 2 training runs began with are kept with the runs." in said
    monkeypatch.setattr(run_tags, "KEPT", NOW)
    said = vimoclip("optimize", "--store", str(store.place)).stderr
    assert f"The run in {tmp_path / 'runs' / 'one'} is gone; its snapshot of " in said and "was dropped" in said


def test_versions_that_are_kept_for_readers_are_counted(store: FeatureStore) -> None:
    for n in range(3):
        commit(store, f"{n}")
    assert optimize(store.place, timedelta(hours=1)).older_versions >= 3
    said = vimoclip("optimize", "--store", str(store.place)).stderr
    assert "Kept for readers of the last 10 minutes: " in said and "--grace 0 drops them too." in said
    assert optimize(store.place, NOW).older_versions == 0
