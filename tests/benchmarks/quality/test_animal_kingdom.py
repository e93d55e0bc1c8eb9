"""Animal Kingdom's clips as sequences: the published labels, and lengths like those of the data set."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.quality.animal_kingdom import TRAIN, clips, lengths, sequences

pytestmark = pytest.mark.usefixtures("one_thread")


def test_lengths_are_those_of_the_data_set_in_the_mean() -> None:
    assert lengths(24_004).mean() == pytest.approx(50 * 3600 / 30_100 * 30, rel=0.01)


def test_clips_are_the_published_ones(shared_annotations: Path) -> None:
    path = shared_annotations / "animal_kingdom" / TRAIN
    listed = clips(path)
    assert len(listed) == 24_004 and listed[0] == ("AAACXZTV.mp4", [2, 40])
    made = sequences(path, "cross", "raw", 30, torch.device("cpu"))
    labels = dict(listed)
    for video, video_id in enumerate(made.video_ids):
        assert made.targets[video].nonzero().flatten().tolist() == sorted(labels[video_id])
    batch = made.batch(np.arange(30))
    norms = batch.vectors["image"][batch.present["image"]].norm(dim=-1)
    assert norms.mean().item() == pytest.approx(10, rel=0.05) and batch.present["motion"].any()
