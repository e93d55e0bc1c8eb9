"""Which labels become classes, and what cannot be learned."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.labels import Label
from tests.vimoclip.stores import make_store
from vimoclip.errors import RunError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.splits import list_classes, trainable_classes, videos_of_split

Make = Callable[[dict[str, str]], FeatureStore]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """A store of videos with these labels, one a letter; videos in capitals are of the split val."""

    def made(videos: dict[str, str]) -> FeatureStore:
        store = make_store(tmp_path / "store", dict.fromkeys(videos, 2))
        with writer_lock(store.place):
            writer = StoreWriter(store)
            for row in store.rows():
                writer.put(replace(row, split="val" if row.video_id.isupper() else "train"))
            labels = [Label(video_id=video, label=label, source="t") for video in videos for label in videos[video]]
            labels += [replace(label, start_s=0.0, end_s=0.1) for label in labels]  # twice on a video is one video
            writer.set_labels(labels, list(videos), "t")
            writer.flush()
        return store.refresh()

    return made


def test_every_label_is_a_class_in_the_order_of_names(make: Make) -> None:
    store = make({"a": "yx", "b": "z", "c": "", "D": "x"})
    assert list_classes(store) == trainable_classes(store, videos_of_split(store, "train")) == ["x", "y", "z"]


def test_rare_classes_are_left_out_when_that_is_asked_for(make: Make) -> None:
    store = make({"a": "xyz", "b": "xy", "c": "x", "D": "zzw"})
    train = videos_of_split(store, "train")
    assert [trainable_classes(store, train, least) for least in (1, 2)] == [["x", "y", "z"], ["x", "y"]]
    with pytest.raises(RunError, match="too few classes") as caught:
        trainable_classes(store, train, 3)
    assert "x on 3 videos, y on 2 videos, z on 1 videos" in str(caught.value)


@pytest.mark.parametrize(
    ("videos", "message"),
    [
        ({"a": "", "b": ""}, "No video has a label"),
        ({"a": "x", "b": "x"}, "too few classes"),
        ({"a": "xy", "B": "zw"}, "no video to train on of w, z"),
    ],
    ids=["no labels", "one class", "classes that only val shows"],
)
def test_what_cannot_be_learned_is_refused(make: Make, videos: dict[str, str], message: str) -> None:
    store = make(videos)
    with pytest.raises(RunError, match=message):
        trainable_classes(store, videos_of_split(store, "train"))
