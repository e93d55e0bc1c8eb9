"""`vimoclip export`: what it says, to people and to programs, and that it loads no model."""

import pathlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pytest

from tests.cli.runner import document, vimoclip
from tests.pipelines.export.scene import HOSTILE, export_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("export") / "st[x]ore [bold]"
    export_store(where)
    return where


@pytest.mark.parametrize("form", ["parquet", "arrow", "npz", "datasets"])
def test_its_last_line_reads_what_it_wrote(
    store: Path, tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / ('it\'s "[bold]" 猿' if form != "datasets" else 'it\'s "bold" 猿')
    result = vimoclip("export", out, "--format", form, "--store", store)
    assert result.exit_code == 0, result.output
    assert f"Exported to {out}" in result.stderr
    line = result.stderr.strip().splitlines()[-1].partition("Next, in Python: ")[2]
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    if form == "npz":
        seen: list[str] = []
        names = {"numpy": np, "pathlib": pathlib, "seen": seen}
        exec(f"{line}; seen.append(arrays['video_id'].item()); arrays.close()", names)
        assert sorted(seen) == sorted(HOSTILE)
        return
    found: Any = eval(line, {"polars": pl, "datasets": datasets, "pathlib": pathlib})
    if form == "datasets":
        assert sum(found.num_rows.values()) == len(HOSTILE)
        assert "The videos without a split are called unsplit there." in result.stderr
        assert "The split 'test set: 1/2' is called test_set__1_2 there." in result.stderr
        assert "'train'" not in result.stderr
    else:
        assert found["video_id"].n_unique() == len(HOSTILE)


def test_a_path_that_datasets_cannot_read_from_is_refused(store: Path, tmp_path: Path) -> None:
    result = vimoclip("export", tmp_path / "a[b]", "--format", "datasets", "--store", store)
    assert result.exit_code == 1
    assert "reads nothing from a folder whose path has *, ? or [" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_query_in_flags(store: Path, tmp_path: Path) -> None:
    flags = [
        "--split",
        "train",
        "--split",
        "test set: 1/2",
        "--label",
        "resting",
        "--feature",
        "bio",
        "--feature",
        "clip",
    ]
    report = document("export", tmp_path / "out", *flags, "--store", store)
    ids = {*HOSTILE[0::4], *HOSTILE[2::4]} & {*HOSTILE[::2]}
    assert (report["format"], report["videos"], report["features"]) == ("parquet", len(ids), ["clip", "bio"])
    assert (report["out"], report["split_names"]) == (str(tmp_path / "out"), {})
    frames = pl.read_parquet(tmp_path / "out" / "frames.parquet")
    assert set(frames["video_id"]) == ids
    assert report["frames"] == frames.height
    assert "moclip" not in frames.columns


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--split", "trian"], "Expected: train"),
        (["--label", "rest"], "Expected: resting"),
        (["--feature", "moclp"], "Expected: moclip"),
        (["--feature", "hidden"], "no such feature"),
    ],
)
def test_unknown_names_are_an_error_and_write_nothing(store: Path, tmp_path: Path, flags: list[str], said: str) -> None:
    result = vimoclip("export", tmp_path / "out", *flags, "--store", store)
    assert (result.exit_code, said in result.stderr) == (1, True)
    error = document("export", tmp_path / "out", *flags, "--store", store)["error"]
    assert error["kind"] == "ExportError"
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_an_error(store: Path) -> None:
    result = vimoclip("export", store.parent, "--store", store)
    assert result.exit_code == 1
    assert "is in use" in result.stderr


def test_wrong_calls(store: Path, tmp_path: Path) -> None:
    assert vimoclip("export", "--store", store).exit_code == 2
    assert vimoclip("export", tmp_path / "out", "--format", "hdf5", "--store", store).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_it_loads_no_model(store: Path, tmp_path: Path) -> None:
    script = """
import sys
from cli.main import app
for form in ("parquet", "npz", "datasets"):
    try:
        app(["export", f"{sys.argv[1]}/{form}", "--format", form, "--store", sys.argv[2]])
    except SystemExit as end:
        print(end.code)
print(*sys.modules)
"""
    command = [sys.executable, "-c", script, str(tmp_path), str(store)]
    *codes, modules = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert codes == ["0", "0", "0"]
    assert {"lance", "polars", "huggingface_hub"} <= set(modules.split())
    assert not {"torch", "ray", "open_clip", "av", "cv2"} & set(modules.split())
