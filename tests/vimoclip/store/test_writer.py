"""Writing: what is visible when, what a crash leaves, and what is refused."""

import math
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from schemas.labels import Label
from tests.vimoclip.stores import FPS, embedded, make_store, ok_row
from vimoclip.errors import NoSpaceError, UnknownVideoError, VideoError
from vimoclip.frames import Embeddings, FrameBatch
from vimoclip.store import writer as module
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

pytestmark = pytest.mark.slow

NO_GRACE = timedelta(0)


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """a.mp4, b/c.mp4 and one.mp4: 5, 3 and 1 frames."""
    return make_store(tmp_path / "store")


def add(writer: StoreWriter, video_id: str, frames: int, *, seed: int | None = None) -> int:
    """Buffer a whole video; its take."""
    writer.add(take := writer.new_take(), embedded(video_id, 0, frames, seed=seed))
    writer.put(ok_row(video_id, take, frames, writer.videos["a.mp4"].fingerprint or ""))
    return take


def ids(store: FeatureStore) -> list[str]:
    return store.refresh().videos()["video_id"].to_list()


def vectors(rows: pa.Table, name: str = "clip") -> np.ndarray:
    return np.array(rows[name].drop_null().to_pylist(), np.float16)


def manifests(store: FeatureStore, name: str) -> int:
    return len(list((Path(str(store.place)) / f"{name}.lance" / "_versions").glob("*.manifest")))


def faults(store: FeatureStore) -> set[str]:
    return {fault.name for fault in verify(store.place)}


def test_frames_are_seen_with_the_videos_row_and_not_before(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    take = writer.new_take()
    writer.add(take, embedded("new.mp4", 0, 3))
    writer.flush()
    assert store.refresh().tables["frames"].count(pc.field("take") == take) == 3
    assert store.refresh().frames().num_rows == 9
    writer.add(take, embedded("new.mp4", 3, 2))
    assert writer.frames_in(take) == 5
    writer.put(ok_row("new.mp4", take, 5, store.fingerprint))
    assert writer.videos["new.mp4"].frames == 5
    assert "new.mp4" not in ids(store)
    writer.flush()
    assert store.refresh().sequence("new.mp4").num_rows == 5
    assert store.refresh().flow("new.mp4").num_rows == 4
    assert faults(store) == set()


def test_a_flush_of_nothing_commits_nothing(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    writer.flush()
    writer.flush()
    assert {n: t.version for n, t in store.refresh().tables.items()} == {n: t.version for n, t in store.tables.items()}


def fail_once(monkeypatch: pytest.MonkeyPatch, method: str, table: str, error: BaseException) -> None:
    """The next commit to `table` fails."""
    real: Callable[..., Any] = getattr(Table, method)
    left = [error]

    def call(self: Table, *arguments: Any) -> Any:
        if self.name == table and left:
            raise left.pop()
        return real(self, *arguments)

    monkeypatch.setattr(Table, method, call)


@pytest.mark.parametrize(
    ("method", "table"), [("append", "frames"), ("append", "flow"), ("replace", "labels"), ("upsert", "videos")]
)
def test_a_flush_cut_short_shows_the_old_state_and_a_second_one_repeats_nothing(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, method: str, table: str
) -> None:
    StoreWriter(store).set_labels([Label(video_id="one.mp4", label="x", source="s")], ["one.mp4"], "s")
    store = store.refresh()
    before = store.frames().to_pylist()
    writer = StoreWriter(store)
    take = add(writer, "a.mp4", 8, seed=1)
    add(writer, "new.mp4", 2)
    old = writer.videos["one.mp4"]
    writer.move(old, replace(old, video_id="moved.mp4"))
    fail_once(monkeypatch, method, table, NoSpaceError("No space is left."))
    with pytest.raises(NoSpaceError):
        writer.flush()
    seen = store.refresh()
    assert ids(store) == ["a.mp4", "b/c.mp4", "one.mp4"]
    assert seen.frames().to_pylist() == before
    assert seen.flow("a.mp4").equals(store.flow("a.mp4"))

    writer.flush()
    seen = store.refresh()
    assert ids(store) == ["a.mp4", "b/c.mp4", "moved.mp4", "new.mp4"]
    assert np.array_equal(vectors(seen.sequence("a.mp4")), embedded("a.mp4", 0, 8, seed=1).features["clip"].values)
    assert seen.tables["frames"].count(pc.field("take") == take) == 8
    assert seen.tables["flow"].count(pc.field("take") == take) == 7
    assert seen.labels()["video_id"].to_list() == ["moved.mp4"]
    assert faults(store) <= {"leftover-rows"}


def test_a_kill_between_frames_and_videos_leaves_leftovers_that_are_dropped(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = StoreWriter(store)
    add(writer, "new.mp4", 4)
    fail_once(monkeypatch, "upsert", "videos", SystemExit())
    with pytest.raises(SystemExit):
        writer.flush()
    assert faults(store) == {"leftover-rows"}
    again = StoreWriter(store.refresh())  # the next process
    assert again.drop_orphan_rows() == 1
    assert again.drop_orphan_rows() == 0
    assert faults(store) == set()
    assert store.refresh().tables["frames"].count() == 9


def test_an_interrupt_waits_until_the_flush_is_whole(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = StoreWriter(store)
    add(writer, "new.mp4", 4)
    real = Table.append

    def append(self: Table, rows: pa.Table) -> None:
        real(self, rows)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Table, "append", append)
    with pytest.raises(KeyboardInterrupt):
        writer.flush()
    assert store.refresh().sequence("new.mp4").num_rows == 4
    monkeypatch.undo()
    writer.flush()
    assert store.refresh().tables["frames"].count(pc.field("video_id") == "new.mp4") == 4


def test_replacing_a_video(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    first = writer.videos["a.mp4"].take
    take = add(writer, "a.mp4", 2, seed=7)
    assert np.array_equal(vectors(store.refresh().sequence("a.mp4")), vectors(store.sequence("a.mp4")))
    writer.flush()
    seen = store.refresh()
    assert np.array_equal(vectors(seen.sequence("a.mp4")), embedded("a.mp4", 0, 2, seed=7).features["clip"].values)
    assert seen.videos().filter(seen.videos()["video_id"] == "a.mp4")["take"].to_list() == [take]
    assert writer.drop_orphan_rows() == 1
    assert store.refresh().tables["frames"].count(pc.field("take") == first) == 0
    assert ids(store) == ["a.mp4", "b/c.mp4", "one.mp4"]
    assert faults(store) == set()


def test_a_take_that_is_given_up_is_a_leftover(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    writer.add(writer.new_take(), embedded("broken.mp4", 0, 4))
    add(writer, "one-frame.mp4", 1)
    writer.flush()
    assert ids(store) == ["a.mp4", "b/c.mp4", "one-frame.mp4", "one.mp4"]
    assert writer.drop_orphan_rows() == 1
    assert store.refresh().tables["frames"].count() == 10
    assert store.refresh().tables["flow"].count() == 6
    assert faults(store) == set()


def test_removed_videos_keep_their_rows_until_optimize(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    label = Label(video_id="a.mp4", label="x", source="s")
    other = replace(label, video_id="one.mp4")
    writer.set_labels([label, other], ["a.mp4", "one.mp4"], "s")
    writer.put(replace(writer.videos["a.mp4"], status="removed"))
    writer.flush()
    assert writer.drop_orphan_rows() == 0
    assert store.refresh().tables["frames"].count() == 9
    assert store.refresh().label_rows() == [label, other]
    done = writer.optimize(NO_GRACE)
    assert done.leftover_takes == 1
    assert done.bytes_after < done.bytes_before
    seen = store.refresh()
    assert seen.tables["frames"].count() == 4
    assert seen.tables["flow"].count() == 2
    assert seen.label_rows() == [other]
    (row,) = [row for row in seen.rows() if row.video_id == "a.mp4"]  # what is remembered: not to take it in again
    assert (row.status, row.take, row.frames) == ("removed", None, None)
    assert faults(store) == set()
    assert writer.optimize(NO_GRACE).leftover_takes == 0


def test_optimize_takes_every_byte_of_one_removed_video_off_the_disk(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {f"{n}.mp4": 10 for n in range(30)})
    StoreWriter(store).optimize(NO_GRACE)
    secret = embedded("7.mp4", 0, 10).features["clip"].values[3].tobytes()

    def on_disk() -> bool:
        return any(secret in file.read_bytes() for file in Path(str(store.place)).rglob("*") if file.is_file())

    assert on_disk()
    writer = StoreWriter(store)
    writer.put(replace(writer.videos["7.mp4"], status="removed"))
    writer.optimize(NO_GRACE)
    assert not on_disk()
    assert store.refresh().frames().num_rows == 290


def test_forget(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    labels = [Label(video_id=name, label="x", source="s") for name in ("a.mp4", "one.mp4")]
    writer.set_labels(labels, ["a.mp4", "one.mp4"], "s")
    writer.forget([])
    writer.forget(["a.mp4", "b/c.mp4"])
    assert set(writer.videos) == {"one.mp4"} == {row.video_id for row in store.refresh().rows()}
    assert store.refresh().label_rows() == labels[1:]
    assert writer.drop_orphan_rows() == 2


@pytest.mark.parametrize("flushed", [True, False])
def test_a_move_takes_everything_along(store: FeatureStore, flushed: bool) -> None:
    writer = StoreWriter(store)
    writer.put(replace(writer.videos["a.mp4"], metadata='{"site": "Taï"}', split="train"))
    writer.put(replace(writer.videos["one.mp4"], status="duplicate", duplicate_of="a.mp4", take=None))
    writer.flush()
    labels = [
        Label(video_id="a.mp4", label="x", source="s", start_s=0.0, end_s=0.1),
        Label(video_id="b/c.mp4", label="y", source="s"),
    ]
    writer.set_labels(labels, ["a.mp4", "b/c.mp4"], "s")
    before = store.refresh()
    old = writer.videos["a.mp4"]
    writer.move(old, replace(old, video_id="new/a.mp4", path="/elsewhere/a.mp4", split=None))
    if flushed:
        writer.flush()
    add(writer, "next.mp4", 1)
    writer.flush()
    for dropped in (False, True):
        seen = store.refresh()
        assert ids(store) == ["b/c.mp4", "new/a.mp4", "next.mp4"]
        for get in (FeatureStore.sequence, FeatureStore.flow):
            was, now = get(before, "a.mp4"), get(seen, "new/a.mp4")
            kept = [name for name in was.column_names if name not in ("video_id", "take")]
            assert now.select(kept).equals(was.select(kept))  # to the last bit
        assert set(seen.sequence("new/a.mp4")["video_id"].to_pylist()) == {"new/a.mp4"}
        assert seen.labels().select("video_id", "label", "start_s").rows() == [
            ("b/c.mp4", "y", None),
            ("new/a.mp4", "x", 0.0),
        ]
        row = {row.video_id: row for row in seen.rows()}["new/a.mp4"]
        assert (row.path, row.split, row.metadata) == ("/elsewhere/a.mp4", "train", '{"site": "Taï"}')
        (copy,) = [row for row in seen.rows() if row.status == "duplicate"]
        assert copy.duplicate_of == "new/a.mp4"
        with pytest.raises(UnknownVideoError):
            seen.sequence("a.mp4")
        if not dropped:
            assert writer.drop_orphan_rows() == 2  # of a.mp4, and of what is a duplicate now
    assert "a.mp4" not in writer.videos
    assert "a.mp4" not in {row.video_id for row in store.refresh().rows()}
    assert {label.video_id for label in store.refresh().label_rows()} == {"b/c.mp4", "new/a.mp4"}
    assert store.refresh().tables["frames"].count(pc.field("video_id") == "a.mp4") == 0
    assert faults(store) == set()


def test_a_move_of_frames_that_are_still_buffered_loses_none(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    add(writer, "here.mp4", 4)
    writer.move(writer.videos["here.mp4"], replace(writer.videos["here.mp4"], video_id="there.mp4"))
    writer.move(writer.videos["there.mp4"], replace(writer.videos["there.mp4"], video_id="end.mp4"))
    writer.flush()
    found = store.refresh().sequence("end.mp4")
    assert np.array_equal(vectors(found), embedded("here.mp4", 0, 4).features["clip"].values)
    writer.drop_orphan_rows()
    assert ids(store) == ["a.mp4", "b/c.mp4", "end.mp4", "one.mp4"]
    assert store.refresh().tables["frames"].count() == 13
    assert faults(store) == set()


def test_a_new_video_under_an_id_that_moved_away_is_its_own(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    writer.set_labels([Label(video_id="a.mp4", label="old", source="s")], ["a.mp4"], "s")
    old = writer.videos["a.mp4"]
    writer.move(old, replace(old, video_id="moved.mp4"))
    writer.flush()
    add(writer, "a.mp4", 2, seed=9)
    writer.flush()
    writer.drop_orphan_rows()
    writer.set_labels([Label(video_id="a.mp4", label="new", source="s")], ["a.mp4"], "s")
    writer.put(replace(ok_row("copy.mp4", 0, 0, ""), status="duplicate", duplicate_of="a.mp4", take=None))
    writer.flush()
    seen = store.refresh()
    assert seen.labels().select("video_id", "label").rows() == [("a.mp4", "new"), ("moved.mp4", "old")]
    assert (seen.sequence("a.mp4").num_rows, seen.sequence("moved.mp4").num_rows) == (2, 5)
    assert {row.video_id: row.duplicate_of for row in seen.rows()}["copy.mp4"] == "a.mp4"
    assert faults(store) == set()


def test_both_rows_of_a_move_are_one_commit(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_VIDEOS", 1)
    writer = StoreWriter(store)
    version = store.tables["videos"].version
    old = writer.videos["a.mp4"]
    writer.move(old, replace(old, video_id="new.mp4"))
    assert ids(store) == ["b/c.mp4", "new.mp4", "one.mp4"]
    assert store.refresh().tables["videos"].version == version + 1


def test_labels_of_a_source_are_replaced_and_only_its_own(store: FeatureStore) -> None:
    def label(video_id: str, name: str, source: str, end_s: float = math.inf) -> Label:
        return Label(video_id=video_id, label=name, source=source, end_s=end_s)

    def now() -> set[tuple[str, str, str]]:
        return {(x.video_id, x.label, x.source) for x in store.refresh().label_rows()}

    writer = StoreWriter(store)
    both = ["a.mp4", "one.mp4"]
    assert writer.set_labels([label(name, "x", "one") for name in both], both, "one") == 2
    assert writer.set_labels([label("a.mp4", "y", "two")], ["a.mp4"], "two") == 1
    # The same again changes nothing and commits nothing.
    version = store.refresh().tables["labels"].version
    assert writer.set_labels([label("a.mp4", "y", "two")], ["a.mp4"], "two") == 0
    assert store.refresh().tables["labels"].version == version
    # Only the videos named: one.mp4 keeps what the source said of it. One dropped and one added.
    assert writer.set_labels([label("a.mp4", "z", "one")], ["a.mp4"], "one") == 2
    assert now() == {("a.mp4", "z", "one"), ("one.mp4", "x", "one"), ("a.mp4", "y", "two")}
    # What two has said stays two's, also when one says it too, or with another end, and takes it back.
    others = {("a.mp4", "z", "one"), ("one.mp4", "x", "one"), ("a.mp4", "y", "two")}
    for end_s in (math.inf, 2.0):
        said = [label("a.mp4", "y", "one", end_s), label("a.mp4", "z", "one")]
        assert writer.set_labels(said, ["a.mp4"], "one") == 1
        assert now() == others | {("a.mp4", "y", "one")}
        assert writer.set_labels(said[1:], ["a.mp4"], "one") == 1
        assert now() == others
    assert {x.end_s for x in store.refresh().label_rows() if x.source == "two"} == {math.inf}
    assert writer.set_labels([], ["a.mp4"], "two") == 1
    assert writer.set_labels([label("a.mp4", "y", "one"), label("a.mp4", "z", "one")], ["a.mp4"], "one") == 1
    # An altered row is one change.
    assert writer.set_labels([label("one.mp4", "x", "one", 3.0)], ["one.mp4"], "one") == 1
    assert {x.end_s for x in store.refresh().label_rows() if x.video_id == "one.mp4"} == {3.0}
    assert writer.set_labels([], both, "one") == 3
    assert now() == set()


def change(frames: FrameBatch, **changes: Any) -> FrameBatch:
    """Frames of new.mp4 with other values; of `clip` or `moclip`, other fields of its Embeddings."""
    own = {name: changes.pop(name) for name in tuple(changes) if name in frames.features}
    features = {name: replace(v, **own.get(name, {})) for name, v in frames.features.items()}
    return replace(frames, **({"features": features} | changes))


def with_value(vectors: Embeddings, value: float) -> np.ndarray:
    values = vectors.values.copy()
    values[1, 2] = value
    return values


FIRST = embedded("new.mp4", 0, 4)
CLIP, MOCLIP = FIRST.features["clip"], FIRST.features["moclip"]
SPEED = FIRST.flow_speed
BAD: dict[str, FrameBatch] = {
    "no frames": change(FIRST, frame_index=FIRST.frame_index[:0]),
    "not from 0": embedded("new.mp4", 1, 3),
    "a gap": change(FIRST, frame_index=np.array([0, 1, 3, 4], np.int32)),
    "out of order": change(FIRST, frame_index=np.array([0, 2, 1, 3], np.int32)),
    "twice": change(FIRST, frame_index=np.array([0, 1, 1, 2], np.int32)),
    "source frames that stand still": change(FIRST, source_frame=np.array([0, 1, 1, 2])),
    "source frames that fall": change(FIRST, source_frame=np.array([0, 5, 3, 6])),
    "source frames below 0": change(FIRST, source_frame=np.array([-1, 0, 1, 2])),
    "times that stand still": change(FIRST, time_s=np.array([0, 0.1, 0.1, 0.2])),
    "times that fall": change(FIRST, time_s=np.array([0, 0.2, 0.1, 0.3])),
    "times not from 0": change(FIRST, time_s=np.array([0.1, 0.2, 0.3, 0.4])),
    "no time": change(FIRST, time_s=np.array([0, 0.1, np.nan, 0.3])),
    "an endless time": change(FIRST, time_s=np.array([0, 0.1, 0.2, np.inf])),
    "fewer times": change(FIRST, time_s=FIRST.time_s[:3]),
    "fewer flows": change(FIRST, flow=FIRST.flow[:3]),
    "flow at frame 0": change(FIRST, flow=[b"flow", *FIRST.flow[1:]]),
    "no flow at frame 2": change(FIRST, flow=[*FIRST.flow[:2], None, FIRST.flow[3]]),
    "no speed": change(FIRST, flow_speed=np.array([0, 1, np.nan, 1], np.float32)),
    "endless speed": change(FIRST, flow_speed=np.array([0, 1, np.inf, 1], np.float32)),
    "speed below 0": change(FIRST, flow_speed=np.array([0, 1, -1, 1], np.float32)),
    "fewer speeds": change(FIRST, flow_speed=SPEED[:3]),
    "a missing feature": replace(FIRST, features={"clip": CLIP}),
    "another feature": replace(FIRST, features={**FIRST.features, "bio": CLIP}),
    "wider vectors": embedded("new.mp4", 0, 4, {"clip": 9, "moclip": 8}),
    "fewer vectors": change(FIRST, clip={"values": CLIP.values[:3]}),
    "fp32 vectors": change(FIRST, clip={"values": CLIP.values.astype(np.float32)}),
    "a vector with NaN": change(FIRST, clip={"values": with_value(CLIP, math.nan)}),
    "a vector with infinity": change(FIRST, moclip={"values": with_value(MOCLIP, math.inf)}),
    "longer vectors": change(FIRST, clip={"values": CLIP.values * np.float16(1.1)}),
    "shorter vectors": change(FIRST, clip={"values": CLIP.values * np.float16(0.9)}),
    "vectors of nothing": change(FIRST, moclip={"values": np.zeros_like(MOCLIP.values)}),
    "NaN for a norm": change(FIRST, clip={"norm": np.array([1, np.nan, 1, 1], np.float32)}),
    "0 for a norm": change(FIRST, clip={"norm": np.array([1, 0, 1, 1], np.float32)}),
    "fewer norms": change(FIRST, clip={"norm": CLIP.norm[:3]}),
    "an image that is missing": change(FIRST, clip={"norm": CLIP.norm * np.array([1, 1, 0, 1], np.float32)}),
    "motion at frame 0": change(FIRST, moclip={"norm": np.ones(4, np.float32)}),
    "no motion at all": change(FIRST, moclip={"norm": np.zeros(4, np.float32)}),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_frames_are_refused_and_nothing_of_them_is_kept(store: FeatureStore, what: str) -> None:
    writer = StoreWriter(store)
    take = writer.new_take()
    with pytest.raises(VideoError) as caught:
        writer.add(take, BAD[what])
    assert caught.value.kind == "embedding-failed"
    assert writer.frames_in(take) == 0
    writer.add(take, FIRST)  # the take goes on as if they had never come
    writer.flush()
    seen = store.refresh()
    assert seen.tables["frames"].count() == 9 + 4
    assert seen.tables["flow"].count() == 6 + 3


@pytest.mark.parametrize(
    ("what", "bad"),
    {
        "the same frames": embedded("new.mp4", 0, 4),
        "a gap": embedded("new.mp4", 5, 2),
        "an earlier time": replace(embedded("new.mp4", 4, 2), time_s=np.array([3, 4]) / FPS),
        "an earlier source frame": replace(embedded("new.mp4", 4, 2), source_frame=np.array([3, 5])),
    }.items(),
)
def test_frames_must_follow_those_before(store: FeatureStore, what: str, bad: FrameBatch) -> None:
    writer = StoreWriter(store)
    writer.add(take := writer.new_take(), FIRST)
    with pytest.raises(VideoError, match=r"new\.mp4"):
        writer.add(take, bad)
    writer.add(take, embedded("new.mp4", 4, 2))
    assert writer.frames_in(take) == 6


def test_what_fp16_rounds_is_still_of_unit_length(tmp_path: Path) -> None:
    dims = {"clip": 1024, "moclip": 3}
    store = make_store(tmp_path / "store", {"a.mp4": 40}, dims)
    assert faults(store) == set()
    assert np.array_equal(vectors(store.sequence("a.mp4")), embedded("a.mp4", 0, 40, dims).features["clip"].values)


def test_takes_grow_though_the_clock_stands_still_or_goes_back(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = max(store.live_takes())
    for now in (last, 5):
        monkeypatch.setattr(time, "time_ns", lambda now=now: now)
        writer = StoreWriter(store)
        takes = [writer.new_take() for _ in range(3)]
        assert takes == [last + 1, last + 2, last + 3]


def test_a_new_take_is_never_that_of_a_leftover(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = StoreWriter(store)
    writer.add(left := writer.new_take(), embedded("left.mp4", 0, 2))
    writer.flush()
    monkeypatch.setattr(time, "time_ns", lambda: 5)
    again = StoreWriter(store.refresh())
    again.drop_orphan_rows()
    assert again.new_take() > left


def test_without_flow_none_is_written(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 5}, keep_flow=False)
    assert store.tables["flow"].count() == 0
    assert store.flow("a.mp4").num_rows == 0
    assert store.sequence("a.mp4")["flow_speed"].null_count == 1
    assert store.sequence("a.mp4")["moclip"].null_count == 1
    writer = StoreWriter(store)
    writer.move(writer.videos["a.mp4"], replace(writer.videos["a.mp4"], video_id="b.mp4"))
    writer.flush()
    assert store.refresh().tables["flow"].count() == 0
    writer.drop_orphan_rows()
    assert faults(store) == set()


@pytest.mark.parametrize(("name", "value"), [("FLUSH_ROWS", 4), ("FLUSH_BYTES", 1), ("FLUSH_S", -1.0)])
def test_a_full_buffer_is_committed(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, name: str, value: float
) -> None:
    writer = StoreWriter(store)
    writer.add(writer.new_take(), embedded("small.mp4", 0, 2))
    assert store.refresh().tables["frames"].count() == 9
    monkeypatch.setattr(module, name, value)
    take = writer.new_take()
    writer.add(take, embedded("new.mp4", 0, 4))
    assert store.refresh().tables["frames"].count() == 9 + 2 + 4
    writer.put(ok_row("new.mp4", take, 4, store.fingerprint))
    writer.flush()
    assert store.refresh().sequence("new.mp4").num_rows == 4
    assert store.refresh().flow("new.mp4").num_rows == 3
    assert store.refresh().tables["frames"].count() == 9 + 2 + 4


def test_many_videos_rows_are_committed(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH_VIDEOS", 3)
    writer = StoreWriter(store)
    bare = replace(ok_row("", 0, 0, ""), status="failed", error_kind="no-frames", take=None)
    for n in range(5):
        writer.put(replace(bare, video_id=f"{n}"))
    assert len(store.refresh().rows()) == 3 + 3


def test_versions_and_fragments_stay_few_however_many_commits(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "COMPACT_EVERY_COMMITS", 12)
    monkeypatch.setattr(module, "GRACE", NO_GRACE)
    writer = StoreWriter(store)
    for n in range(40):
        add(writer, f"v{n}", 2)
        writer.flush()
    for name in ("frames", "flow", "videos"):
        assert manifests(store, name) <= 12
        assert len(list((Path(str(store.place)) / f"{name}.lance" / "data").iterdir())) <= 12
    assert len(ids(store)) == 43
    assert store.refresh().frames().num_rows == 89
    assert faults(store) == set()


def test_the_writer_leaves_versions_to_their_readers(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMPACT_EVERY_COMMITS", 3)
    before = store.frames().to_pylist()
    writer = StoreWriter(store)
    for n in range(4):
        add(writer, "a.mp4", 2 + n)
        writer.flush()
        writer.drop_orphan_rows()
    assert store.frames().to_pylist() == before
    assert store.refresh().sequence("a.mp4").num_rows == 5
