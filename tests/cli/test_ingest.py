"""`vimoclip ingest` as a user types it: messages, exit codes, JSON."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.runner import document, vimoclip
from vimoclip.store.feature_store import FeatureStore


@pytest.fixture
def videos(tmp_path: Path, savannah: Path) -> Path:
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("walking", "resting"):
        shutil.copy2(savannah / name / "000.mp4", folder / f"{name}.mp4")
    (folder / "labels.csv").write_text(
        "filepath,label,split,site\nwalking.mp4,walking;feeding,train,Taï\nlost.mp4,x,,\n"
    )
    return folder


def test_the_plain_command(videos: Path, tmp_path: Path, tiny_model: str) -> None:
    store = tmp_path / "store"
    result = vimoclip("ingest", videos, "--store", store, "--clip-model", tiny_model)
    assert result.exit_code == 0
    assert "2 videos in" in result.stderr
    assert "ingested" in result.stderr
    assert "lost.mp4" in result.stderr  # a label of a video that is not there is named
    assert f"vimoclip status --store {store}" in result.stderr
    again = vimoclip("ingest", videos, "--store", store)
    assert again.exit_code == 0
    assert "2 known" in again.stderr


def test_the_store_comes_from_the_environment(
    videos: Path, tmp_path: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIMOCLIP_STORE", str(tmp_path / "elsewhere"))
    assert vimoclip("ingest", videos, "--clip-model", tiny_model).exit_code == 0
    assert FeatureStore.exists(tmp_path / "elsewhere")


def test_json_is_one_document_and_progress_is_elsewhere(videos: Path, tmp_path: Path, tiny_model: str) -> None:
    report = document("ingest", videos, "--store", tmp_path / "s", "--clip-model", tiny_model)
    assert (report["ingested"], report["frames"], report["failed"]) == (2, 20, [])
    assert report["labels"][0]["unknown"] == ["lost.mp4"]


def test_a_failed_video_is_named_and_the_exit_code_is_3(videos: Path, tmp_path: Path, tiny_model: str) -> None:
    (videos / "bad.mp4").write_bytes(b"")
    result = vimoclip("ingest", videos, "--store", tmp_path / "s", "--clip-model", tiny_model)
    assert result.exit_code == 3
    assert "bad.mp4" in result.stderr
    assert "unreadable" in result.stderr
    assert "--retry-failed" in result.stderr
    again = vimoclip("ingest", videos, "--store", tmp_path / "s")
    assert again.exit_code == 0
    assert "1 failed before" in again.stderr


def test_settings_from_a_file_and_flags_over_it(videos: Path, tmp_path: Path, tiny_model: str) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(f'keep_flow = false\n[clip]\nmodel = "{tiny_model}"\nresize = "crop"\n[sampling]\nevery = 2\n')
    result = vimoclip("ingest", videos, "--store", tmp_path / "s", "--config", config, "--resize", "letterbox")
    assert result.exit_code == 0
    store = FeatureStore.open(tmp_path / "s")
    assert (store.config.clip.resize, store.config.sampling.every, store.config.keep_flow) == ("letterbox", 2, False)
    assert store.tables["flow"].count() == 0


def test_the_models_own_resize_stays_own_in_the_store(videos: Path, tmp_path: Path, tiny_model: str) -> None:
    arguments = ["ingest", str(videos), "--store", str(tmp_path / "s"), "--clip-model", tiny_model, "--resize"]
    assert vimoclip(*arguments, "own").exit_code == 0
    store = FeatureStore.open(tmp_path / "s")
    assert store.config.clip.resize == "own"
    assert '"resize": "squash"' in store.features["clip"].preprocessing
    again = vimoclip(*arguments, "own")
    assert (again.exit_code, "known" in again.stderr) == (0, True)
    clash = vimoclip(*arguments, "crop")
    assert (clash.exit_code, "resize is 'own' in the store" in " ".join(clash.stderr.split())) == (1, True)


def test_a_store_with_raft_needs_no_flag_again_and_refuses_another(
    videos: Path, tmp_path: Path, tiny_model: str
) -> None:
    store = ["ingest", str(videos), "--store", str(tmp_path / "s")]
    raft = ["--flow", "raft-small", "--flow-weights", "none", "--flow-updates", "1"]
    assert vimoclip(*store, "--clip-model", tiny_model, *raft).exit_code == 0
    for same in ([], ["--flow", "auto"], ["--flow", "raft-small"], ["--flow-weights", "none"], ["--flow-updates", "1"]):
        again = vimoclip(*store, *same)
        assert (again.exit_code, "2 known" in again.stderr) == (0, True), same
    for other, kept in (
        (["--flow", "dis"], "estimator is 'raft-small'"),
        (["--flow-weights", "C_T_V1"], "weights is 'none'"),
        (["--flow-updates", "2"], "updates is 1"),
    ):
        clash = vimoclip(*store, *other)
        assert (clash.exit_code, f"flow {kept} in the store" in " ".join(clash.stderr.split())) == (1, True), other


def test_a_config_with_an_unknown_setting_is_refused(videos: Path, tmp_path: Path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text("[clip]\nmodle = 'ViT-B-32'\n")
    result = vimoclip("ingest", videos, "--store", tmp_path / "s", "--config", config)
    assert result.exit_code == 1
    assert "modle" in result.stderr
    config.write_text("not toml")
    assert vimoclip("ingest", videos, "--store", tmp_path / "s", "--config", config).exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["/no/such/folder"], 1, "no such file or folder"),
        (["{empty}"], 1, "No videos were found"),
        (["{videos}", "--clip-model", "ViT-B-99"], 1, "ViT-B-32"),
        (["{videos}", "--fps", "0"], 1, "fps must be positive"),
        (["{videos}", "--fps", "5", "--every", "2"], 2, "fps or every, not both"),
        (["{videos}", "--labels", "/no/such.csv"], 1, "no/such.csv"),
        (["{videos}", "--store", "ftp://host/store"], 1, "not an address of an object store"),
        (["{videos}", "--device", "abacus"], 1, "no such device"),
        (["{videos}", "--timeout", "1e7"], 1, "timeout_s is too long"),
        (["{videos}", "--clip-weights", "none", "--preprocess", "openai"], 1, "brings its own preprocessing"),
        (["{videos}", "--resize", "stretch"], 2, "stretch"),
        ([], 2, "PATH"),
    ],
)
def test_bad_input_is_a_clear_error(
    videos: Path, tmp_path: Path, tiny_model: str, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    filled = [part.format(empty=tmp_path / "empty", videos=videos) for part in arguments]
    if "--store" not in filled:
        filled += ["--store", str(tmp_path / "s")]
    if filled[0] == str(videos) and "--clip-model" not in filled:
        filled += ["--clip-model", tiny_model]
    result = vimoclip("ingest", *filled)
    assert result.exit_code == code
    assert says in " ".join(result.stderr.split())
    assert not FeatureStore.exists(tmp_path / "s")


def test_errors_are_json_too(tmp_path: Path) -> None:
    assert document("ingest", "/no/such/folder", "--store", tmp_path / "s")["error"]["kind"] == "SourceError"
    assert "PATH" in document("ingest")["error"]["message"]
    assert "--bogus" in document("status", "--bogus")["error"]["message"]
    assert vimoclip("status", "--bogus").stdout == ""


def test_an_interruption_is_json_too(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.ingest.discover", interrupted)
    result = vimoclip("ingest", "--json", videos, "--store", tmp_path / "s")
    assert result.exit_code == 130
    assert json.loads(result.stdout)["error"]["kind"] == "KeyboardInterrupt"


def test_a_labels_file_that_is_about_something_else_can_be_left_out(
    videos: Path, tmp_path: Path, tiny_model: str
) -> None:
    (videos / "labels.csv").write_text("id,name\n1,x\n")
    arguments: list[str | Path] = ["ingest", videos, "--store", tmp_path / "s", "--clip-model", tiny_model]
    result = vimoclip(*arguments)
    assert result.exit_code == 1
    assert "--labels none" in result.stderr
    assert vimoclip(*arguments, "--labels", "none").exit_code == 0


def test_dry_run_says_what_would_be_done(videos: Path, tmp_path: Path) -> None:
    result = vimoclip("ingest", videos, "--store", tmp_path / "s", "--dry-run")
    assert result.exit_code == 0
    assert "would be looked into" in result.stderr
    assert not (tmp_path / "s").exists()
