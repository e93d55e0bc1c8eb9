"""Training on stretches of videos whose labels are of spans: what a run learns from them, and what is said of it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipelines import evaluate, train_fusion
from pipelines.ablate import AblateRequest, run_all
from pipelines.evaluate import EvaluateRequest
from pipelines.train_fusion import TrainFusionReport, TrainFusionRequest
from schemas.labels import Label
from tests.pipelines.test_train_fusion import StopsAfter
from tests.vimoclip.made_up_runs import CONFIG, ONE
from tests.vimoclip.stores import FPS, embedded, make_store, ok_row
from vimoclip.api import Store
from vimoclip.config.fusion import FusionConfig, Loss, LossConfig, SequenceConfig
from vimoclip.errors import RunError
from vimoclip.frames import FrameBatch
from vimoclip.models.checkpoint import read_checkpoint
from vimoclip.sequences.reader import SequenceStorage, read_sequences
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.loop import METRICS
from vimoclip.training.splits import SplitRequest, training_split

pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = 100  # 4 s
HALF_S = FRAMES / FPS / 2
WINDOW = SequenceConfig(window_s=HALF_S)
CUT = replace(CONFIG, sequences=WINDOW, training=replace(CONFIG.training, epochs=12))


def looking(frames: FrameBatch, order: int) -> FrameBatch:
    """The frames with images of another direction in the second half of their video; order: which comes first."""
    half = (frames.frame_index >= FRAMES // 2).astype(int)
    z = frames.features["clip"].values.astype(np.float32) * 0.3
    z[np.arange(len(z)), half if order == 0 else 1 - half] += 1
    unit = (z / np.linalg.norm(z, axis=1, keepdims=True)).astype(np.float16)
    return replace(frames, features=frames.features | {"clip": replace(frames.features["clip"], values=unit)})


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Sixteen videos that show one behaviour in one half and another in the other, as they look; labels say when."""
    made = make_store(tmp_path_factory.mktemp("halves") / "store", {})
    with writer_lock(made.place):
        writer, labels = StoreWriter(made), []
        for n in range(16):
            name, order = f"{n:02}.mp4", n % 2
            writer.add(take := writer.new_take(), looking(embedded(name, 0, FRAMES), order))
            split = "val" if n >= 12 else "train"
            writer.put(ok_row(name, take, FRAMES, made.fingerprint, split=split))
            for half, label in enumerate(("eats", "runs") if order == 0 else ("runs", "eats")):
                labels.append(
                    Label(video_id=name, label=label, source="t", start_s=half * HALF_S, end_s=(half + 1) * HALF_S)
                )
        writer.flush()
        writer.set_labels(labels, {label.video_id for label in labels}, "t")
        writer.flush()
    return made.refresh()


def train(store: Store, folder: Path, config: FusionConfig, **more: object) -> TrainFusionReport:
    return train_fusion.run(TrainFusionRequest(str(store.place), config, folder, run=ONE, **more))  # type: ignore[arg-type]


def told_apart(store: Store, run: Path) -> float:
    """The share of the halves of the videos of val that are given their own label above the other, by a margin."""
    found = store.predict([f"{n}.mp4" for n in range(12, 16)], run, window_s=HALF_S, stride_s=HALF_S, settings=ONE)
    right = []
    for n, video in enumerate(found):
        own = video.window_probabilities[:, [0, 1] if n % 2 == 0 else [1, 0]]  # eats and runs, by what comes first
        right += [own[0, 0] > own[0, 1] + 0.3, own[1, 1] > own[1, 0] + 0.3]
    return float(np.mean(right))


@pytest.fixture(scope="module")
def trained(store: Store, tmp_path_factory: pytest.TempPathFactory) -> TrainFusionReport:
    return train(store, tmp_path_factory.mktemp("cut") / "run", CUT)


def test_a_run_on_stretches_tells_the_halves_of_a_video_apart(
    store: Store, trained: TrainFusionReport, tmp_path: Path
) -> None:
    assert told_apart(store, trained.folder) == 1
    train(store, tmp_path / "whole", replace(CUT, sequences=SequenceConfig()))
    assert told_apart(store, tmp_path / "whole") == 0


def test_videos_and_stretches_are_each_counted(store: Store, trained: TrainFusionReport) -> None:
    parts = {name: (each.videos, each.stretches) for name, each in trained.sequences.items()}
    assert parts == {"train": (12, 24), "held_out": (4, 8)}
    assert read_checkpoint(trained.folder)[1].counts == [12, 12]
    held_out = trained.records[-1]["held_out"]
    assert (held_out["videos"], held_out["stretches"]) == (4, 8)
    assert json.loads((trained.folder / METRICS).read_text().splitlines()[-1])["held_out"] == held_out
    found = evaluate.run(EvaluateRequest(str(store.place), trained.folder, "val", run=ONE))
    assert (found.metrics.videos, found.metrics.stretches, found.sequences.stretches) == (4, 8, 8)
    assert found.metrics.micro == pytest.approx(held_out["micro"]) == pytest.approx(1)
    assert [row[2:4] for row in found.classes] == [(12, 4), (12, 4)]


def test_memory_and_files_train_the_same(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(CUT, training=replace(CUT.training, epochs=1))
    reports = []
    for storage in (SequenceStorage("memory"), SequenceStorage("files", tmp_path / "cache")):
        monkeypatch.setattr(train_fusion, "read_sequences", partial(read_sequences, storage=storage))
        reports.append(train(store, tmp_path / storage.where, config))
    one, other = reports
    assert any((tmp_path / "cache").iterdir())
    assert one.sequences == other.sequences
    assert (
        one.records[0]["loss"] == other.records[0]["loss"]
        and one.records[0]["held_out"] == other.records[0]["held_out"]
    )


def test_a_window_longer_than_every_video_trains_what_none_trains(store: Store, tmp_path: Path) -> None:
    """All but the settings; videos of two labels each, so that the loss is of several."""
    short = replace(CONFIG, training=replace(CONFIG.training, epochs=2))
    plain, long = (
        train(store, tmp_path / str(window_s), replace(short, sequences=SequenceConfig(window_s=window_s)))
        for window_s in (None, 4.0)
    )
    timeless = [[{**record, "seconds": 0} for record in each.records] for each in (plain, long)]
    assert timeless[0] == timeless[1] and plain.sequences == long.sequences
    assert timeless[0][-1]["held_out"]["stretches"] is None


@pytest.fixture(scope="module")
def sparse(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Six videos of four seconds that show one behaviour each, in their first second."""
    names = [f"{n}.mp4" for n in range(6)]
    made = make_store(tmp_path_factory.mktemp("sparse") / "store", dict.fromkeys(names, FRAMES))
    with writer_lock(made.place):
        writer = StoreWriter(made)
        labels = [
            Label(video_id=name, label="ab"[n % 2], source="t", start_s=0.1, end_s=0.5) for n, name in enumerate(names)
        ]
        writer.set_labels(labels, names, "t")
        writer.put(*(replace(row, split="train") for row in made.rows()))
        writer.flush()
    return made.refresh()


SECONDS = replace(CUT, sequences=SequenceConfig(window_s=1.0), mixup=0.2)


def test_the_loss_follows_from_what_stretches_show(store: Store, sparse: Store, tmp_path: Path) -> None:
    once = replace(CUT.training, epochs=1)
    train(store, tmp_path / "halves", replace(CUT, loss=LossConfig(), training=once))
    assert read_checkpoint(tmp_path / "halves")[1].config.loss.name == "cross-entropy"  # one each
    train(sparse, tmp_path / "whole", replace(CONFIG, loss=LossConfig(), training=once))
    assert read_checkpoint(tmp_path / "whole")[1].config.loss.name == "cross-entropy"
    train(sparse, tmp_path / "seconds", replace(SECONDS, loss=LossConfig(), training=once))
    assert read_checkpoint(tmp_path / "seconds")[1].config.loss.name == "asymmetric"  # most show nothing
    refused = r"a stretch\. Received: 18 of 24 stretches of videos with none or several, such as 0\.mp4, 1\.mp4"
    with pytest.raises(RunError, match=refused):
        train(sparse, tmp_path / "explicit", replace(SECONDS, loss=LossConfig(name="cross-entropy")))
    assert not (tmp_path / "explicit").exists()


@pytest.mark.parametrize("loss", ["bce", "asymmetric"])
def test_stretches_that_show_nothing_are_learned_from(sparse: Store, tmp_path: Path, loss: Loss) -> None:
    report = train(sparse, tmp_path / "run", replace(SECONDS, loss=LossConfig(name=loss)))
    assert report.sequences["train"].stretches == 24 and read_checkpoint(report.folder)[1].counts == [3, 3]
    assert np.isfinite([record["loss"] for record in report.records]).all()
    found = sparse.predict("*", report.folder, window_s=1.0, stride_s=1.0, settings=ONE)
    every = np.concatenate([each.window_probabilities for each in found])
    assert every.shape == (24, 2) and every.mean() == pytest.approx(3 / 24, abs=0.05)  # calibrated on what was shown
    measured = evaluate.run(EvaluateRequest(str(sparse.place), report.folder, run=ONE)).metrics
    assert measured.micro is not None and (measured.videos, measured.stretches) == (6, 24)


def test_another_window_does_not_go_on_with_a_run(store: Store, tmp_path: Path) -> None:
    train_fusion.run(TrainFusionRequest(str(store.place), CUT, tmp_path / "run", run=ONE), StopsAfter(1))
    for window_s in (None, 1.0):
        other = replace(CUT, sequences=SequenceConfig(window_s=window_s))
        with pytest.raises(RunError, match=rf"Received: config\.sequences\.window_s {window_s}"):
            train(store, tmp_path / "run", other)
    report = train(store, tmp_path / "run", CUT)
    assert len(report.records) == 12 and report.epochs == 11
    with pytest.raises(RunError, match="finished run with other settings"):
        train(store, tmp_path / "run", replace(CUT, sequences=SequenceConfig()))


def test_no_video_is_on_both_sides(store: Store) -> None:
    parts = training_split(store, SplitRequest(), 0.3, 49).parts
    read = [read_sequences(store, WINDOW, "cross", videos, ["eats", "runs"]) for videos in parts.values()]
    ids = [set(each.video_ids) for each in read]
    assert len(ids) == 3 and sum(map(len, ids)) == len(set().union(*ids)) == 16
    assert [len(each) for each in read] == [2 * len(own) for own in ids]


def test_an_ablation_is_of_stretches_too(store: Store, tmp_path: Path) -> None:
    config = replace(CUT, training=replace(CUT.training, epochs=1))
    base = TrainFusionRequest(str(store.place), config, tmp_path / "ablation", run=ONE)
    report = run_all(AblateRequest(base, ("image",), 1))
    assert read_checkpoint(tmp_path / "ablation" / "image-49")[1].config.sequences == WINDOW
    assert report.rows[0].last["micro"]
    with pytest.raises(RunError, match="with other settings"):
        run_all(AblateRequest(replace(base, config=CONFIG), ("image",), 1))
