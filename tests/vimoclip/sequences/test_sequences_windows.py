"""Stretches of frames as sequences: what a batch of them holds, step by step."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.vimoclip.searches import make_run
from tests.vimoclip.stores import frames_of, make_store
from vimoclip.config.fusion import Fusion, Lengths, SequenceConfig
from vimoclip.frames import Embeddings, FrameBatch
from vimoclip.models.checkpoint import Meta, read_checkpoint
from vimoclip.sequences.sequences import pack_windows, sample_window


def meta_of(tmp_path: Path, fusion: Fusion = "cross", lengths: Lengths = "unit", most: int | None = None) -> Meta:
    store = make_store(tmp_path / "store", {"a.mp4": 2})
    config = replace(SequenceConfig(), lengths=lengths, most_frames=most)
    _, meta = read_checkpoint(make_run(store, tmp_path / "run", fusion, config))
    return meta


def stretch(n: int, seed: int) -> FrameBatch:
    rng = np.random.default_rng(seed)
    values = {name: rng.normal(size=(n, 8)).astype(np.float16) for name in ("clip", "moclip")}
    norms = {name: rng.uniform(1, 9, n).astype(np.float32) for name in values}
    norms["moclip"][0] = 0
    return frames_of(np.arange(n) / 25, {name: Embeddings(values[name], norms[name]) for name in values})


def counting(n: int) -> FrameBatch:
    """Values 0, 2, 4, … and norms 1, 2, 3, … of both features."""
    values = np.arange(2 * n, dtype=np.float16).reshape(n, 2)
    norm = np.arange(1, n + 1, dtype=np.float32)
    return frames_of(np.arange(n) / 25, {name: Embeddings(values, norm.copy()) for name in ("clip", "moclip")})


@pytest.mark.parametrize(("most", "expected"), [(None, list(range(1, 9))), (3, [1, 3, 6]), (8, list(range(1, 9)))])
def test_steps_are_those_of_a_video_of_these_frames(tmp_path: Path, most: int | None, expected: list[int]) -> None:
    read = sample_window(counting(9), meta_of(tmp_path, most=most))
    assert read.features["clip"].values[:, 0].tolist() == [2 * n for n in expected]
    assert read.features["moclip"].norm.tolist() == [n + 1 for n in expected]


def test_of_a_single_frame_the_image_is_read(tmp_path: Path) -> None:
    made = counting(9)
    one = made[4:5]
    read = sample_window(one, meta_of(tmp_path))
    assert (read.features["clip"].norm.tolist(), read.features["moclip"].norm.tolist()) == ([5], [0])
    assert read.features["clip"].values.tolist() == one.features["clip"].values.tolist()
    assert made.features["moclip"].norm[4] == 5  # what came in is as it was
    assert sample_window(one, meta_of(tmp_path / "image", fusion="image")).features["moclip"].norm.tolist() == [5]


@pytest.mark.parametrize("lengths", ["unit", "raw"])
def test_a_batch_holds_the_steps_of_each(tmp_path: Path, lengths: Lengths) -> None:
    meta = meta_of(tmp_path, lengths=lengths, most=4)
    frames = [stretch(n, n) for n in (9, 1, 3)]
    sequences = pack_windows([sample_window(each, meta) for each in frames], meta)
    assert sequences.steps.tolist() == [4, 1, 2]
    batch = sequences.batch(np.arange(3))
    read = [[1, 3, 5, 7], [0], [1, 2]]
    assert batch.present["image"].tolist() == [[True] * 4, [True] + [False] * 3, [True] * 2 + [False] * 2]
    assert batch.present["motion"].tolist() == [[True] * 4, [False] * 4, [True] * 2 + [False] * 2]
    for role, name in (("image", "clip"), ("motion", "moclip")):
        for n, steps in enumerate(read):
            z = frames[n].features[name].values[steps].astype(np.float32)
            expected = z * frames[n].features[name].norm[steps][:, None] if lengths == "raw" else z
            there = batch.present[role][n, : len(steps)].numpy()  # type: ignore[index]
            found = batch.vectors[role][n, : len(steps)].numpy()  # type: ignore[index]
            assert np.array_equal(found[there], expected[there])


def test_a_model_of_one_feature_reads_that_one(tmp_path: Path) -> None:
    meta = meta_of(tmp_path, fusion="motion")
    sequences = pack_windows([sample_window(stretch(5, 0), meta)], meta)
    assert list(sequences.dims) == ["motion"] and list(sequences.batch(np.arange(1)).vectors) == ["motion"]
