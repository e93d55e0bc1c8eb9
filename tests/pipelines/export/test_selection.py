"""Which videos and features a query finds, and what is said of one that finds none."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.export.selection import Query, select
from schemas.labels import Label
from tests.pipelines.export.scene import HOSTILE, SPLITS
from tests.vimoclip.stores import make_store
from vimoclip.errors import ExportError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.writer import StoreWriter

RESTING, CALLING = set(HOSTILE[::2]), set(HOSTILE[::3])
IN = {split: set(HOSTILE[n :: len(SPLITS)]) for n, split in enumerate(SPLITS)}
CALL = 'say "hé"\n'


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (Query(), set(HOSTILE)),
        (Query(splits=("val",)), IN["val"]),
        (Query(splits=("val", "test set: 1/2", "val")), IN["val"] | IN["test set: 1/2"]),
        (Query(labels=("resting",)), RESTING),
        (Query(labels=(CALL,)), CALLING),
        (Query(labels=(CALL, "resting")), RESTING | CALLING),
        (Query(splits=("train", "val"), labels=(CALL,)), (IN["train"] | IN["val"]) & CALLING),
    ],
)
def test_alike_conditions_are_or_and_others_and(store: FeatureStore, query: Query, ids: set[str]) -> None:
    found = select(store, query)
    assert len(ids) > 0
    assert found.videos["video_id"].to_list() == sorted(ids)
    labels = store.labels()
    assert found.labels.rows() == [row for row in labels.rows() if row[0] in ids]  # also those not asked for
    assert found.frames == sum(store.sequence(video_id).num_rows for video_id in ids)


def test_features_are_those_that_the_store_shows(store: FeatureStore) -> None:
    assert "hidden" in store.tables["frames"].schema.names
    assert [feature.name for feature in select(store, Query()).features] == ["clip", "moclip", "bio"]
    found = select(store, Query(features=("bio", "clip")))
    assert found.columns == [
        *("video_id", "frame_index", "source_frame", "time_s"),
        *("clip", "clip_norm", "bio", "bio_norm", "flow_speed"),
    ]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(splits=("vall",)), "no such split.*Received: vall. Expected: val"),
        (Query(splits=("val", "Test set")), "no such split.*Received: Test set. Expected: test set: 1/2"),
        (Query(labels=("restin",)), "no such label.*Expected: resting"),
        (Query(features=("moclip", "chip")), "no such feature.*Received: chip. Expected: clip"),
        (Query(features=("hidden",)), "no such feature.*Received: hidden"),
        (Query(features=("zzz",)), "Expected: bio or clip or moclip"),
        (Query(splits=("",)), "no such split"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(store: FeatureStore, query: Query, said: str) -> None:
    with pytest.raises(ExportError, match=said):
        select(store, query)


def test_names_in_another_spelling_select_the_same(store: FeatureStore) -> None:
    one, other = (select(store, Query(splits, labels)) for splits, labels in ((("val",), ()), (("VAL",), ())))
    assert one.videos.equals(other.videos)
    one, other = (select(store, Query(labels=(name,))) for name in ("resting", "Resting"))
    assert one.videos.equals(other.videos) and len(one.videos) > 0


def test_nothing_found(store: FeatureStore, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="holds no video"):
        select(make_store(tmp_path / "empty", {}), Query())
    plain = make_store(tmp_path / "plain")
    with pytest.raises(ExportError, match=r"no such label.*a label, of which the store has none"):
        select(plain, Query(labels=("x",)))
    writer = StoreWriter(plain)
    writer.put(replace(writer.videos["a.mp4"], split="train"))
    writer.flush()
    writer.set_labels([Label(video_id="one.mp4", label="x", source="s")], ["one.mp4"], "s")
    with pytest.raises(ExportError, match=r"No video matches.*Received: split train, label x\."):
        select(plain.refresh(), Query(splits=("train",), labels=("x",)))


def test_videos_that_are_out_are_not_found(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store")
    writer = StoreWriter(store)
    writer.put(
        replace(writer.videos["a.mp4"], status="removed"),
        replace(writer.videos["one.mp4"], status="failed", take=None, frames=None, split="lost"),
    )
    writer.flush()
    assert select(store.refresh(), Query()).videos["video_id"].to_list() == ["b/c.mp4"]
    with pytest.raises(ExportError, match="no such split"):
        select(store.refresh(), Query(splits=("lost",)))
