"""What readers see of a store: whole videos that are in, as they were when it was opened, under ids of any spelling."""

import json
import unicodedata
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import maintain
from schemas import FORMAT_KEY, FORMAT_VERSION, SETTINGS_KEY
from schemas.features import FEATURES
from schemas.labels import Label
from schemas.videos import VIDEOS
from tests.vimoclip.stores import DIMS, FPS, embedded, features, make_store, ok_row
from vimoclip.config.store import ClipConfig, Sampling, StoreConfig
from vimoclip.errors import (
    ConfigError,
    SettingsError,
    StoreDamagedError,
    StoreError,
    StoreMissingError,
    StoreNewerError,
    UnknownColumnError,
    UnknownVideoError,
)
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.snapshot import check_free
from vimoclip.store.table import Table
from vimoclip.store.writer import StoreWriter

pytestmark = pytest.mark.slow

HOSTILE = [
    "x' OR '1'='1",
    'say "cheese".avi',
    unicodedata.normalize("NFC", "Taï.mp4"),
    unicodedata.normalize("NFD", "Taï.mp4"),
    "two  words /and more .mp4 ",
    "-rf.mp4",
    "new\nline\ttab\r.mp4",
    "100%_.mp4",
    "a\\b`c$d;e--.mp4",
    "猿/🦍.mp4",
    "NULL",
    "null\x00byte",
    "A.mp4",
    "a.mp4",
    "v" * 4000,
]


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    return make_store(tmp_path / "store")


def put(writer: StoreWriter, video_id: str, frames: int, fingerprint: str = "", **changes: Any) -> int:
    """Add and commit a video; its take."""
    writer.add(take := writer.new_take(), embedded(video_id, 0, frames))
    writer.put(ok_row(video_id, take, frames, fingerprint, **changes))
    writer.flush()
    return take


def vectors(rows: pa.Table, name: str = "clip") -> np.ndarray:
    return np.array(rows[name].to_pylist(), np.float16)


def with_metadata(store: FeatureStore, metadata: dict[bytes, bytes] | None) -> None:
    """Give the videos table other schema metadata."""
    Table.create(store.place, "videos", VIDEOS.with_metadata(metadata), store.tables["videos"].read())


def test_a_store_is_what_was_put_into_it(store: FeatureStore) -> None:
    assert FeatureStore.exists(store.place)
    assert store.config == StoreConfig(clip=ClipConfig(weights="none", precision="fp32", batch_size=8))
    assert store.features == {feature.name: feature for feature in features()}
    assert store.videos()["video_id"].to_list() == ["a.mp4", "b/c.mp4", "one.mp4"]
    assert store.videos()["frames"].to_list() == [5, 3, 1]
    assert store.frames().num_rows == 9
    assert store.labels().is_empty()
    assert {row.video_id for row in store.rows()} == {"a.mp4", "b/c.mp4", "one.mp4"}
    assert FeatureStore.open(str(store.place)).frames().equals(store.frames())


def test_an_empty_store(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {})
    assert store.videos().height == store.labels().height == store.frames().num_rows == 0
    assert "video_id" in store.videos().columns and "clip" in store.frames().column_names
    assert (store.rows(), store.label_rows(), store.live_takes()) == ([], [], [])


def test_there_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match=r"no store at .*nowhere.*vimoclip ingest"):
        FeatureStore.open(tmp_path / "nowhere")
    assert not FeatureStore.exists(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def lose_videos(path: Path) -> None:
    for file in (path / "videos.lance" / "_versions").iterdir():
        file.unlink()


def test_a_store_whose_creation_was_cut_short_is_not_there_and_can_be_made(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_store(path, {})
    lose_videos(path)
    with pytest.raises(StoreMissingError):
        FeatureStore.open(path)
    store = make_store(path, {"new.mp4": 2}, {"clip": 4})
    assert store.videos()["video_id"].to_list() == ["new.mp4"]
    assert store.sequence("new.mp4")["clip"].type.list_size == 4


def test_a_store_that_lost_its_videos_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "store"
    make_store(path)
    rows = Table.open(path, "frames").count()
    lose_videos(path)
    with pytest.raises(StoreDamagedError, match=r"lost its table videos.*frames"):
        make_store(path)
    assert Table.open(path, "frames").count() == rows > 0


def test_a_store_is_never_made_over_another(store: FeatureStore) -> None:
    with pytest.raises(StoreError, match=r"There is a store at .* already"):
        FeatureStore.create(store.place, store.config, features())
    assert store.refresh().frames().num_rows == 9


def test_a_newer_store_is_refused(store: FeatureStore) -> None:
    metadata = store.tables["videos"].schema.metadata
    with_metadata(store, metadata | {FORMAT_KEY: str(FORMAT_VERSION + 1).encode()})
    with pytest.raises(StoreNewerError, match=f"format {FORMAT_VERSION + 1}.*format {FORMAT_VERSION} or older.*pip"):
        FeatureStore.open(store.place)


@pytest.mark.parametrize("found", [{}, {FORMAT_KEY: b"one", SETTINGS_KEY: b"{}"}, {FORMAT_KEY: b"1"}])
def test_a_table_that_does_not_say_its_format_is_no_store(store: FeatureStore, found: dict[bytes, bytes]) -> None:
    with_metadata(store, found)
    with pytest.raises(StoreDamagedError, match="which format"):
        FeatureStore.open(store.place)


@pytest.mark.parametrize("name", ["frames", "flow", "labels", "features"])
def test_a_store_that_lost_a_table_is_damaged_rather_than_missing(store: FeatureStore, name: str) -> None:
    (Path(str(store.place)) / f"{name}.lance").rename(Path(str(store.place)) / "elsewhere")
    with pytest.raises(StoreDamagedError, match=f"lost its table {name}.*vimoclip verify"):
        FeatureStore.open(store.place)


def test_a_feature_changed_by_hand_is_noticed(store: FeatureStore) -> None:
    table = store.tables["features"]
    rows = table.read().to_pylist()
    rows[0]["weights_sha256"] = "0" * 64
    table.replace(pa.Table.from_pylist(rows, schema=FEATURES))
    with pytest.raises(StoreDamagedError, match=f"feature {rows[0]['name']} does not match its own fingerprint"):
        store.refresh()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    for name in ("thesis.tex", "a", "b", "c"):
        (tmp_path / name).write_text("")
    with pytest.raises(StoreError, match=r"not a store, and is not empty. Received: a, b, c…"):
        FeatureStore.create(tmp_path, StoreConfig(), features())
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a", "b", "c", "thesis.tex"]
    with pytest.raises(StoreError, match=r"A store is a folder.*thesis\.tex"):
        check_free(tmp_path / "thesis.tex")


def test_strangers_beside_a_store_do_no_harm(store: FeatureStore) -> None:
    (Path(str(store.place)) / "notes.txt").write_text("mine")
    check_free(store.place)
    assert store.refresh().frames().num_rows == 9


def test_settings_that_agree_pass(store: FeatureStore) -> None:
    store.check_settings({})
    store.check_settings({"clip": {"weights": "none", "precision": "fp32", "batch_size": 8}, "keep_flow": True})
    store.check_settings({"clip": {"weights": "default", "precision": "auto", "batch_size": 0}})  # ask for nothing


def test_settings_that_contradict_are_all_named_with_both_values(store: FeatureStore) -> None:
    asked = {"clip": {"precision": "bf16", "weights": "openai"}, "sampling": {"fps": 5.0}, "keep_flow": False}
    with pytest.raises(SettingsError) as caught:
        store.check_settings(asked)
    for said in (
        "precision is 'fp32' in the store and 'bf16' was asked for",
        "weights is 'none' in the store and 'openai' was asked for",
        "fps is None in the store and 5.0 was asked for",
        "keep_flow is True in the store and False was asked for",
        "--store",
    ):
        assert said in str(caught.value)


@pytest.mark.parametrize("asked", [{"clips": {}}, {"clip": {"colour": 1}}, {"sampling": {"fps": -1}}, {"flow": 5}])
def test_settings_that_cannot_be_are_a_config_error(store: FeatureStore, asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        store.check_settings(asked)


def test_the_settings_come_back(tmp_path: Path) -> None:
    config = StoreConfig(sampling=Sampling(fps=0.1), clip=ClipConfig(model="Taï'\"\n"), keep_flow=False)
    assert FeatureStore.create(tmp_path / "s", config, features()).refresh().config == config


def test_readers_see_only_what_is_live(store: FeatureStore) -> None:
    """Replaced, removed, failed and duplicate videos, and takes that no row names."""
    writer = StoreWriter(store)
    first = writer.videos["a.mp4"].take
    take = put(writer, "a.mp4", 7)
    writer.put(replace(writer.videos["b/c.mp4"], status="removed"))
    bare = replace(ok_row("", 0, 0, ""), take=None, frames=None)
    writer.put(replace(bare, video_id="failed.mp4", status="failed", error_kind="unreadable"))
    writer.put(replace(bare, video_id="copy.mp4", status="duplicate", duplicate_of="a.mp4"))
    writer.add(writer.new_take(), embedded("left.mp4", 0, 3))
    writer.flush()
    ids = ["a.mp4", "b/c.mp4", "failed.mp4", "copy.mp4", "one.mp4", "unheard-of.mp4"]
    writer.set_labels([Label(video_id=name, label="x", source="s") for name in ids], ids, "s")

    seen = store.refresh()
    assert seen.videos()["video_id"].to_list() == ["a.mp4", "one.mp4"]
    assert seen.labels()["video_id"].to_list() == ["a.mp4", "one.mp4"]
    assert set(seen.live_takes()) == {take, writer.videos["one.mp4"].take}
    frames = seen.frames(["video_id", "take"])
    assert frames.column_names == ["video_id", "take"]
    assert sorted(frames["video_id"].to_pylist()) == ["a.mp4"] * 7 + ["one.mp4"]
    assert first not in frames["take"].to_pylist()
    assert seen.sequence("a.mp4").num_rows == 7 and seen.flow("a.mp4").num_rows == 6
    for name in ("b/c.mp4", "failed.mp4", "copy.mp4", "left.mp4", "unheard-of.mp4"):
        for look in (seen.sequence, seen.flow):
            with pytest.raises(UnknownVideoError) as caught:
                look(name)
            assert caught.value.received == name
    assert len(seen.rows()) == 5 and len(seen.label_rows()) == 6
    # And the disk holds more than readers see.
    assert seen.tables["frames"].count() == 5 + 3 + 1 + 7 + 3


def test_a_sequence_is_in_order_however_it_was_written(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {})
    writer = StoreWriter(store)
    takes = {name: writer.new_take() for name in ("a.mp4", "b.mp4")}
    for at in range(0, 12, 3):  # chunks of two videos by turns, each a commit
        for name, take in takes.items():
            writer.add(take, embedded(name, at, 3))
            writer.flush()
    for name, take in takes.items():
        writer.put(ok_row(name, take, 12, store.fingerprint))
    writer.flush()
    writer.optimize(timedelta(0))
    seen = store.refresh()
    for name in takes:
        whole = embedded(name, 0, 12)
        rows = seen.sequence(name)
        assert rows["frame_index"].to_pylist() == rows["source_frame"].to_pylist() == list(range(12))
        assert rows["time_s"].to_pylist() == [n / FPS for n in range(12)]
        assert set(rows["video_id"].to_pylist()) == {name}
        assert np.array_equal(vectors(rows), whole.features["clip"].values)
        assert np.array_equal(vectors(rows.slice(1), "moclip"), whole.features["moclip"].values[1:])
        assert rows["moclip"][0].as_py() is rows["moclip_norm"][0].as_py() is rows["flow_speed"][0].as_py() is None
        assert np.array_equal(rows["clip_norm"].to_numpy(), whole.features["clip"].norm)
        flow = seen.flow(name)
        assert flow.column_names == ["frame_index", "flow"]
        assert flow["frame_index"].to_pylist() == list(range(1, 12))
        assert flow["flow"].to_pylist() == whole.flow[1:]


def test_a_sequence_is_in_order_though_its_rows_lie_in_another(store: FeatureStore) -> None:
    for name in ("frames", "flow"):
        table = store.tables[name].latest()
        rows = table.read()
        table.replace(rows.take(list(reversed(range(rows.num_rows)))))
    seen = store.refresh()
    assert seen.frames(["frame_index"]) != store.frames(["frame_index"])
    assert seen.sequence("a.mp4").equals(store.sequence("a.mp4"))
    assert seen.sequence("a.mp4", ["clip"]).equals(store.sequence("a.mp4", ["clip"]))
    assert seen.flow("a.mp4").equals(store.flow("a.mp4"))


def test_a_sequence_has_the_columns_asked_for_in_their_order(store: FeatureStore) -> None:
    whole = store.sequence("a.mp4")
    assert set(whole.column_names) == {*store.frames().column_names} and set(DIMS) < set(whole.column_names)
    for columns in (["clip"], ["time_s", "frame_index"], ["take", "clip", "video_id"]):
        assert store.sequence("a.mp4", columns).equals(whole.select(columns))


def test_metadata_become_columns(store: FeatureStore) -> None:
    writer = StoreWriter(store)
    writer.put(replace(writer.videos["a.mp4"], metadata=json.dumps({"site": "Taï", "night": "yes"}), split="train"))
    writer.put(replace(writer.videos["one.mp4"], metadata=json.dumps({"site": "", "status": "mine"})))
    writer.flush()
    videos = store.refresh().videos()
    assert "metadata" not in videos.columns
    assert videos.select("video_id", "site", "night", "split").rows() == [
        ("a.mp4", "Taï", "yes", "train"),
        ("b/c.mp4", None, None, None),
        ("one.mp4", "", None, None),
    ]
    assert videos["status"].to_list() == ["ok"] * 3  # a column of our own is not overruled


def test_labels_of_the_whole_video_have_no_span_and_come_first(store: FeatureStore) -> None:
    labels = [
        Label(video_id="a.mp4", label="late", source="s", start_s=2.0, end_s=3.0),
        Label(video_id="a.mp4", label="b", source="s", start_s=0.0, end_s=0.0),
        Label(video_id="a.mp4", label="a", source="s", start_s=0.0, end_s=1.0),
        Label(video_id="a.mp4", label="whole", source="s"),
    ]
    StoreWriter(store).set_labels(labels, ["a.mp4"], "s")
    seen = store.refresh()
    assert seen.labels().select("label", "start_s", "end_s").rows() == [
        ("whole", None, None),
        ("a", 0.0, 1.0),
        ("b", 0.0, 0.0),
        ("late", 2.0, 3.0),
    ]
    assert set(seen.label_rows()) == set(labels)


def test_a_snapshot_does_not_change_under_its_reader(store: FeatureStore) -> None:
    def everything(seen: FeatureStore) -> list[Any]:
        one = [seen.sequence(name).to_pylist() for name in ("a.mp4", "b/c.mp4")]
        return [
            seen.videos().rows(),
            seen.labels().rows(),
            seen.frames().to_pylist(),
            seen.flow("a.mp4").to_pylist(),
            one,
        ]

    before = everything(store)
    writer = StoreWriter(store)
    put(writer, "a.mp4", 9)
    put(writer, "new.mp4", 2)
    writer.put(replace(writer.videos["b/c.mp4"], status="removed"))
    writer.set_labels([Label(video_id="a.mp4", label="x", source="s")], ["a.mp4"], "s")
    writer.optimize()
    assert everything(store) == before
    assert store.refresh().videos()["video_id"].to_list() == ["a.mp4", "new.mp4", "one.mp4"]


def check_id(store: FeatureStore, video_id: str) -> None:
    """One id through put, sequence, flow, labels, remove and back; the others are not touched."""
    others = store.frames(["video_id", "take"])
    writer = StoreWriter(store)
    put(writer, video_id, 2, store.fingerprint)
    label = Label(video_id=video_id, label=video_id, source=video_id)
    writer.set_labels([label], [video_id], video_id)
    seen = store.refresh()
    assert seen.videos().filter(seen.videos()["video_id"] == video_id).height == 1
    rows = seen.sequence(video_id)
    assert rows["video_id"].to_pylist() == [video_id] * 2
    assert np.array_equal(vectors(rows), embedded(video_id, 0, 2).features["clip"].values)
    assert seen.flow(video_id).num_rows == 1
    assert label in seen.label_rows()
    assert (video_id, video_id) in seen.labels().select("video_id", "label").rows()

    assert maintain.remove(store.place, [video_id]).changed == [video_id]
    gone = store.refresh()
    assert gone.frames(["video_id", "take"]).sort_by("take").equals(others.sort_by("take"))
    assert video_id not in gone.videos()["video_id"].to_list()
    with pytest.raises(UnknownVideoError):
        gone.sequence(video_id)
    assert maintain.remove(store.place, [video_id], undo=True).changed == [video_id]
    assert store.refresh().sequence(video_id).equals(rows)

    maintain.remove(store.place, [video_id])
    writer = StoreWriter(store)
    writer.forget([video_id])
    writer.drop_orphan_rows()
    assert store.tables["frames"].latest().count(pc.field("video_id") == video_id) == 0
    assert video_id not in {row.video_id for row in store.refresh().rows()}
    assert store.refresh().frames(["video_id", "take"]).sort_by("take").equals(others.sort_by("take"))
    assert store.refresh().label_rows() == []


def test_hostile_ids_beside_each_other(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", dict.fromkeys(HOSTILE, 2))
    assert sorted(store.videos()["video_id"].to_list()) == sorted(HOSTILE)
    for video_id in HOSTILE:
        assert np.array_equal(vectors(store.sequence(video_id)), embedded(video_id, 0, 2).features["clip"].values)
    gone = HOSTILE[::2]
    maintain.remove(store.place, gone)
    assert sorted(store.refresh().videos()["video_id"].to_list()) == sorted(set(HOSTILE) - set(gone))


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """A store for the examples of one test to share; each leaves it as it was."""
    return make_store(tmp_path_factory.mktemp("shared") / "store", {"a": 2, "'": 1})


@pytest.mark.parametrize("video_id", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_ids(shared: FeatureStore, video_id: str) -> None:
    check_id(shared, video_id)


@settings(max_examples=12, deadline=None)
@given(video_id=st.text(max_size=60).filter(lambda name: name not in ("a", "'")))
def test_any_text_is_an_id(shared: FeatureStore, video_id: str) -> None:
    check_id(shared, video_id)


@pytest.mark.parametrize("rows", [1, 3, 8192])
def test_batches_are_the_frames_a_few_at_a_time_and_nothing_that_readers_do_not_see(tmp_path: Path, rows: int) -> None:
    store = make_store(tmp_path / "store", {"a.mp4": 7, "b.mp4": 4, "c.mp4": 2})
    writer = StoreWriter(store)
    writer.add(writer.new_take(), embedded("left.mp4", 0, 3))
    writer.put(replace(writer.videos["b.mp4"], status="removed"))
    writer.flush()
    store = store.refresh()
    batches = list(store.batches(rows=rows))
    assert max(batch.num_rows for batch in batches) == min(rows, 9)
    order = [("video_id", "ascending"), ("frame_index", "ascending")]
    assert pa.Table.from_batches(batches).sort_by(order).equals(store.frames().sort_by(order))
    assert next(batch.schema.names for batch in store.batches(["time_s", "clip"], rows)) == ["time_s", "clip"]
    assert store.frames(["clip", "time_s", "clip"]).column_names == ["clip", "time_s"]
    with pytest.raises(UnknownColumnError, match="nothing"):
        store.batches(["nothing"])
    assert list(make_store(tmp_path / "empty", {}).batches()) == []
