"""Mapped rows are the same vectors however a video's frames are spread over fragments."""

import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.sequences.cache import MappedFile, MappedRows, default_folder, norms_of
from vimoclip.sequences.sequences import FrameSampling
from vimoclip.store.location import as_location


@settings(deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=4), st.none() | st.integers(1, 9), st.data())
def test_frames_may_lie_anywhere(frames: list[int], most: int | None, data: st.DataObject) -> None:
    cuts = [sorted(data.draw(st.sets(st.integers(1, 11), max_size=3))) for _ in frames]
    bounds = [[0, *(cut for cut in own if cut < count), count] for own, count in zip(cuts, frames, strict=True)]
    parts = [(10 * video, a, b - a) for video, own in enumerate(bounds) for a, b in itertools.pairwise(own)]
    takes, firsts, lengths = (np.array([part[i] for part in parts]) for i in range(3))
    steps = FrameSampling.of(takes, lengths, most, firsts)
    every = [(10 * video, index) for video, count in enumerate(frames) for index in range(count)] + [(7, 0), (7, 1)]
    number = data.draw(st.lists(st.integers(0, 2), min_size=len(every), max_size=len(every)))
    files = []
    for fragment in range(3):
        rows = data.draw(st.permutations([row for row, own in zip(every, number, strict=True) if own == fragment]))
        take, index = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
        code = (100 * take + index).astype(np.float32)
        files.append(
            [
                MappedFile(take, index, np.stack([code, code + 0.5], axis=1).astype(np.float16), code + 1),
                MappedFile(take, index, -code[:, None].astype(np.float16), code + 2),
            ]
        )
    videos = np.array(data.draw(st.permutations(range(len(parts)))))
    longest = int(steps.counts.max())
    found = np.concatenate([part.numpy() for part in MappedRows(files, steps).read(videos, longest)], axis=2)
    norms = norms_of(files, steps).numpy()
    for i, video in enumerate(videos):
        code = 100.0 * takes[video] + steps.indices(video)
        expected = np.stack([code, code + 0.5, -code], axis=1).astype(np.float16)
        assert np.array_equal(found[i, : len(code)], expected)
        assert not found[i, len(code) :].any()
        own = norms[steps.offsets[video] : steps.offsets[video + 1]]
        assert np.array_equal(own, np.stack([code + 1, code + 2], axis=1))


def test_each_store_has_a_folder_in_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    one, other = default_folder(as_location("/a/store")), default_folder(as_location("/another/store"))
    assert one != other and one.parent == other.parent == tmp_path / "vimoclip" / "sequences"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_folder(as_location("/a/store")).is_relative_to(Path(os.path.expanduser("~")) / ".cache")
