"""What is compared is what the rows say, and pairs of behaviours are scored on videos that show just one of the two."""

import torch

from benchmarks import motion_student
from benchmarks.motion_student import _change, _compared, config_of, rows


def test_each_row_is_one_input_of_the_same_settings() -> None:
    found = rows(["uvm", "wheel"])
    assert [row.name for row in found][:2] == ["image, no positions", "image"]
    configs = {row.name: config_of(row, 3, 7, 16) for row in found}
    assert configs["image, no positions"].tfam.positions is None and configs["image"].tfam.positions == "sinusoidal"
    assert configs["cross, trained on wheel"].sequences.motion == "trained_wheel"
    assert configs["motion, starting"].sequences.motion == "moclip"
    assert {(config.training.epochs, config.training.seed) for config in configs.values()} == {(3, 7)}
    names = [row.name for row in found]
    assert all(one in names and other in names for one, other in _compared(names))
    assert ("cross, trained on uvm", "image") in _compared(names)
    assert _change("training.lr=3e-4") == {"training": {"lr": 3e-4}} and _change("loss=bce") == {"loss": "bce"}


def test_a_pair_is_judged_by_videos_that_show_just_one_of_the_two() -> None:
    scores = torch.tensor([[2.0, 1.0], [1.0, 2.0], [5.0, 0.0], [0.0, 3.0], [0.0, 9.0]])
    shown = torch.tensor([[1, 0], [1, 0], [1, 1], [0, 1], [0, 0]], dtype=torch.bool)
    assert motion_student.share_right(scores, shown, 0, 1) == 2 / 3
    assert motion_student.share_right(scores, shown[:, [0, 0]], 0, 1) is None
