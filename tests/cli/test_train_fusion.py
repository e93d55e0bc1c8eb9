"""`train-fusion` and `evaluate` as typed: settings by preset, file and flags, what is printed, and exit codes."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.runner import document, vimoclip
from tests.pipelines.test_train_fusion import labelled
from vimoclip.config.fusion import fusion_settings

pytestmark = pytest.mark.usefixtures("one_thread")

SIZES = {"layers": 1, "width": 8, "heads": 2, "feed_forward": 8, "hidden": 4}
SMALL = ["--epochs", "2", "--threads", "1"]
SMALL += [part for name, size in SIZES.items() for part in ("--set", f"tfam.{name}={size}")]
WHOLE = ["--set", "closed_form.thirds=false"]
TOML = """
mixup = 0.9
[training]
lr = 0.5
weight_decay = 0.7
seed = 3
ema = "none"
[loss]
name = "bce"
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("made"))


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with a store of the default's name."""
    shutil.copytree(made, tmp_path / "vimoclip-store")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_epoch_that_was_selected_is_named_as_that(place: Path) -> None:
    result = vimoclip("train-fusion", *SMALL, "--select-on", "0.3", "--run", "run")
    assert result.exit_code == 0
    assert "to choose the best epoch on" in result.stderr
    selected = json.loads((place / "run" / "selected" / "meta.json").read_text())["metrics"]["epoch"]
    assert f"Epoch {selected} is the best on what was cut from train: run/selected." in result.stderr
    shown = vimoclip("evaluate", "run", "--split", "val")
    assert "run, epoch 2, the last, on" in shown.stderr
    assert f"run/selected, epoch {selected}, the best on a part cut from train, on" in shown.stderr
    headings = [line for line in shown.stdout.splitlines() if line.startswith("epoch")]
    assert headings == ["epoch 2\t%", f"epoch {selected}\t%"]
    assert vimoclip("train-fusion", *SMALL, "--select-on", "1.5", "--run", "other").exit_code == 1


def config(folder: Path) -> object:
    return json.loads((folder / "meta.json").read_text())["config"]


def test_train_and_evaluate(place: Path) -> None:
    result = vimoclip("train-fusion", *SMALL)
    assert result.exit_code == 0
    (run,) = (place / "runs").iterdir()
    assert "split train; split val held out; 3 classes" in result.stderr
    assert "epoch 2: loss" in result.stderr and "mAP, tail" in result.stderr
    said = " ".join(result.stderr.split())
    assert "mAP, macro, over 3 classes" in said and " over 3 classes, " in said
    assert "Loss: cross-entropy, since every video shows exactly one behaviour." in said
    assert f"Next: vimoclip evaluate runs/{run.name} --store vimoclip-store" in result.stderr
    shown = vimoclip("evaluate", f"runs/{run.name}", "--split", "val", "--classes")
    assert shown.exit_code == 0 and "mAP, micro of batches" in shown.stdout and "AP %" in shown.stdout
    found = document("evaluate", f"runs/{run.name}", "--split", "val")
    assert f"{100 * found['metrics']['micro']:.2f}" in shown.stdout
    assert found["metrics"]["macro_classes"] == 3 and "mAP, macro, over 3 classes" in shown.stdout
    assert list(found["metrics"]["segments"]) == ["tail"] and "class_groups" not in found["metrics"]
    again = vimoclip("train-fusion", *SMALL)
    assert again.exit_code == 0 and "was finished before" in again.stderr
    assert "Loss: cross-entropy, since every video shows exactly one behaviour." in " ".join(again.stderr.split())


def test_three_commands_print_the_same_figures_of_a_model(place: Path) -> None:
    """Trained in bf16 and measured by train-fusion, by ablate and, calibrated and in fp32, by evaluate.

    With this seed bf16 orders the videos otherwise than fp32.
    """
    settings = [*SMALL, "--set", "training.precision=bf16", "--lr", "1e-5", "--epochs", "1", "--seed", "13"]
    trained = vimoclip("train-fusion", *settings, "--run", "run").stderr
    table = vimoclip("ablate", *settings, "--rows", "cross", "--seeds", "1", "--run", "a").stdout
    evaluated = vimoclip("evaluate", "run", "--split", "val").stdout
    assert evaluated == vimoclip("evaluate", "a/cross-13", "--split", "val").stdout

    def figure(text: str, name: str) -> str:
        (found,) = re.findall(rf"^\W*{name}\s+(?:│ )?\s*(\d+\.\d\d)\b", text, re.MULTILINE)
        return str(found)

    heading, row = (line.split("\t") for line in table.splitlines())
    assert heading[-3] == "best epoch of seed 13"
    for name in ("mAP, micro", "mAP, macro, over 3 classes"):
        shown = row[heading.index(name)]
        assert (figure(evaluated, name), figure(trained, name)) == (shown, shown)


def test_json_is_one_document(place: Path) -> None:
    found = document("train-fusion", *SMALL, "--run", "here")
    assert (found["folder"], found["epochs"], found["known"]) == ("here", 2, False)
    assert [record["epoch"] for record in found["records"]] == [1, 2]
    assert found["loss"].startswith("Loss: cross-entropy, since every video")


def test_flags_are_above_set_above_the_file_above_the_preset(place: Path) -> None:
    (place / "s.toml").write_text(TOML)
    more = ["--config", "s.toml", "--set", "training.lr=0.25", "--set", "training.seed=4", "--seed", "5"]
    more += ["--set", "tfam.positions=none", "--run", "run", "--preset", "default"]
    result = vimoclip("train-fusion", *SMALL, *more)
    assert result.exit_code == 0, result.stderr
    training = {"lr": 0.25, "weight_decay": 0.7, "seed": 5, "epochs": 2, "ema": None}
    tfam, loss = {**SIZES, "positions": None}, {"name": "bce", "of_one": "bce"}
    expected = fusion_settings("default", {"mixup": 0.9, "training": training, "tfam": tfam, "loss": loss})
    assert config(place / "run") == expected.to_dict()


def test_stretches_are_counted_beside_videos(place: Path) -> None:
    """Videos of 1 to 5 frames, 25 a second, of which those of 4 and 5 are cut."""
    flags = [*SMALL, "--window", "120ms", "--run", "run"]
    result = vimoclip("train-fusion", *flags)
    assert result.exit_code == 0, result.stderr
    assert config(place / "run")["sequences"]["window_s"] == 0.12  # type: ignore[index]
    (heading,) = (line for line in result.stderr.splitlines() if "of one frame" in line)
    assert "stretches" in heading
    found = document("train-fusion", *SMALL, "--set", "sequences.window_s=0.12", "--run", "again")
    counts = {name: (each["videos"], each["stretches"]) for name, each in found["sequences"].items()}
    lengths = {name: [1 + n % 5 for n in range(1, 24) if bool(n % 4) == (name == "train")] for name in counts}
    assert all(counts[name] == (len(own), sum(1 + (n > 3) for n in own)) for name, own in lengths.items())
    shown = vimoclip("evaluate", "run", "--split", "val").stderr
    assert "on {1} stretches of {0} videos, split val".format(*counts["held_out"]) in " ".join(shown.split())
    metrics = document("evaluate", "run", "--split", "val")["metrics"]
    assert (metrics["videos"], metrics["stretches"]) == counts["held_out"]
    plain = vimoclip("train-fusion", *SMALL, "--run", "whole")
    assert "stretches" not in plain.stderr


def test_a_row_of_table_2_by_its_columns(place: Path) -> None:
    flags = ["--attention", "self", "--concat", "embedding", "--inputs", "both"]
    assert vimoclip("train-fusion", *SMALL, *flags, "--run", "r").exit_code == 0
    assert config(place / "r")["tfam"]["fusion"] == "embedding"  # type: ignore[index]


def test_a_head_by_its_name(place: Path) -> None:
    assert vimoclip("train-fusion", *SMALL, "--head", "temporal", "--run", "temporal").exit_code == 0
    assert config(place / "temporal")["tfam"]["fusion"] == "temporal"  # type: ignore[index]
    result = vimoclip("train-fusion", "--threads", "1", "--head", "linear", *WHOLE, "--run", "linear")
    assert result.exit_code == 0 and "--head linear" not in result.stderr
    assert "Fitted in one step, without a loss; every video shows exactly one behaviour." in result.stderr
    kept = config(place / "linear")
    assert (kept["head"], kept["closed_form"]) == ("linear", {"thirds": False})  # type: ignore[index]
    assert vimoclip("evaluate", "linear", "--split", "val").exit_code == 0
    again = vimoclip("train-fusion", *SMALL, "--run", "cross").stderr
    assert "With fewer than 200 training videos, `--head linear` or `--head prototype` is likely" in again
    compared = vimoclip("ablate", *SMALL, "--rows", "cross,linear,prototype", "--seeds", "1", "--run", "a")
    assert compared.exit_code == 0 and "With fewer than 200" not in compared.stderr
    assert "linear, closed form" in compared.stdout and "prototypes, closed form" in compared.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--head", "linear"], 1, "training.epochs 2"),
        (["--head", "prototype", "--lr", "1e-3"], 1, "training.lr 0.001"),
        (["--head", "linear", "--inputs", "both"], 2, "--head names all that --attention"),
        (["--head", "forest"], 2, "forest"),
        (["--attention", "cross", "--inputs", "image"], 2, "nothing to be fused with"),
        (["--set", "speed=1"], 1, "Unknown setting"),
        (["--set", "tfam.speed=1"], 1, "Unknown setting"),
        (["--set", "epochs"], 1, "Expected: NAME=VALUE"),
        (["--set", "training.lr=fast"], 1, "lr has a value it cannot have"),
        (["--config", "nowhere.toml"], 1, "nowhere.toml cannot be read"),
        (["--train-split", "nowhere"], 1, "Expected: train, val"),
        (["--min-videos", "99"], 1, "too few classes"),
        (["--least-videos", "99"], 1, "too few classes"),
        (["--least-videos=99"], 1, "too few classes"),
        (["--device", "tpu"], 1, "no such device"),
        (["--window", "soon"], 2, "--window is a time"),
        (["--window", "0"], 1, "The window is a time"),
        (["--class-groups", "nowhere.csv"], 1, "nowhere.csv cannot be read"),
        (["--segments", "nowhere.csv"], 1, "nowhere.csv cannot be read"),
        (["--set", "sequences.image=dino"], 1, "no feature to take image from"),
    ],
)
def test_what_is_refused(place: Path, arguments: list[str], code: int, message: str) -> None:
    result = vimoclip("train-fusion", *SMALL, *arguments)
    assert result.exit_code == code and message in result.stderr
    assert not (place / "runs").exists()


def test_a_file_that_is_no_toml(place: Path) -> None:
    (place / "s.toml").write_text("lr: 3")
    assert "is not TOML" in vimoclip("train-fusion", "--config", "s.toml").stderr


def test_evaluating_what_is_no_run(place: Path) -> None:
    result = vimoclip("evaluate", "nowhere")
    assert result.exit_code == 1 and "Name the folder of a finished run" in result.stderr


def test_an_interrupted_run_says_how_to_go_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(_: object, text: str) -> None:
        if text.startswith("epoch 1: "):
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("cli.progress.ProgressBar.message", stop)
        result = vimoclip("train-fusion", *SMALL)
    assert result.exit_code == 130 and "The last epoch is kept" in result.stderr
    assert "from epoch 2 on" in vimoclip("train-fusion", *SMALL).stderr


def test_a_run_without_splits_is_held_to_what_it_held_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labelled(tmp_path, split=False)
    monkeypatch.chdir(tmp_path)
    flags = ["--store", "store", "--run", "run", "--seed", "3", "--split-seed", "7", "--calibrate-on", "train"]
    found = document("train-fusion", *SMALL, *flags)
    assert found["divided_folders"] == 1 and found["calibrated_on"] == "the training videos"
    shown = vimoclip("evaluate", "run", "--store", "store")
    assert shown.exit_code == 0 and "held out by the run, 0.2 of the videos at random" in " ".join(shown.stderr.split())
    assert "Its probabilities are calibrated on the training videos." in shown.stderr
    report = document("evaluate", "run", "--store", "store")
    assert report["metrics"]["videos"] == found["sequences"]["held_out"]["videos"] and report["trained_on"] == 0
    every = vimoclip("evaluate", "run", "--store", "store", "--split", "all")
    assert "Warning: the run was trained on" in every.stderr
    refused = vimoclip("evaluate", "run", "--store", "store", "--split", "val").stderr
    assert "--split all, since no video has a split" in refused and "--hold-out" not in refused
    wrong = vimoclip("train-fusion", *SMALL, "--store", "store", "--run", "other", "--hold-out-by", "site")
    assert wrong.exit_code == 1 and "Expected: folder" in wrong.stderr
