"""Training and evaluating on a real store with made-up vectors: runs that go on, snapshots, and what is refused."""

import json
import shutil
from dataclasses import asdict, replace
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
from schemas.models import STUDENT, folder_of
from tests.vimoclip import stores
from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.config.fusion import FusionConfig, LossConfig, TfamConfig, TrainingConfig
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import RunConfig
from vimoclip.errors import CheckpointError, ConfigError, RunError
from vimoclip.models.checkpoint import Source, read_checkpoint, write_files
from vimoclip.models.motion_student import MOCLIP, StudentMeta
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.loop import METRICS, STATE, Record
from vimoclip.training.splits import SplitRequest, videos_of_split

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


def rows_of(store: Path) -> list[str]:
    return [row.video_id for row in videos_of_split(FeatureStore.open(store))]


def test_runs_with_other_seeds_hold_out_the_same_videos(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    configs = [replace(CONFIG, training=replace(CONFIG.training, seed=seed, epochs=1)) for seed in (49, 50)]
    runs = [train(store, tmp_path / str(n), config=config) for n, config in enumerate(configs)]
    metas = [read_checkpoint(each.folder)[1] for each in runs]
    taught = metas[0].taught
    assert taught is not None and taught == metas[1].taught and len(taught) == runs[0].sequences["train"].videos
    assert metas[0].split == {"seed": 49, "by": None, "share": 0.2}
    assert json.loads((runs[0].folder / RUN).read_text())["split"] == metas[0].split
    other = train(store, tmp_path / "other", split=SplitRequest(seed=2))
    assert read_checkpoint(other.folder)[1].taught != metas[0].taught
    for split in (SplitRequest(), SplitRequest(seed=2, by="folder"), SplitRequest(seed=2, share=0.3)):
        with pytest.raises(RunError, match=r"another split of the videos.*Expected: --(split-seed 2|hold-out 0\.2)"):
            train(store, tmp_path / "other", split=split)


def test_a_run_from_before_split_seeds_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    config = replace(CONFIG, training=replace(CONFIG.training, seed=51), select_on=0.4)
    before = SplitRequest(seed=None)
    whole = train(store, tmp_path / "whole", config=config, split=before)
    assert "split" not in json.loads((whole.folder / RUN).read_text())
    assert train(store, tmp_path / "run", StopsAfter(1), config=config, split=before).interrupted
    with pytest.raises(RunError, match="another split of the videos"):
        train(store, tmp_path / "run", config=config, split=SplitRequest(seed=7))
    report = train(store, tmp_path / "run", config=config)
    assert timeless(report.records) == timeless(whole.records) and report.held_out == whole.held_out
    assert train(store, tmp_path / "run", config=config).known
    found = measure(store, tmp_path / "run")
    assert found.metrics.micro == pytest.approx(whole.records[-1]["held_out"]["micro"])


def test_the_default_folder_depends_on_a_split_that_is_not_the_default(tmp_path: Path) -> None:
    one = default_folder(tmp_path, CONFIG, "cross")
    assert one == default_folder(tmp_path, CONFIG, "cross", SplitRequest(share=0.3, min_videos=2))
    others = {
        default_folder(tmp_path, CONFIG, "cross", SplitRequest(seed=n, by=by)) for n in (1, 2) for by in (None, "a")
    }
    assert len(others | {one}) == 5


def test_folders_on_both_sides_are_warned_of(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    report = train(store, tmp_path / "run", said := Said())
    assert report.divided_folders == 1
    (warning,) = (text for text in said.messages if "--hold-out-by" in text)
    assert warning.startswith("Warning: of 1 folder, some videos are trained on and others set aside")


def test_without_splits_a_run_is_evaluated_on_what_it_held_out(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    config = replace(CONFIG, select_on=0.3)
    report = train(store, tmp_path / "run", config=config)
    found = measure(store, tmp_path / "run")
    assert found.metrics.micro == pytest.approx(report.records[-1]["held_out"]["micro"])
    assert found.metrics.videos == report.sequences["held_out"].videos and found.trained_on == 0
    assert found.judged_on == "held out by the run, 0.2 of the videos at random" and not found.warnings
    assert found.selected is not None and found.selected.metrics.videos == found.metrics.videos
    every = measure(store, tmp_path / "run", split="all")
    trained = report.sequences["train"].videos
    assert (every.judged_on, every.metrics.videos, every.trained_on) == ("all videos", 23, trained)
    assert every.warnings == [
        f"Warning: the run was trained on {trained} of these 24 videos: the figures are too good."
    ]
    alone = measure(store, tmp_path / "run" / "selected")
    assert alone.metrics.videos == found.metrics.videos
    with pytest.raises(RunError, match=r"split val\. Expected: --split all, since no video has a split"):
        measure(store, tmp_path / "run", split="val")


def test_a_store_of_other_videos_is_evaluated_whole(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    train(store, tmp_path / "run")
    made = make_store(tmp_path / "other", {f"new {n}.mp4": 3 for n in range(6)})
    relabel(tmp_path / "other", "t", {f"new {n}.mp4": "abc"[n % 3] for n in range(6)})
    assert len(made.live_videos()) == 6
    found = measure(tmp_path / "other", tmp_path / "run")
    assert (found.metrics.videos, found.judged_on) == (6, "all videos, none of which it was trained on")


def test_a_split_that_was_trained_on_is_warned_of(store: Path, tmp_path: Path) -> None:
    report = train(store, tmp_path / "run")
    assert measure(store, tmp_path / "run", split="val").warnings == []
    found = measure(store, tmp_path / "run")
    assert found.trained_on == report.sequences["train"].videos and "trained on" in found.warnings[0]


def with_student(folder: Path, monkeypatch: pytest.MonkeyPatch, taught: list[str] | None, split: bool) -> Path:
    """A store whose moclip a trained student made, that was taught on these videos, or does not say which."""
    id, plain = "0123456789abcdef", stores.features
    monkeypatch.setattr(
        stores,
        "features",
        lambda dims: [
            replace(each, training="trained", weights=STUDENT + id) if each.name == "moclip" else each
            for each in plain(dims)
        ],
    )
    store = labelled(folder, split)
    opened = FeatureStore.open(store)
    hashes = None if taught is None else [row.content_hash for row in opened.rows() if row.video_id in taught]
    teacher = Source.of(opened.features["clip"])
    meta = StudentMeta(MotionConfig(), ["a"], [1], teacher, str(store), opened.versions, {}, hashes)
    body = {**asdict(meta), "config": meta.config.to_dict()}
    if taught is None:
        del body["taught"]
    write_files(store / folder_of(id), MOCLIP, {"w": torch.zeros(1)}, body)
    return store


@pytest.mark.parametrize("split", [True, False])
def test_videos_that_the_student_was_taught_on_do_not_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, split: bool
) -> None:
    store = with_student(tmp_path, monkeypatch, list(VIDEOS)[:20], split)
    with pytest.raises(
        RunError, match=r"was taught the labels of .* Received: \d of \d videos .*\.mp4.*--allow-taught"
    ):
        train(store, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    image = replace(CONFIG, tfam=replace(CONFIG.tfam, fusion="image"))
    assert not train(store, tmp_path / "image", config=image).warning
    report = train(store, tmp_path / "run", said := Said(), split=SplitRequest(allow_taught=True))
    assert report.warning.startswith("Warning: ") and report.warning in said.messages
    assert json.loads((tmp_path / "run" / RUN).read_text())["warning"] == report.warning
    named = "val" if split else None
    with pytest.raises(RunError, match="--allow-taught"):
        measure(store, tmp_path / "run", split=named)
    assert len(measure(store, tmp_path / "run", split=named, allow_taught=True).warnings) == 1
    assert len(measure(store, tmp_path / "run", split="all").warnings) == 2


def test_a_student_of_an_earlier_version_is_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = with_student(tmp_path, monkeypatch, None, split=True)
    assert "is not known" in train(store, tmp_path / "run").warning
    (warning,) = measure(store, tmp_path / "run", split="val").warnings
    assert "is not known" in warning


def test_a_student_that_was_taught_on_other_videos_is_fine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = with_student(tmp_path, monkeypatch, [f"{n}.mp4" for n in range(24) if n % 4], split=True)
    assert train(store, tmp_path / "run").warning == "" and measure(store, tmp_path / "run", split="val").warnings == []


@pytest.fixture(scope="module")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 96 videos whose two labels nothing shows; a half are of the split val."""
    names = {f"{n}.mp4": 4 for n in range(96)}
    store = make_store(tmp_path_factory.mktemp("noise") / "store", names)
    with writer_lock(store.place):
        writer = StoreWriter(store)
        writer.put(*(replace(row, split="val" if int(row.video_id[:-4]) % 2 else "train") for row in store.rows()))
        labels = [Label(video_id=name, label=label, source="t") for n, name in enumerate(names) for label in _both(n)]
        writer.set_labels(labels, list(names), "t")
        writer.flush()
    return Path(str(store.place))


def _both(n: int) -> str:
    return ("a", "b", "ab", "a", "c", "bc")[n * n * 7 // 5 % 6]


FITS = replace(
    CONFIG,
    tfam=replace(CONFIG.tfam, width=32, feed_forward=64, hidden=32, dropout=0.0),
    training=replace(CONFIG.training, epochs=60, lr=3e-3, weight_decay=0.0),
    mixup=None,
)
"""It fits its training videos."""


def test_probabilities_mean_something_where_a_model_has_learned_its_videos_by_heart(
    noise: Path, tmp_path: Path
) -> None:
    report = train(noise, tmp_path / "run", config=FITS)
    assert measure(noise, tmp_path / "run", split="train").metrics.micro == pytest.approx(1, abs=0.02)
    found = measure(noise, tmp_path / "run", split="val")
    assert found.metrics.calibration is not None and found.metrics.calibration < 0.1
    assert report.calibrated_on == "the training videos, each scored by a model that was not trained on it"
    assert found.calibrated_on == report.calibrated_on == train(noise, tmp_path / "run", config=FITS).calibrated_on
    assert not (tmp_path / "run" / "folds").exists()
    quick = train(noise, tmp_path / "quick", config=FITS, calibrate_on="train")
    assert quick.calibrated_on == "the training videos" and timeless(quick.records) == timeless(report.records)
    worse = measure(noise, tmp_path / "quick", split="val").metrics
    assert worse.calibration is not None and worse.calibration > 0.2 and worse.micro == found.metrics.micro


def test_a_part_set_aside_to_choose_the_epoch_calibrates(noise: Path, tmp_path: Path) -> None:
    config = replace(FITS, select_on=0.5, training=replace(FITS.training, epochs=20))
    report = train(noise, tmp_path / "run", config=config)
    assert report.calibrated_on == "the videos that were set aside to choose the best epoch"
    found = measure(noise, tmp_path / "run", split="val")
    assert found.metrics.calibration is not None and found.metrics.calibration < 0.1
    assert found.selected is not None and found.selected.calibrated_on == report.calibrated_on


class StopsWhileCalibrating(Progress):
    """Ctrl-C in the second model that is trained to calibrate."""

    def stage(self, name: str, total: int | None = None) -> None:
        if name.startswith("calibrating, model 2") and name.endswith("epoch 2"):
            raise KeyboardInterrupt


def test_a_calibration_that_was_interrupted_goes_on(noise: Path, tmp_path: Path) -> None:
    config = replace(FITS, training=replace(FITS.training, epochs=3))
    train(noise, tmp_path / "whole", config=config)
    assert train(noise, tmp_path / "run", StopsWhileCalibrating(), config=config).interrupted
    assert (tmp_path / "run" / STATE).exists() and not (tmp_path / "run" / "meta.json").exists()
    said: list[str] = []

    class Stages(Progress):
        def stage(self, name: str, total: int | None = None) -> None:
            said.append(name)

    report = train(noise, tmp_path / "run", Stages(), config=config)
    assert not report.interrupted and report.epochs == 0
    assert [name for name in said if "epoch" in name] == [f"calibrating, model 2 of 2, epoch {n}" for n in (2, 3)]
    models = [read_checkpoint(tmp_path / name)[0].state_dict() for name in ("run", "whole")]
    assert all(torch.equal(tensor, models[1][name]) for name, tensor in models[0].items())
