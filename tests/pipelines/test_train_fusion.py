"""Training and evaluating on a real store with made-up vectors: runs that go on, snapshots, and what is refused."""

import json
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import evaluate, train_fusion
from pipelines.evaluate import EvaluateReport, EvaluateRequest
from pipelines.run_folder import RUN, default_folder
from pipelines.train_fusion import TrainFusionReport, TrainFusionRequest
from schemas.labels import Label
from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.config.fusion import FusionConfig, LossConfig, TfamConfig, TrainingConfig
from vimoclip.config.store import RunConfig
from vimoclip.errors import CheckpointError, ConfigError, RunError
from vimoclip.models.checkpoint import read_checkpoint
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.loop import METRICS, STATE, Record
from vimoclip.training.splits import SplitRequest

pytestmark = pytest.mark.usefixtures("one_thread")

VIDEOS = {f"{n}.mp4": 1 + n % 5 for n in range(24)}
CONFIG = FusionConfig(
    tfam=TfamConfig(layers=1, width=8, heads=2, feed_forward=8, hidden=4),
    loss=LossConfig(of_one="asymmetric"),
    training=TrainingConfig(epochs=3, batch_size=4, precision="fp32"),
)


def labelled(folder: Path, split: bool = True) -> Path:
    """A store of 24 videos of three labels, one of which has none; every fourth is of the split val."""
    store = make_store(folder / "store", VIDEOS)
    with writer_lock(store.place):
        writer = StoreWriter(store)
        for n, row in enumerate(store.rows()):
            writer.put(replace(row, split=("train" if n % 4 else "val") if split else None))
        labels = [Label(video_id=f"{n}.mp4", label="abc"[n % 3], source="t") for n in range(1, 24)]
        writer.set_labels(labels, VIDEOS, "t")
        writer.flush()
    return folder / "store"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("made"))


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def train(store: Path, folder: Path, progress: Progress = NO_PROGRESS, **more: Any) -> TrainFusionReport:
    request = TrainFusionRequest(store, more.pop("config", CONFIG), folder, run=RunConfig(threads=1), **more)
    return train_fusion.run(request, progress)


def measure(store: Path, folder: Path, **more: Any) -> EvaluateReport:
    return evaluate.run(EvaluateRequest(store, folder, run=RunConfig(threads=1), **more))


def timeless(records: list[Record]) -> list[Record]:
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


class StopsAfter(Progress):
    """Ctrl-C after an epoch."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch

    def message(self, text: str) -> None:
        if text.startswith(f"epoch {self._epoch}: "):
            raise KeyboardInterrupt


def test_a_run_is_a_folder_of_its_own(store: Path, tmp_path: Path) -> None:
    report = train(store, tmp_path / "run")
    names = sorted(path.name for path in report.folder.iterdir() if "tfevents" not in path.name)
    assert names == ["meta.json", METRICS, "model.safetensors", RUN]
    assert (report.train, report.held_out, report.classes, report.epochs) == ("split train", "split val", 3, 3)
    found = report.sequences
    assert found["train"].videos + found["held_out"].videos == 23
    assert found["train"].unlabelled + found["held_out"].unlabelled == 1
    model, meta = read_checkpoint(report.folder)
    assert meta.config == CONFIG and meta.classes == ["a", "b", "c"] and sum(meta.counts) == found["train"].videos
    assert meta.versions == FeatureStore.open(store).versions
    assert meta.metrics == report.records[-1] and not model.training
    lines = (report.folder / METRICS).read_text().splitlines()
    assert [json.loads(line) for line in lines] == report.records


class Said(Progress):
    """Keeps the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    @property
    def loss(self) -> str:
        (said,) = (text for text in self.messages if text.startswith("Loss: "))
        return said


def relabel(store: Path, source: str, labels: dict[str, str]) -> None:
    opened = FeatureStore.open(store)
    with writer_lock(opened.place):
        writer = StoreWriter(opened)
        rows = [Label(video_id=video_id, label=label, source=source) for video_id, label in labels.items()]
        writer.set_labels(rows, list(labels), source)
        writer.flush()


def test_the_loss_that_was_chosen_is_said_with_the_videos_that_made_it(store: Path, tmp_path: Path) -> None:
    """One label in another file, which leaves the first one standing, changes the loss of the whole training."""
    said = Said()
    auto = replace(CONFIG, loss=LossConfig("bce", "cross-entropy"))
    report = train(store, tmp_path / "one", said, config=auto)
    assert said.loss == "Loss: cross-entropy, since every video shows exactly one behaviour."
    assert report.loss == said.loss == json.loads((tmp_path / "one" / RUN).read_text())["loss"]
    assert train(store, tmp_path / "one", config=auto).loss == said.loss
    relabel(store, "corrected.csv", {"5.mp4": "a", "6.mp4": "a"})  # t says c of 5 and a of 6
    said = Said()
    several = train(store, tmp_path / "several", said, config=auto)
    shown = "1 of 23 videos shows several behaviours (5.mp4: a from corrected.csv, c from t)"
    assert several.loss == said.loss == f"Loss: binary cross-entropy, since {shown}."
    assert read_checkpoint(several.folder)[1].config.loss.name == "bce"
    said = Said()
    train(store, tmp_path / "asked", said, config=replace(CONFIG, loss=LossConfig("bce", "bce")))
    assert said.loss == f"Loss: binary cross-entropy, as the settings say; {shown}."
    relabel(store, "t", {f"{n}.mp4": "ab"[n % 2] for n in (8, 9, 10, 11)})
    relabel(store, "u", {f"{n}.mp4": "c" for n in (5, 8, 9, 10, 11)})
    train(store, tmp_path / "many", said := Said(), config=auto)
    assert "since 5 of 23 videos show several behaviours (" in said.loss and said.loss.endswith("; …).")
    assert said.loss.count(".mp4: ") == 3


def test_evaluating_gives_what_training_measured(store: Path, tmp_path: Path) -> None:
    trained = train(store, tmp_path / "run").records[-1]["held_out"]
    report = measure(store, tmp_path / "run", split="val")
    assert report.metrics.micro == pytest.approx(trained["micro"])
    assert report.metrics.micro_batches == pytest.approx(trained["micro_batches"])
    assert [row[:2] for row in report.classes] == [("a", "tail"), ("b", "tail"), ("c", "tail")]
    assert sum(row[3] for row in report.classes) == report.metrics.videos == report.sequences.videos
    assert [row[4] for row in report.classes] == report.metrics.classes
    assert measure(store, tmp_path / "run").metrics.videos == 23


def test_evaluating_gives_what_training_in_bf16_measured(store: Path, tmp_path: Path) -> None:
    """The last epoch is scored as `evaluate` scores, in fp32; in bf16 these videos have another order."""
    config = replace(CONFIG, training=replace(CONFIG.training, precision="bf16", lr=1e-5, epochs=1, seed=13))
    records = train(store, tmp_path / "run", config=config).records
    metrics = measure(store, tmp_path / "run", split="val").metrics.to_dict()
    names = ("micro", "macro", "micro_batches", "classes", "segments", "videos")
    assert {name: records[-1]["held_out"][name] for name in names} == {name: metrics[name] for name in names}


def test_class_groups_of_ones_own(store: Path, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("label,segment\na,common\nb,rare\nc,rare\n")
    record = train(store, tmp_path / "run", class_groups=tmp_path / "s.csv").records[-1]
    assert set(record["held_out"]["segments"]) == {"common", "rare"}
    metrics = measure(store, tmp_path / "run", class_groups=tmp_path / "s.csv").metrics
    assert set(metrics.class_groups) == {"common", "rare"}


def test_the_same_command_goes_on_with_the_snapshot_it_began_on(store: Path, tmp_path: Path) -> None:
    whole = train(Path(shutil.copytree(store, tmp_path / "copy")), tmp_path / "whole")
    broken = train(store, tmp_path / "run", StopsAfter(1))
    assert broken.interrupted and broken.epochs == 1 and (tmp_path / "run" / STATE).exists()
    opened = FeatureStore.open(store)
    with writer_lock(opened.place):
        writer = StoreWriter(opened)
        writer.add(take := writer.new_take(), embedded("new.mp4", 0, 5))
        writer.put(ok_row("new.mp4", take, 5, opened.fingerprint, split="train"))
        writer.put(*(replace(row, status="removed") for row in opened.rows() if row.video_id == "1.mp4"))
        writer.flush()
        for table in opened.refresh().tables.values():
            table.compact_and_clean(timedelta(0))
    report = train(store, tmp_path / "run")
    assert timeless(report.records) == timeless(whole.records) and report.epochs == 2
    models = [read_checkpoint(tmp_path / name)[0].state_dict() for name in ("run", "whole")]
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())


def test_the_best_epoch_is_chosen_on_a_part_cut_from_train_and_kept_beside_the_last(
    store: Path, tmp_path: Path
) -> None:
    plain = train(store, tmp_path / "plain")
    report = train(store, tmp_path / "run", config=replace(CONFIG, select_on=0.3))
    found = report.sequences
    assert found["select"].videos > 0 and found["held_out"] == plain.sequences["held_out"]
    assert found["train"].videos + found["select"].videos == plain.sequences["train"].videos
    by_epoch = [record["select"]["micro"] for record in report.records]
    assert report.selected == 1 + by_epoch.index(max(by_epoch))
    evaluated = measure(store, tmp_path / "run", split="val")
    assert evaluated.selected is not None and (evaluated.epoch, evaluated.selected.epoch) == (3, report.selected)
    for each in (evaluated, evaluated.selected):
        assert each.metrics.micro == pytest.approx(report.records[each.epoch - 1]["held_out"]["micro"])
    assert measure(store, tmp_path / "plain").selected is None and plain.selected is None
    with pytest.raises(ConfigError, match="select_on is a share"):
        replace(CONFIG, select_on=1.0)


def test_a_finished_run_is_known(store: Path, tmp_path: Path) -> None:
    first = train(store, tmp_path / "run")
    again = train(store, tmp_path / "run", StopsAfter(1))
    assert again.known and again.records == first.records and again.epochs == 0
    with pytest.raises(RunError, match="finished run with other settings"):
        train(store, tmp_path / "run", config=replace(CONFIG, mixup=None))


def test_other_settings_do_not_go_on_with_a_run(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "run", StopsAfter(1))
    with pytest.raises(RunError, match=r"Received: config\.mixup None\. Expected: config\.mixup 0\.2"):
        train(store, tmp_path / "run", config=replace(CONFIG, mixup=None))
    (tmp_path / "run" / RUN).write_text("{}")
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        train(store, tmp_path / "run")


def test_a_run_of_other_batches_is_not_gone_on_with(store: Path, tmp_path: Path) -> None:
    """As 0.1.0 drew them, which noted no version of that."""
    train(store, tmp_path / "run", StopsAfter(1))
    state = torch.load(tmp_path / "run" / STATE, weights_only=True)
    del state["identity"]["batching"]
    torch.save(state, tmp_path / "run" / STATE)
    with pytest.raises(RunError, match=r"Received: batching 2\. Expected: batching None.*earlier version"):
        train(store, tmp_path / "run")


def test_a_snapshot_that_is_gone(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "run", StopsAfter(1))
    shutil.rmtree(store)
    labelled(tmp_path)
    begun = json.loads((tmp_path / "run" / RUN).read_text())
    begun["versions"]["frames"] = 99
    (tmp_path / "run" / RUN).write_text(json.dumps(begun))
    with pytest.raises(RunError, match=r"is gone\..* frames at version 99"):
        train(store, tmp_path / "run")


def test_without_splits_some_are_held_out_by_lot(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    report = train(store, tmp_path / "run", split=SplitRequest(share=0.3))
    assert report.held_out == "0.3, by lot"
    assert report.sequences["train"].videos + report.sequences["held_out"].videos == 23


def test_splits_by_name(store: Path, tmp_path: Path) -> None:
    report = train(store, tmp_path / "run", split=SplitRequest("val", "train"))
    assert (report.train, report.held_out) == ("split val", "split train")
    assert train(store, tmp_path / "alone", split=SplitRequest("val")).held_out == "nothing"
    with pytest.raises(RunError, match="No video is in the split nowhere"):
        train(store, tmp_path / "other", split=SplitRequest(held_out="nowhere"))
    assert not (tmp_path / "other").exists()


def test_splits_that_nothing_uses_are_counted(store: Path, tmp_path: Path) -> None:
    writer = StoreWriter(FeatureStore.open(store))
    writer.put(
        *(replace(writer.videos[f"{n}.mp4"], split=split) for n, split in ((1, "tarin"), (3, "tarin"), (5, None)))
    )
    writer.flush()
    messages: list[str] = []

    class Messages(Progress):
        def message(self, text: str) -> None:
            messages.append(text)

    assert train(store, tmp_path / "run", Messages()).unused == {"": 1, "tarin": 2}
    assert "Not used: 1 video without a split, 2 videos in split tarin." in messages


def test_a_store_of_other_features_is_refused(store: Path, tmp_path: Path) -> None:
    train(store, tmp_path / "run")
    make_store(tmp_path / "other", VIDEOS, {"clip": 8, "moclip": 16})
    with pytest.raises(CheckpointError, match="other motion vectors"):
        measure(tmp_path / "other", tmp_path / "run")


def test_one_behaviour_a_video(store: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, loss=LossConfig())
    report = train(store, tmp_path / "run", config=config)
    assert read_checkpoint(report.folder)[1].config.loss.name == "cross-entropy"
    assert train(store, tmp_path / "run", config=config).known
    accuracy = report.records[-1]["held_out"]["accuracy"]
    assert measure(store, tmp_path / "run", split="val").metrics.accuracy == pytest.approx(accuracy)


def test_each_store_and_each_setting_has_a_folder_of_its_own(tmp_path: Path) -> None:
    one = default_folder(tmp_path, CONFIG, "cross")
    assert (
        one == default_folder(str(tmp_path), CONFIG, "cross")
        and one.parts[0] == "runs"
        and one.name.startswith("cross-")
    )
    assert one != default_folder(tmp_path / "other", CONFIG, "cross")
    assert one != default_folder(tmp_path, replace(CONFIG, mixup=None), "cross")
