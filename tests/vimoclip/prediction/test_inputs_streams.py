"""Rows of vectors from the store and from files: the same for the same video, and for what bites on real disks."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.runs import ingest
from tests.vimoclip import awkward
from tests.vimoclip.made_up_runs import ONE, labelled, run_on
from tests.vimoclip.stores import embedded
from vimoclip.api import Store
from vimoclip.frames import FrameBatch, FrameEvent, VideoDone, VideoFailed, VideoJob, VideoReset
from vimoclip.prediction.inputs import stream_files, stream_stored

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Store:
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(clips, folder / "clips")
    ingest(folder / "clips", store=folder / "store", model=tiny_model, label_folders=True, run=ONE)
    return Store.open(folder / "store")


def rows(events: Iterable[FrameEvent]) -> dict[str, FrameBatch]:
    """All frames of each video, by its id."""
    parts: dict[str, list[FrameBatch]] = {}
    for event in events:
        assert not isinstance(event, VideoFailed)
        if isinstance(event, VideoReset):
            parts[event.video_id] = []
        if isinstance(event, FrameBatch):
            parts.setdefault(event.video_id, []).append(event)
    return {video_id: FrameBatch.concat(own) for video_id, own in parts.items()}


def test_a_file_gives_the_rows_that_were_stored_of_it(real: Store) -> None:
    features = [real.features["clip"], real.features["moclip"]]
    stored = real.live_videos()
    jobs = [VideoJob(row.video_id, row.path) for row in stored]
    from_store, from_files = list(stream_stored(real, features, stored)), list(stream_files(real, features, jobs, ONE))
    ends = [
        [(event.video_id, event.info.duration_s, event.info.fps) for event in events if isinstance(event, VideoDone)]
        for events in (from_store, from_files)
    ]
    assert ends[0] == ends[1] and len(ends[0]) == 10
    found, same = rows(from_store), rows(from_files)
    assert found.keys() == same.keys() and len(found) == 10
    for video_id, own in found.items():
        one, other = own.features, same[video_id].features
        assert len(own) == 10 and np.array_equal(own.time_s, same[video_id].time_s)
        assert (one["clip"].norm > 0).all() and (one["moclip"].norm > 0).tolist() == [False] + [True] * 9
        for name, first in (("clip", 0), ("moclip", 1)):
            assert one[name].values.dtype == np.float16 and np.array_equal(one[name].norm, other[name].norm)
            assert np.array_equal(one[name].values[first:], other[name].values[first:])


def test_stored_rows_are_those_that_were_written(tmp_path: Path) -> None:
    store = labelled(tmp_path)
    live = {row.video_id: row for row in store.live_videos()}
    found = rows(stream_stored(store, [store.features["moclip"]], [live["long.mp4"], live["3.mp4"]]))
    expected = embedded("long.mp4", 0, 130)
    own = found["long.mp4"]
    assert np.array_equal(own.time_s, expected.time_s)
    values, norms = own.features["moclip"].values, own.features["moclip"].norm
    assert np.array_equal(values[1:], expected.features["moclip"].values[1:])
    assert norms[0] == 0 and np.array_equal(norms[1:], expected.features["moclip"].norm[1:])


def test_whatever_lies_on_a_disk_is_predicted_or_named(real: Store, tmp_path: Path) -> None:
    run = run_on(real, tmp_path / "run")
    (tmp_path / "odd").mkdir()
    expected = awkward.write_all(tmp_path / "odd")
    names = [tmp_path / "odd" / name for name in expected]  # named, since some suffixes are no video's
    found = real.predict(names, run, window_s=0.4, settings=ONE)
    kinds = {Path(each.video_id).name: each.kind for each in found.failed}
    assert kinds.pop("uneven.mkv") == "window-too-short"  # its frames are more than a second apart
    assert kinds.keys() == {name for name, what in expected.items() if what.kind is not None}
    for name, kind in kinds.items():
        assert kind == expected[name].kind or kind.startswith("corrupt-after-")
    for each in found:
        assert each.frames == expected[Path(each.video).name].frames
        assert (np.diff(each.starts_s) > 0).all() and each.ends_s[-1] <= each.duration_s
        assert np.isfinite(each.window_probabilities).all()
    (restarted,) = (each for each in found if each.video.endswith("far-ahead.mkv"))
    assert len(restarted.starts_s) == len(set(restarted.starts_s.tolist()))
