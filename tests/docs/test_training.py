"""Every command of docs/training.md, in order, on a store of small clips."""

import json
from pathlib import Path

import polars as pl
import pytest

from pipelines.ablate import ROWS
from tests.cli.runner import vimoclip
from tests.clips import BEHAVIOURS, write_folder
from tests.docs.pages import commands, run, small
from vimoclip.store.feature_store import FeatureStore

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = "docs/training.md"
ON_RAY = "vimoclip ablate --preset paper --engine ray --side-by-side 4"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, tiny_model: str) -> Path:
    """A folder with a store of the default's name."""
    folder = tmp_path_factory.mktemp("page")
    write_folder(folder / "clips", clips_per_behaviour=4, frames=6, size=(64, 48))
    made = vimoclip("ingest", folder / "clips", "--store", folder / "vimoclip-store", "--clip-model", tiny_model)
    assert made.exit_code == 0, made.stderr
    return folder


def test_the_commands(here: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here)
    lines = commands(PAGE)
    said = run([line for line in lines if line != ON_RAY], small(tiny_model))
    assert "AP %" in said["evaluate runs/cross-1a2b3c4d --split val --classes"]
    (ablation,) = Path("runs").glob("ablation-*")
    results = json.loads((ablation / "results.json").read_text())
    assert {row["fusion"] for row in results["rows"]} <= set(ROWS)
    features = FeatureStore.open("vimoclip-store").features
    assert {name: features[name].training for name in features if name != "clip"} == {
        "moclip": "trained", "moclip_trained": "trained", "mbh": "fixed",
    }  # fmt: skip
    assert pl.read_csv(ablation / "results.csv")["seed"].max() == 49 + 4


def test_side_by_side(here: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ON_RAY in commands(PAGE)
    monkeypatch.chdir(here)  # a worker of Ray stands elsewhere, and finds what is named from here
    Path("groups.csv").write_text("label,segment\n" + "".join(f"{name},head\n" for name in BEHAVIOURS))
    two = ["--rows", "image", "--seeds", "2", "--run", "runs/ray", "--class-groups", "groups.csv"]
    run([ON_RAY], {**small(tiny_model), ON_RAY: two})
    assert set(pl.read_csv("runs/ray/results.csv")["seed"]) == {49, 50}
