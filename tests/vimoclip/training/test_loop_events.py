"""What TensorBoard reads back of a run that was broken off and gone on with."""

import sys
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.pipelines.test_train_fusion import StopsAfter
from tests.vimoclip.training.test_loop import training
from vimoclip.training.loop import event_file


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """By name: epochs and values."""
    read = EventAccumulator(str(folder))
    read.Reload()
    return {name: [(each.step, each.value) for each in read.Scalars(name)] for name in read.Tags()["scalars"]}


def test_every_epoch_is_there_once_whatever_became_of_the_run(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        training(tmp_path)[0].run(StopsAfter(2))
    run, _ = training(tmp_path)
    assert len(run.records) == 2
    records = run.run()
    assert len(records) > 2
    found = scalars(tmp_path)
    for name in ("loss", "lr"):
        epochs, values = zip(*found[name], strict=True)
        assert epochs == tuple(record["epoch"] for record in records)
        assert values == pytest.approx([record[name] for record in records])


def test_parts_have_names_and_what_is_no_number_is_left_out(tmp_path: Path) -> None:
    record = {"epoch": 3, "held_out": {"micro": 0.5, "macro": None, "classes": [0.1], "segments": {"head": 0.25}}}
    with event_file(tmp_path, [record]):
        pass
    assert scalars(tmp_path) == {"held_out/micro": [(3, 0.5)], "held_out/segments/head": [(3, 0.25)]}


def test_without_tensorboard_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with event_file(tmp_path, [{"epoch": 1, "loss": 2.0}]) as file:
        file.add({"epoch": 2, "loss": 1.0})
    with event_file(None, []) as file:
        file.add({"epoch": 1, "loss": 2.0})
    assert not list(tmp_path.iterdir())
