"""Sequences read from a real store are what the store gives for each video alone, in memory and from files."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from schemas.labels import Label
from tests.vimoclip.stores import embedded, features, make_store, ok_row, write_in_turns
from vimoclip.config.fusion import Fusion, SequenceConfig
from vimoclip.errors import ConfigError, RunError, StoreDamagedError, UnknownColumnError
from vimoclip.frames import vectors
from vimoclip.sequences.reader import SequenceStorage, read_sequences
from vimoclip.sequences.sequences import Sequences
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import put_feature
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.splits import list_classes, videos_of_split

pytestmark = pytest.mark.slow

VIDEOS = {"a.mp4": 9, "b.mp4": 1, "c/d.mp4": 2, "still.mp4": 6, "e.mp4": 30, "nothing.mp4": 4}
SPLITS = {"e.mp4": "val"}
LABELS = [("a.mp4", "eats"), ("a.mp4", "runs"), ("b.mp4", "rests"), ("c/d.mp4", "eats"), ("still.mp4", "rests"),
          ("e.mp4", "digs")]  # fmt: skip
CONFIG = SequenceConfig()

Read = Callable[..., Sequences]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """Videos written piece by piece and in turns, one of them without motion; and rows of no live take."""
    made = make_store(tmp_path / "store", {})
    with writer_lock(made.place):
        writer = StoreWriter(made)
        writer.add(writer.new_take(), embedded("a.mp4", 0, 9, seed=7))  # replaced, as it were, before it was committed
        takes = write_in_turns(writer, VIDEOS, 4)
        for video_id, count in VIDEOS.items():
            split = SPLITS.get(video_id, "train")
            writer.put(ok_row(video_id, takes[video_id], count, made.fingerprint, split=split))
        labels = [Label(video_id=video_id, label=label, source="t") for video_id, label in LABELS]
        labels.append(Label(video_id="a.mp4", label="runs", source="t", start_s=0.1, end_s=0.2))
        writer.set_labels(labels, VIDEOS, "t")
        writer.flush()
        made = made.refresh()
        _stop(made, takes["still.mp4"])
    return made.refresh()


def _stop(store: FeatureStore, take: int) -> None:
    """Take the motion from a video, as no writer of ours would."""
    frames = store.tables["frames"]
    rows = frames.scan_with_row_ids(["moclip", "moclip_norm"], pc.field("take") == take)
    nothing = {name: pa.nulls(len(rows), rows[name].type) for name in ("moclip", "moclip_norm")}
    frames.update_rows(pa.table({**nothing, "_rowid": rows["_rowid"]}))


@pytest.fixture(params=["memory", "files"])
def read(request: pytest.FixtureRequest, store: FeatureStore, tmp_path: Path) -> Read:
    def reader(
        fusion: Fusion = "cross", split: str | None = None, config: SequenceConfig = CONFIG, **more: object
    ) -> Sequences:
        storage = SequenceStorage(request.param, tmp_path / "cache")
        now = store.refresh()
        classes = more.pop("classes", list_classes(now))
        return read_sequences(now, config, fusion, videos_of_split(now, split), classes, storage=storage, **more)  # type: ignore[arg-type]

    return reader


def test_every_video_is_what_the_store_gives(store: FeatureStore, read: Read) -> None:
    found = read(unlabelled="kept")
    assert found.video_ids == sorted(VIDEOS)
    for video, video_id in enumerate(found.video_ids):
        rows = store.sequence(video_id)
        steps = slice(1, None) if len(rows) > 1 else slice(None)
        batch = found.batch(np.array([video]))
        image, motion = vectors(rows["clip"])[steps], vectors(rows["moclip"])[steps]
        assert np.array_equal(batch.vectors["image"][0].numpy(), image.astype(np.float32))
        assert batch.present["image"].all()
        moving = ~np.isnan(motion).any(axis=1)
        assert np.array_equal(batch.present["motion"][0].numpy(), moving)
        assert np.array_equal(batch.vectors["motion"][0].numpy()[moving], motion[moving].astype(np.float32))


def test_a_batch_is_its_videos_padded(read: Read) -> None:
    found = read(unlabelled="kept")
    videos = np.array([3, 0, 1])
    batch = found.batch(videos)
    assert batch.videos.tolist() == [3, 0, 1] and batch.vectors["image"].shape == (3, 29, 8)
    for i, video in enumerate(videos):
        alone, length = found.batch(videos[i : i + 1]), int(found.steps[video])
        for role in ("image", "motion"):
            assert np.array_equal(batch.present[role][i, :length], alone.present[role][0])
            assert not batch.present[role][i, length:].any()
            there = alone.present[role][0]
            assert np.array_equal(batch.vectors[role][i, :length][there], alone.vectors[role][0][there])


def test_raw_vectors_are_times_their_norms(store: FeatureStore, read: Read) -> None:
    found = read(config=replace(CONFIG, lengths="raw"))
    rows = store.sequence("a.mp4")
    raw = vectors(rows["clip"]).astype(np.float32) * rows["clip_norm"].to_numpy()[:, None]
    assert np.allclose(found.batch(np.array([0])).vectors["image"][0].numpy(), raw[1:], rtol=1e-6)


def test_labels_are_a_multi_hot(read: Read) -> None:
    found = read(split="train")
    assert (found.video_ids, found.classes) == (
        ["a.mp4", "b.mp4", "c/d.mp4", "still.mp4"],
        ["digs", "eats", "rests", "runs"],
    )
    assert found.targets.tolist() == [[0, 1, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert found.counts() == [0, 2, 2, 1]
    assert found.batch(np.array([2])).targets.tolist() == [[0, 1, 0, 0]]


def test_classes_have_the_order_that_is_asked_for(read: Read) -> None:
    found = read(split="train", classes=["rests", "flies"])
    assert found.video_ids == ["b.mp4", "still.mp4"] and found.targets.tolist() == [[1, 0], [1, 0]]
    assert found.report.unlabelled == 3


def test_the_report(read: Read) -> None:
    report = read(split="train", config=replace(CONFIG, most_frames=5)).report
    assert (report.videos, report.frames) == (4, 5 + 1 + 1 + 5)
    assert (report.one_frame, report.motionless, report.thinned, report.unlabelled) == (1, 1, 1, 1)
    assert read("image", split="train").report.motionless == 0


def test_long_videos_are_thinned(store: FeatureStore, read: Read) -> None:
    found = read(split="val", config=replace(CONFIG, most_frames=7))
    image = vectors(store.sequence("e.mp4")["clip"])[1 + np.arange(7) * 29 // 7]
    assert np.array_equal(found.batch(np.array([0])).vectors["image"][0].numpy(), image.astype(np.float32))


@pytest.mark.parametrize(("fusion", "role"), [("image", "image"), ("motion", "motion")])
def test_one_input_reads_one_feature(read: Read, fusion: Fusion, role: str) -> None:
    both, alone = read(), read(fusion)
    assert alone.dims == {role: 8} and list(alone.batch(np.array([0])).vectors) == [role]
    assert np.array_equal(alone.batch(np.array([0])).vectors[role], both.batch(np.array([0])).vectors[role])  # type: ignore[index]


def test_videos_without_an_added_feature_are_left_out(store: FeatureStore, read: Read) -> None:
    frames = store.tables["frames"]
    frames.add_columns(pa.schema([pa.field("other", pa.list_(pa.float16(), 3)), pa.field("other_norm", pa.float32())]))
    (take,) = (row.take for row in store.rows() if row.video_id == "a.mp4")
    rows = frames.scan_with_row_ids(["take"], pc.field("take") == take)
    values = pa.array(np.tile(np.array([1, 0, 0], np.float16), len(rows)))
    filled = {
        "other": pa.FixedSizeListArray.from_arrays(values, 3),
        "other_norm": pa.array(np.ones(len(rows), np.float32)),
    }
    frames.update_rows(pa.table({**filled, "_rowid": rows["_rowid"]}))
    other = replace(features({"other": 3})[0], settings='{"model": "ViT-B-16"}')
    put_feature(store.tables["features"].latest(), other)
    found = read("image", split="train", config=replace(CONFIG, image="other"))
    assert found.video_ids == ["a.mp4"] and found.report.unembedded == 3
    assert found.batch(np.array([0])).vectors["image"][0, :, 0].tolist() == [1] * 8


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        (replace(CONFIG, image="dino"), UnknownColumnError, "Received: dino. Expected: clip, moclip"),
        (replace(CONFIG, image="moclip"), ConfigError, "not of image"),
    ],
)
def test_what_cannot_be_read(read: Read, config: SequenceConfig, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(config=config)


def test_no_labels_no_training(store: FeatureStore) -> None:
    with pytest.raises(RunError, match="6 videos, 6 of them without a label"):
        read_sequences(store, CONFIG, "cross", videos_of_split(store), ["flies"])


def test_frames_that_are_gone_are_missed(store: FeatureStore, read: Read) -> None:
    (take,) = (row.take for row in store.rows() if row.video_id == "e.mp4")
    store.tables["frames"].delete((pc.field("take") == take) & (pc.field("frame_index") == 20))
    with pytest.raises(StoreDamagedError, match="lacks frames"):
        read()


CUT = SequenceConfig(window_s=0.3)  # 30 frames, 1.2 s: four stretches; 9 frames, 0.36 s: two


def test_each_stretch_is_what_the_store_gives_of_its_frames_alone(store: FeatureStore, read: Read) -> None:
    found = read(config=replace(CUT, most_frames=5), unlabelled="kept")
    assert found.video_ids == ["a.mp4", "a.mp4", "b.mp4", "c/d.mp4", *["e.mp4"] * 4, "nothing.mp4", "still.mp4"]
    frames = [(0, 5), (5, 4), (0, 1), (0, 2), (0, 8), (8, 7), (15, 8), (23, 7), (0, 4), (0, 6)]
    every = found.batch(np.arange(len(found)))
    for stretch, (video_id, (first, count)) in enumerate(zip(found.video_ids, frames, strict=True)):
        rows = store.sequence(video_id)[first : first + count]
        moments = (
            [0] if count == 1 else [1 + step * (count - 1) // min(count - 1, 5) for step in range(min(count - 1, 5))]
        )
        image, motion = vectors(rows["clip"])[moments], vectors(rows["moclip"])[moments]
        assert found.steps[stretch] == len(moments)
        assert np.array_equal(every.vectors["image"][stretch, : len(moments)].numpy(), image.astype(np.float32))
        moving = ~np.isnan(motion).any(axis=1)
        assert np.array_equal(every.present["motion"][stretch, : len(moments)].numpy(), moving)
        assert np.array_equal(
            every.vectors["motion"][stretch, : len(moments)].numpy()[moving], motion[moving].astype(np.float32)
        )
    report = found.report
    assert (report.videos, report.stretches, report.frames, report.cut) == (6, 10, int(found.steps.sum()), True)
    assert (report.one_frame, report.motionless, report.thinned) == (1, 1, 4)


def test_a_stretch_of_a_single_frame_has_no_motion(store: FeatureStore, read: Read) -> None:
    found = read(config=SequenceConfig(window_s=0.04), split="train")  # a frame each
    frames = 9 + 1 + 2 + 6
    assert (len(found), found.report.stretches, found.report.one_frame) == (frames, frames, frames)
    batch = found.batch(np.arange(frames))
    assert batch.present["image"].all() and not batch.present["motion"].any()
    assert np.array_equal(batch.vectors["image"][:9, 0].numpy(), vectors(store.sequence("a.mp4")["clip"]))


def test_each_stretch_has_the_labels_that_it_has_itself(store: FeatureStore, read: Read) -> None:
    with writer_lock(store.place):
        writer = StoreWriter(store)
        more = [Label(video_id="e.mp4", label="runs", source="u", start_s=0.35, end_s=0.7),
                Label(video_id="nothing.mp4", label="runs", source="u", start_s=0.0, end_s=0.01),
                Label(video_id="still.mp4", label="eats", source="u", start_s=0.0, end_s=0.1)]  # fmt: skip
        writer.set_labels(more, VIDEOS, "u")
        writer.flush()
    found = read(config=replace(CUT, window_s=0.2))  # e.mp4: six stretches of 0.2 s; a.mp4: two of 0.18 s
    shown: dict[str, list[set[str]]] = {}
    for video_id, row in zip(found.video_ids, found.targets.tolist(), strict=True):
        shown.setdefault(video_id, []).append({found.classes[n] for n, own in enumerate(row) if own})
    assert shown == {
        "a.mp4": [{"eats", "runs"}] * 2,  # of the whole
        "b.mp4": [{"rests"}],
        "c/d.mp4": [{"eats"}],
        "e.mp4": [{"digs"}, {"digs"}, {"digs", "runs"}, {"digs", "runs"}, {"digs"}, {"digs"}],
        "nothing.mp4": [{"runs"}],
        "still.mp4": [{"eats", "rests"}, {"rests"}],
    }
    alone = read(config=replace(CUT, window_s=0.2), classes=["runs", "eats"], split="val")
    assert alone.targets.tolist() == [[0, 0], [0, 0], [1, 0], [1, 0], [0, 0], [0, 0]]  # examples of nothing stay
    assert not alone.one_each and alone.counts() == [2, 0] and alone.report.unlabelled == 0


def test_a_window_longer_than_every_video_gives_what_none_gives(read: Read) -> None:
    plain, found = read(unlabelled="kept"), read(config=SequenceConfig(window_s=1.2), unlabelled="kept")
    assert (found.video_ids, found.report) == (plain.video_ids, plain.report)
    assert torch.equal(found.targets, plain.targets) and not found.report.cut
    one, other = (each.batch(np.arange(6)) for each in (plain, found))
    for role in ("image", "motion"):
        assert torch.equal(one.vectors[role], other.vectors[role]) and torch.equal(
            one.present[role], other.present[role]
        )


def test_one_more_video_makes_one_more_file_a_feature(store: FeatureStore, tmp_path: Path) -> None:
    storage = SequenceStorage("files", tmp_path / "cache")

    def files() -> dict[str, int]:
        read_sequences(store, CONFIG, "cross", videos_of_split(store), ["eats"], "kept", storage)
        return {path.name: path.stat().st_ino for path in storage.folder.iterdir()}  # type: ignore[union-attr]

    before = files()
    with writer_lock(store.place):
        writer = StoreWriter(store)
        writer.add(take := writer.new_take(), embedded("new.mp4", 0, 5))
        writer.put(ok_row("new.mp4", take, 5, store.fingerprint))
        writer.flush()
    store = store.refresh()
    after = files()
    assert before.items() < after.items() and len(after) == len(before) + 2
    store.tables["frames"].compact_and_clean(timedelta(0))
    store = store.refresh()
    assert len(files()) == 2 and not files().keys() & after.keys()  # one fragment, and none of the old files
    one, other = (
        read_sequences(store, CONFIG, "cross", videos_of_split(store), ["eats"], "kept", each).batch(np.arange(7))
        for each in (storage, SequenceStorage("memory"))
    )
    assert np.array_equal(one.vectors["motion"], other.vectors["motion"])


def test_damaged_files_are_made_again(store: FeatureStore, tmp_path: Path) -> None:
    storage, videos = SequenceStorage("files", tmp_path / "cache"), videos_of_split(store)
    first = read_sequences(store, CONFIG, "cross", videos, ["eats"], "kept", storage).batch(np.arange(6))
    for path in (tmp_path / "cache").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    again = read_sequences(store, CONFIG, "cross", videos, ["eats"], "kept", storage).batch(np.arange(6))
    assert np.array_equal(first.vectors["image"], again.vectors["image"])


def test_a_snapshot_can_be_read_later(store: FeatureStore) -> None:
    versions, store_then = store.versions, read_sequences(store, CONFIG, "cross", videos_of_split(store), ["eats"])
    store.tag("run-1")
    with writer_lock(store.place):
        writer = StoreWriter(store)
        writer.put(ok_row("a.mp4", 10**9, 9, store.fingerprint, status="removed"))
        writer.flush()
        now = store.refresh()
        for table in now.tables.values():
            table.compact_and_clean(timedelta(0))
    now = now.refresh()
    assert "a.mp4" not in read_sequences(now, CONFIG, "cross", videos_of_split(now), ["eats"]).video_ids
    then = FeatureStore.open(store.place, versions)
    assert then.versions == versions
    assert read_sequences(then, CONFIG, "cross", videos_of_split(then), ["eats"]).video_ids == store_then.video_ids
