"""A feature beside the others: what readers see of it and when, and what cannot be added."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines.features import drop
from schemas.features import Feature
from schemas.frames import frames_schema
from tests.vimoclip.stores import VIDEOS, embedded, features, make_store, ok_row
from vimoclip.errors import FeatureError, SettingsError, UnknownColumnError, VideoError
from vimoclip.frames import FrameBatch
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import FeatureWriter, check_name, videos_missing_feature
from vimoclip.store.location import LocationLike
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

pytestmark = pytest.mark.slow

DIM = 6
NAME = "bio-clip_2"


def added(name: str = NAME, **changes: object) -> Feature:
    """An added feature of that name."""
    (feature,) = features({name: DIM})
    return replace(feature, settings="{}", **changes)  # type: ignore[arg-type]


def vectors(video_id: str, first: int, count: int, name: str = NAME) -> FrameBatch:
    """As `embedded`, with that feature alone."""
    return embedded(video_id, first, count, {name: DIM})


def fill(writer: FeatureWriter, *video_ids: str, chunk: int = 2) -> None:
    """Embed those videos, or all that are to be done."""
    for row in writer.todo():
        if not video_ids or row.video_id in video_ids:
            frames = row.frames or 0
            for first in range(0, frames, chunk):
                writer.add(row, vectors(row.video_id, first, min(chunk, frames - first)))
            writer.end(row, reduced_batch=False)


def expected(video_id: str, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors and norms as they must be stored."""
    made = vectors(video_id, 0, frames).features[NAME]
    return made.values, made.norm


def check_filled(store: FeatureStore, video_id: str, frames: int) -> None:
    """Hold what is stored against what was made."""
    rows = store.sequence(video_id, [NAME, f"{NAME}_norm"])
    values, norm = expected(video_id, frames)
    stored = np.array(rows[NAME].to_pylist(), np.float16)
    assert stored.tobytes() == values.tobytes()
    assert rows[f"{NAME}_norm"].to_numpy().tobytes() == norm.tobytes()


def test_readers_see_it_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vimoclip.store.features.FLUSH_BYTES", 60)  # a commit every few frames
    before = make_store(tmp_path / "store")
    columns = before.columns
    writer = FeatureWriter(before, added())
    fill(writer)
    writer.flush()
    unseen = before.refresh()
    assert (list(unseen.features), list(unseen.unfinished)) == (["clip", "moclip"], [NAME])
    assert unseen.columns == columns == unseen.frames().column_names == unseen.sequence("a.mp4").column_names
    with pytest.raises(UnknownColumnError, match="bio-clip_2"):
        unseen.sequence("a.mp4", [NAME])
    assert [fault.name for fault in verify(tmp_path / "store")] == ["unfinished-feature"]
    writer.finish()
    store = before.refresh()
    assert (list(store.features), store.unfinished) == (["clip", "moclip", NAME], {})
    assert set(store.columns) - set(columns) == {NAME, f"{NAME}_norm"}
    for video_id, frames in VIDEOS.items():
        check_filled(store, video_id, frames)
    assert verify(tmp_path / "store") == []
    assert before.columns == columns == before.frames().column_names  # a snapshot does not change
    assert store.fingerprint == before.fingerprint  # and no take is out of date


def test_the_other_columns_stay_bit_for_bit(tmp_path: Path) -> None:
    before = make_store(tmp_path / "store")
    writer = FeatureWriter(before, added())
    fill(writer)
    writer.finish()
    after = before.refresh()
    for video_id in VIDEOS:
        assert after.sequence(video_id, before.columns).equals(before.sequence(video_id))
        assert after.flow(video_id).equals(before.flow(video_id))


def test_it_goes_on_where_it_stopped_and_later_videos_come_along(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    writer = FeatureWriter(store, added())
    fill(writer, "a.mp4")
    writer.add(next(row for row in writer.todo() if row.video_id == "b/c.mp4"), vectors("b/c.mp4", 0, 2))
    writer.flush()  # and here it is killed
    ingest = StoreWriter(store.refresh())
    ingest.add(take := ingest.new_take(), embedded("new.mp4", 0, 3))
    ingest.put(ok_row("new.mp4", take, 3, store.fingerprint))
    ingest.flush()
    again = FeatureWriter(store.refresh(), added())
    assert [row.video_id for row in again.todo()] == ["b/c.mp4", "one.mp4", "new.mp4"]
    fill(again)
    again.finish()
    for video_id, frames in {**VIDEOS, "new.mp4": 3}.items():
        check_filled(store.refresh(), video_id, frames)
    whole = StoreWriter(store.refresh())  # from now on it belongs to every take
    with pytest.raises(VideoError, match="Features"):
        whole.add(whole.new_take(), embedded("later.mp4", 0, 2))
    both = {"clip": 8, "moclip": 8, NAME: DIM}
    whole.add(take := whole.new_take(), embedded("later.mp4", 0, 2, both))
    whole.put(ok_row("later.mp4", take, 2, store.fingerprint))
    whole.flush()
    check_filled(store.refresh(), "later.mp4", 2)
    assert verify(tmp_path / "store") == []


def test_a_video_that_begins_again_or_fails_leaves_nothing_of_its_first_try(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    writer = FeatureWriter(store, added())
    rows = {row.video_id: row for row in writer.todo()}
    other = embedded("a.mp4", 0, 4, {NAME: DIM}, seed=9)
    writer.add(rows["a.mp4"], other)
    writer.take_back(rows["a.mp4"])
    fill(writer, "a.mp4", "one.mp4")  # in the same commit
    writer.add(rows["b/c.mp4"], vectors("b/c.mp4", 0, 2))
    writer.flush()
    writer.take_back(rows["b/c.mp4"])
    writer.finish()
    check_filled(store.refresh(), "a.mp4", 5)
    assert store.refresh().sequence("b/c.mp4", [NAME])[NAME].null_count == 3
    (fault,) = verify(tmp_path / "store")
    assert (fault.name, fault.video_id, fault.count, fault.harmless) == ("without-feature", "b/c.mp4", 3, True)
    again = FeatureWriter(store.refresh(), added())
    assert again.feature.complete
    fill(again)
    again.finish()
    check_filled(store.refresh(), "b/c.mp4", 3)
    assert verify(tmp_path / "store") == []


def filled_but_for(tmp_path: Path, video_id: str) -> FeatureStore:
    """A store whose feature is complete, and which holds no vectors of one video, as after a failure."""
    store = make_store(tmp_path / "store", chunk=2)
    writer = FeatureWriter(store, added())
    fill(writer, *(set(VIDEOS) - {video_id}))
    writer.finish()
    return store.refresh()


def test_of_a_complete_feature_no_half_of_a_video_is_seen_wherever_a_retry_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vimoclip.store.features.FLUSH_BYTES", 60)  # a commit every few frames
    store = filled_but_for(tmp_path, "a.mp4")
    assert store.features[NAME].complete
    for frames in range(VIDEOS["a.mp4"]):
        writer = FeatureWriter(store.refresh(), added())
        (row,) = writer.todo()
        for n in range(frames):
            writer.add(row, vectors("a.mp4", n, 1))
        writer.flush()  # as beside another video that ends, and here it is killed
        assert store.refresh().sequence("a.mp4", [NAME])[NAME].null_count == VIDEOS["a.mp4"]
    again = FeatureWriter(store.refresh(), added())
    again.add(row, embedded("a.mp4", 0, 4, {NAME: DIM}, seed=9))
    again.take_back(row)  # it begins again
    fill(again)
    check_filled(store.refresh(), "a.mp4", VIDEOS["a.mp4"])  # before it is finished: the video is whole
    again.finish()
    assert verify(tmp_path / "store") == []


RETRY = """
import sys, time
from tests.vimoclip.store.test_features import added, vectors
from vimoclip.store import features
from vimoclip.store.feature_store import FeatureStore

features.FLUSH_BYTES = 60
writer = features.FeatureWriter(FeatureStore.open(sys.argv[1]), added())
(row,) = writer.todo()
for n in range(row.frames - 1):
    writer.add(row, vectors(row.video_id, n, 1))
    writer.flush()
print("nearly", flush=True)
time.sleep(600)
"""


def test_a_retry_that_is_killed_by_sigkill_leaves_nothing_of_its_video(tmp_path: Path) -> None:
    store = filled_but_for(tmp_path, "a.mp4")
    with subprocess.Popen([sys.executable, "-c", RETRY, str(tmp_path / "store")], stdout=subprocess.PIPE) as killed:
        assert killed.stdout is not None and killed.stdout.readline() == b"nearly\n"
        killed.kill()
    assert store.refresh().sequence("a.mp4", [NAME])[NAME].null_count == VIDEOS["a.mp4"]
    again = FeatureWriter(store.refresh(), added())
    fill(again)
    again.finish()
    check_filled(store.refresh(), "a.mp4", VIDEOS["a.mp4"])
    assert verify(tmp_path / "store") == []


def test_fragments_deleted_rows_and_a_hidden_video_are_no_obstacle(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {f"{n}.mp4": 3 + n for n in range(6)}, chunk=2)
    writer = StoreWriter(store)
    writer.put(replace(writer.videos["1.mp4"], status="removed"))
    writer.move(row := writer.videos["4.mp4"], replace(row, video_id="moved.mp4"))
    writer.flush()
    writer.drop_orphan_rows()  # of the take that was moved from
    filler = FeatureWriter(store.refresh(), added())
    assert {row.video_id for row in filler.todo()} == {"0.mp4", "2.mp4", "3.mp4", "5.mp4", "moved.mp4"}
    fill(filler)
    filler.finish()
    for video_id, frames in {"0.mp4": 3, "2.mp4": 5, "3.mp4": 6, "5.mp4": 8, "moved.mp4": 7}.items():
        check_filled(store.refresh(), video_id, frames)
    back = StoreWriter(store.refresh())
    back.put(replace(back.videos["1.mp4"], status="ok"))
    back.flush()
    assert [
        row.video_id for row in videos_missing_feature(store.refresh(), Table.open(tmp_path / "store", "frames"), NAME)
    ] == ["1.mp4"]
    back.move(row := back.videos["0.mp4"], replace(row, video_id="again.mp4"))  # its vectors come along
    back.flush()
    made = vectors("0.mp4", 0, 3).features[NAME]
    stored = np.array(store.refresh().sequence("again.mp4", [NAME])[NAME].to_pylist(), np.float16)
    assert stored.tobytes() == made.values.tobytes()


def other_frames(made: FrameBatch) -> FrameBatch:
    return replace(made, source_frame=made.source_frame + 1)


def not_unit(made: FrameBatch) -> FrameBatch:
    made.features[NAME].values[1] *= 2
    return made


def one_absent(made: FrameBatch) -> FrameBatch:
    made.features[NAME].norm[1] = 0
    return made


@pytest.mark.parametrize("spoil", [other_frames, not_unit, one_absent])
def test_vectors_that_are_not_the_stored_frames_are_refused(
    tmp_path: Path, spoil: Callable[[FrameBatch], FrameBatch]
) -> None:
    writer = FeatureWriter(make_store(tmp_path / "store"), added())
    row = next(row for row in writer.todo() if row.video_id == "a.mp4")
    writer.add(row, vectors("a.mp4", 0, 2))
    with pytest.raises(VideoError):
        writer.add(row, spoil(vectors("a.mp4", 2, 3)))
    writer.add(row, vectors("a.mp4", 2, 2))
    with pytest.raises(VideoError, match="fewer frames"):
        writer.end(row, reduced_batch=False)
    with pytest.raises(VideoError, match="no longer"):  # more frames than are stored
        writer.add(row, vectors("a.mp4", 4, 2))


def test_a_halved_batch_is_noted_in_the_videos_row(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 2, "b.mp4": 2})
    writer = FeatureWriter(store, added())
    for row in writer.todo():
        writer.add(row, vectors(row.video_id, 0, 2))
        writer.end(row, reduced_batch=row.video_id == "b.mp4")
    writer.finish()
    assert {row.video_id: row.reduced_batch for row in store.refresh().rows()} == {"a.mp4": False, "b.mp4": True}


def test_another_feature_of_the_name_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    FeatureWriter(store, added())
    before = Table.open(tmp_path / "store", "features").read()
    with pytest.raises(SettingsError, match=r"weights_sha256 is '\w+' in the store and 'ff' here"):
        FeatureWriter(store.refresh(), added(weights_sha256="ff"))
    assert Table.open(tmp_path / "store", "features").read().equals(before)
    moved = FeatureWriter(store.refresh(), added(weights="/elsewhere"))  # the same weights, found at another place
    assert (moved.feature.weights, moved.feature.complete) == ("/elsewhere", False)
    assert store.refresh().unfinished[NAME].weights == "/elsewhere"


@pytest.mark.parametrize("name", ["clip", "moclip", "clip_norm", "take", "video_id", "flow_speed", "other_norm"])
def test_a_column_keeps_its_name_for_itself(tmp_path: Path, name: str) -> None:
    store = make_store(tmp_path / "store")
    FeatureWriter(store, added("other"))
    with pytest.raises(FeatureError, match="column of this name"):
        check_name(store.refresh(), name)
    check_name(store.refresh(), "other")  # to go on with it


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "a.b", "ä", "-a", "a" * 65, "a`b", 'x" OR "1', "../a", "a\n"])
def test_names_that_no_column_can_have(tmp_path: Path, name: str) -> None:
    with pytest.raises(FeatureError, match="cannot have this name"):
        check_name(make_store(tmp_path / "store"), name)


def test_columns_that_a_kill_left_are_not_taken_for_a_new_feature(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    writer = FeatureWriter(store, added())
    fill(writer)
    writer.finish()
    store.tables["features"].latest().delete(pc.field("name") == NAME)  # and here `features drop` is killed
    assert [(fault.name, fault.harmless) for fault in verify(tmp_path / "store")] == [("leftover-column", True)]
    assert NAME not in store.refresh().frames().column_names
    ingest = StoreWriter(store.refresh())
    ingest.add(take := ingest.new_take(), embedded("new.mp4", 0, 3))
    ingest.put(ok_row("new.mp4", take, 3, store.fingerprint))
    ingest.flush()
    again = FeatureWriter(store.refresh(), added())
    assert len(again.todo()) == 4  # nothing is left of the old vectors
    store.tables["features"].latest().delete(pc.field("name") == NAME)
    StoreWriter(store.refresh()).optimize()
    assert Table.open(tmp_path / "store", "frames").schema.names == frames_schema({"clip": 8, "moclip": 8}).names
    assert verify(tmp_path / "store") == []


def test_null_vectors_come_back_as_nulls(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    writer = FeatureWriter(store, added())
    fill(writer, "a.mp4")
    writer.finish()
    rows = store.refresh().frames(["video_id", NAME, f"{NAME}_norm"])
    has = pc.is_valid(rows[NAME])
    assert pc.unique(rows.filter(has)["video_id"]).to_pylist() == ["a.mp4"]
    assert rows[NAME].null_count == rows[f"{NAME}_norm"].null_count == 4
    assert rows.schema.field(NAME).type == pa.list_(pa.float16(), DIM)


@pytest.mark.parametrize("change", ["finish", "drop"])
@pytest.mark.parametrize("at", ["videos", "features", "frames", "flow", "labels"])
def test_a_reader_that_opens_at_that_very_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str, at: str
) -> None:
    store = make_store(tmp_path / "store")
    writer = FeatureWriter(store, added())
    fill(writer)
    if change == "drop":
        writer.finish()
    changes = [writer.finish if change == "finish" else lambda: drop(tmp_path / "store", NAME)]
    real = Table.open

    def meanwhile(where: LocationLike, name: str, version: int | None = None) -> Table:
        table = real(where, name, version)
        if name == at and changes:
            changes.pop()()
        return table

    monkeypatch.setattr(Table, "open", meanwhile)
    opened = FeatureStore.open(tmp_path / "store")
    assert not changes
    assert opened.frames().column_names == opened.columns
    assert opened.frames().num_rows == 9
    if NAME in opened.features:
        assert opened.frames([NAME])[NAME].null_count == 0
    assert verify(tmp_path / "store") == []
