"""Rows of vectors from the store and from files: the same for the same video, and for what bites on real disks."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.runs import ingest
from tests.vimoclip import awkward
from tests.vimoclip.made_up_runs import ONE, labelled, run_on
from tests.vimoclip.stores import embedded
from vimoclip.api import Store
from vimoclip.embedding.events import VideoFailed
from vimoclip.frames import FrameRows
from vimoclip.prediction.inputs import (
    PredictionEvent,
    StreamDone,
    StreamReset,
    VideoInput,
    resolve_videos,
    stream_files,
    stream_stored,
)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Store:
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(clips, folder / "clips")
    ingest(folder / "clips", store=folder / "store", model=tiny_model, label_folders=True, run=ONE)
    return Store.open(folder / "store")


def rows(events: list[tuple[VideoInput, PredictionEvent]]) -> dict[str, FrameRows]:
    """All rows of each video."""
    parts: dict[str, list[FrameRows]] = {}
    for target, event in events:
        assert not isinstance(event, VideoFailed)
        if isinstance(event, StreamReset):
            parts[target.path] = []
        if isinstance(event, FrameRows):
            parts.setdefault(target.path, []).append(event)
    return {path: FrameRows.joined(own) for path, own in parts.items()}


def test_a_file_gives_the_rows_that_were_stored_of_it(real: Store) -> None:
    features = [real.features["clip"], real.features["moclip"]]
    stored, _ = resolve_videos(real, ["*"])
    files = [VideoInput(target.path, target.path, None) for target in stored]
    from_store, from_files = list(stream_stored(real, features, stored)), list(stream_files(real, features, files, ONE))
    assert [event for _, event in from_store if isinstance(event, StreamDone)] == [
        event for _, event in from_files if isinstance(event, StreamDone)
    ]
    found, same = rows(from_store), rows(from_files)
    assert found.keys() == same.keys() and len(found) == 10
    for path, own in found.items():
        one, other = own.vectors, same[path].vectors
        assert len(own) == 10 and np.array_equal(own.time_s, same[path].time_s)
        assert (one.norms["clip"] > 0).all() and (one.norms["moclip"] > 0).tolist() == [False] + [True] * 9
        for name, first in (("clip", 0), ("moclip", 1)):
            assert one.values[name].dtype == np.float16 and np.array_equal(one.norms[name], other.norms[name])
            assert np.array_equal(one.values[name][first:], other.values[name][first:])


def test_stored_rows_are_those_that_were_written(tmp_path: Path) -> None:
    store = labelled(tmp_path)
    targets, _ = resolve_videos(store, ["long.mp4", "3.mp4"])
    found = rows(list(stream_stored(store, [store.features["moclip"]], targets)))
    expected = embedded("long.mp4", 0, 130)
    own = found["/videos/long.mp4"]
    assert np.array_equal(own.time_s, expected.time_s)
    values, norms = own.vectors.values["moclip"], own.vectors.norms["moclip"]
    assert np.array_equal(values[1:], expected.features["moclip"].values[1:])
    assert norms[0] == 0 and np.array_equal(norms[1:], expected.features["moclip"].norm[1:])


def test_whatever_lies_on_a_disk_is_predicted_or_named(real: Store, tmp_path: Path) -> None:
    run = run_on(real, tmp_path / "run")
    (tmp_path / "odd").mkdir()
    expected = awkward.write_all(tmp_path / "odd")
    names = [tmp_path / "odd" / name for name in expected]  # named, since some suffixes are no video's
    found = real.predict(names, run, window_s=0.4, settings=ONE)
    kinds = {Path(each.video_id).name: each.kind for each in found.failed}
    assert kinds.keys() == {name for name, what in expected.items() if what.kind is not None}
    for name, kind in kinds.items():
        assert kind == expected[name].kind or kind.startswith("corrupt-after-")
    for each in found:
        assert each.frames == expected[Path(each.video).name].frames
        assert (np.diff(each.starts_s) > 0).all() and each.ends_s[-1] <= each.duration_s
        assert np.isfinite(each.window_probabilities).all()
    (restarted,) = (each for each in found if each.video.endswith("falling-late.mkv"))
    assert len(restarted.starts_s) == len(set(restarted.starts_s.tolist()))
