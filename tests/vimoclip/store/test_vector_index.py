"""The index of takes: whatever is done to a table, it finds the rows that are there, and those alone."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.errors import StoreDamagedError
from vimoclip.store import table as lance_table
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

SCHEMA = pa.schema([pa.field("take", pa.int64(), nullable=False), pa.field("at", pa.int64())])
NO_GRACE, LONG = timedelta(0), timedelta(hours=1)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A table of two rows earns an index."""
    monkeypatch.setattr(lance_table, "ROWS_TO_INDEX", 2)


def held(table: Table, take: int) -> list[int]:
    return sorted(table.read(["at"], pc.field("take") == take)["at"].to_pylist())


Step = tuple[str, int]
STEPS = st.tuples(
    st.sampled_from(["append", "delete", "index", "compact_and_clean", "thorough", "look"]), st.integers(0, 4)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(STEPS, min_size=4, max_size=14))
def test_whatever_is_done_every_take_is_found_whole_by_every_reader(steps: list[Step]) -> None:
    with TemporaryDirectory() as folder:
        table = Table.create(Path(folder), "t", SCHEMA)
        rows: dict[int, list[int]] = {take: [] for take in range(5)}
        readers: list[tuple[Table, dict[int, list[int]]]] = []
        for number, (step, take) in enumerate([*steps, ("look", 0)]):
            if step == "append":
                table.append(pa.table({"take": [take] * 3, "at": [3 * number + n for n in range(3)]}, schema=SCHEMA))
                rows[take] += [3 * number + n for n in range(3)]
            elif step == "delete":
                table.delete(pc.field("take") == take)
                rows[take] = []
                table = table.latest()
            elif step == "index":
                table.index("take")
                assert table.unindexed("take") in (0, None)
            elif step in ("compact_and_clean", "thorough"):
                table.compact_and_clean(LONG, step == "thorough")
            elif step == "look":
                readers.append((table.latest(), {take: list(found) for take, found in rows.items()}))
            for seen, expected in [*readers, (table, rows)]:
                assert {take: held(seen, take) for take in rows} == expected
        several = table.read(["at"], pc.field("take").isin(pa.array([1, 3, 77], pa.int64())))
        assert sorted(several["at"].to_pylist()) == sorted(rows[1] + rows[3])


def test_it_is_made_when_there_are_rows_enough_and_completed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_table, "ROWS_TO_INDEX", 10)
    table = Table.create(tmp_path, "t", SCHEMA, pa.table({"take": [1] * 9, "at": range(9)}, schema=SCHEMA))
    assert (table.index("take"), table.unindexed("take")) == (0, None)
    table.append(pa.table({"take": [2] * 3, "at": range(3)}, schema=SCHEMA))
    assert (table.index("take"), table.unindexed("take")) == (12, 0)
    version = table.latest_version
    assert (table.index("take"), table.latest_version) == (0, version)  # nothing is written for nothing
    table.append(pa.table({"take": [3] * 2, "at": range(2)}, schema=SCHEMA))
    assert table.unindexed("take") == table.latest().unindexed("take") == 2
    assert held(table, 3) == [0, 1]
    assert (table.index("take"), table.unindexed("take")) == (2, 0)
    assert table.compact_and_clean(NO_GRACE).fragments == 2  # what is in the index and what came later become one
    assert table.unindexed("take") == 0
    assert len(list((tmp_path / "t.lance" / "_indices").iterdir())) == 1


VIDEOS = {f"{n}.mp4": 3 + n for n in range(6)}


def check(store: FeatureStore, videos: dict[str, int]) -> None:
    assert dict(zip(*store.videos()[["video_id", "frames"]], strict=True)) == videos
    for video_id, frames in videos.items():
        rows = store.sequence(video_id)
        assert rows["frame_index"].to_pylist() == list(range(frames))
        assert set(rows["video_id"].to_pylist()) == {video_id}
        assert store.flow(video_id).num_rows == frames - 1
    assert store.frames(["take"]).num_rows == sum(videos.values())
    assert verify(str(store.place)) == []


def test_new_replaced_moved_and_removed_videos_are_found_or_gone(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", VIDEOS)
    assert StoreWriter(store).optimize(LONG).indexed_rows == sum(VIDEOS.values()) + sum(VIDEOS.values()) - 6
    old, writer = store.refresh(), StoreWriter(store)
    for video_id, frames in (("new.mp4", 4), ("0.mp4", 7)):
        writer.add(take := writer.new_take(), embedded(video_id, 0, frames))
        writer.put(ok_row(video_id, take, frames, store.fingerprint))
    moved = writer.videos["1.mp4"]
    writer.move(moved, ok_row("moved.mp4", 0, 4, store.fingerprint, content_hash=moved.content_hash))
    writer.put(ok_row("2.mp4", writer.videos["2.mp4"].take or 0, 5, store.fingerprint, status="removed"))
    writer.flush()
    now = VIDEOS | {"new.mp4": 4, "0.mp4": 7, "moved.mp4": 4}
    del now["1.mp4"], now["2.mp4"]
    writer.drop_orphan_rows()
    check(store.refresh(), now)
    writer.optimize(LONG)
    for name in ("frames", "flow"):
        assert Table.open(store.place, name).unindexed("take") == 0
    check(store.refresh(), now)
    assert np.array_equal(old.frames(["time_s"])["time_s"], store.frames(["time_s"])["time_s"])
    assert all(old.sequence(video_id).num_rows == frames for video_id, frames in VIDEOS.items())


def gone(file: Path) -> None:
    file.unlink()


def halved(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def emptied(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("part", ["page_data.lance", "page_lookup.lance"])
@pytest.mark.parametrize("harm", [gone, halved, emptied])
def test_a_damaged_index_is_named_and_mended(tmp_path: Path, part: str, harm: Callable[[Path], None]) -> None:
    store = make_store(tmp_path / "store", VIDEOS)
    StoreWriter(store).optimize(NO_GRACE)
    (file,) = (tmp_path / "store" / "frames.lance" / "_indices").glob(f"*/{part}")
    harm(file)
    with pytest.raises(StoreDamagedError, match=r"vimoclip verify"):
        FeatureStore.open(tmp_path / "store").sequence("3.mp4")
    (fault,) = verify(tmp_path / "store")
    assert (fault.name, fault.table, fault.harmless) == ("damaged-index", "frames", False)
    assert "optimize" in fault.remedy
    assert StoreWriter(FeatureStore.open(tmp_path / "store")).optimize(NO_GRACE).indexed_rows == sum(VIDEOS.values())
    check(FeatureStore.open(tmp_path / "store"), VIDEOS)


def test_an_index_that_does_not_find_every_row_is_damaged(tmp_path: Path) -> None:
    made = {}
    for name, count in (("t", 500), ("other", 499)):
        table = Table.create(
            tmp_path, name, SCHEMA, pa.table({"take": range(count), "at": range(count)}, schema=SCHEMA)
        )
        table.index("take")
        (made[name],) = (tmp_path / f"{name}.lance" / "_indices").iterdir()
    for file in made["t"].iterdir():
        shutil.copy(made["other"] / file.name, file)
    with pytest.raises(StoreDamagedError, match=r"499 rows.*500 rows.*optimize"):
        Table.open(tmp_path, "t").unindexed("take")
    found = Table.open(tmp_path, "t")
    assert (found.index("take"), found.unindexed("take")) == (500, 0)
