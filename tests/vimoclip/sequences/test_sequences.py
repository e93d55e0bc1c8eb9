"""Sequences of vectors that are made up in memory."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vimoclip.config.fusion import TfamConfig
from vimoclip.models.tfam import Tfam
from vimoclip.sequences import sequences as module
from vimoclip.sequences.sequences import PackedRows, Sequences, gathered

STEPS = np.array([5, 1, 9, 9, 3])


@pytest.fixture(params=["copied", "gathered"])
def sequences(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Sequences:
    """Image of 6 and motion of 4 numbers; video 1 has no motion. Batches are cut out as on a CPU, and as on a GPU."""
    if request.param == "gathered":
        monkeypatch.setattr(module, "_copied", gathered)
    generator = torch.Generator().manual_seed(1)
    offsets = np.concatenate([[0], np.cumsum(STEPS)])
    values = torch.randn(int(offsets[-1]), 10, generator=generator).half()
    parts = [values[:, :6].contiguous(), values[:, 6:].contiguous()]
    norms = torch.rand(len(values), 2, generator=generator) + 1
    norms[5, 1] = 0
    targets = torch.eye(5, 3, dtype=torch.uint8)
    ids = [f"{name}.mp4" for name in "abcde"]
    dims = {"image": 6, "motion": 4}
    return Sequences(ids, offsets, PackedRows(parts, offsets), norms, dims, "unit", ["x", "y", "z"], targets)  # type: ignore[arg-type]


def test_an_epoch_is_every_video_once(sequences: Sequences) -> None:
    for batches in (sequences.epoch(2, 49, 0), sequences.in_order(2)):
        found = list(batches)
        assert sorted(np.concatenate([batch.videos for batch in found]).tolist()) == [0, 1, 2, 3, 4]
        for batch in found:
            assert batch.targets.tolist() == sequences.targets[batch.videos].tolist()
            assert batch.present["image"].sum(dim=1).tolist() == STEPS[batch.videos].tolist()


def test_an_epoch_follows_from_seed_and_number(sequences: Sequences) -> None:
    def order(epoch: int) -> list[list[int]]:
        return [batch.videos.tolist() for batch in sequences.epoch(2, 49, epoch)]

    assert order(3) == order(3)
    assert len({str(order(epoch)) for epoch in range(6)}) > 1


def test_a_batch_is_the_rows_of_its_videos(sequences: Sequences) -> None:
    image, motion = (part.float() for part in sequences.rows.parts)  # type: ignore[attr-defined]
    batch = sequences.batch(np.array([2, 1, 4]))
    for i, video in enumerate((2, 1, 4)):
        first, last = sequences.offsets[video : video + 2]
        there = batch.present["image"][i]
        assert torch.equal(batch.vectors["image"][i][there], image[first:last])
        if video == 1:
            assert not batch.present["motion"][i].any()
        else:
            assert torch.equal(batch.vectors["motion"][i][batch.present["motion"][i]], motion[first:last])


def test_vectors_that_do_not_fit_stay_where_they_are(sequences: Sequences, monkeypatch: pytest.MonkeyPatch) -> None:
    moved, size = [], 10 * 2 * int(STEPS.sum())
    for free in (size, 2 * size):
        monkeypatch.setattr(module, "free_bytes", lambda _, free=free: free)
        moved.append(sequences.to(torch.device("meta")).rows.parts[0].device.type)  # type: ignore[attr-defined]
    assert moved == ["cpu", "meta"]
    there, videos = sequences.to(torch.device("cpu")), np.array([2, 1])
    assert torch.equal(there.batch(videos).vectors["motion"], sequences.batch(videos).vectors["motion"])
    assert there.report == sequences.report


def test_scores_do_not_depend_on_the_batch(sequences: Sequences) -> None:
    torch.manual_seed(0)
    config = replace(TfamConfig(), layers=1, width=32, heads=4, feed_forward=32, hidden=8)
    model = Tfam(config, sequences.dims, 3).eval()
    alone = torch.cat([model(batch.vectors, batch.present) for batch in map(sequences.batch, np.arange(5)[:, None])])
    together = sequences.batch(np.arange(5))
    torch.testing.assert_close(model(together.vectors, together.present), alone, atol=1e-5, rtol=0)
    assert torch.isfinite(alone).all()


def test_counts(sequences: Sequences) -> None:
    assert (len(sequences), sequences.counts(), sequences.report.frames) == (5, [1, 1, 1], 27)
