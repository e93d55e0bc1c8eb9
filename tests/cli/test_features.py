"""`embed` and `features` as they are typed: what they say, what they print for programs, how they end."""

import shlex
import shutil
from pathlib import Path

import pytest

from tests.cli.runner import document, vimoclip
from tests.models import write_tiny_clip
from tests.pipelines.runs import ingest
from vimoclip.store.feature_store import FeatureStore


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> Path:
    """A store of two videos beside another model, `model`. Not to be written to."""
    folder = tmp_path_factory.mktemp("made")
    for n, clip in enumerate(sorted(clips.rglob("*.mp4"))[:2]):
        (folder / "videos").mkdir(exist_ok=True)
        shutil.copy2(clip, folder / "videos" / f"{n}.mp4")
    ingest(folder / "videos", store=folder / "store", model=tiny_model)
    write_tiny_clip(folder / "model", seed=2)
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    """Its copy."""
    shutil.copytree(made / "store", tmp_path / "store")
    return tmp_path / "store"


def test_embed_list_rename_drop(made: Path, store: Path) -> None:
    model = f"local-dir:{made / 'model'}"
    result = vimoclip("embed", "--model", model, "--as", "second", "--precision", "fp32", "--store", store)
    assert result.exit_code == 0, result.output
    assert "2 videos to look into, 0 known." in result.stderr and "on cpu." in result.stderr
    assert "vimoclip features" in result.stderr
    report = document("embed", "--as", "second", "--store", store)
    assert (report["known"], report["embedded"], report["complete"]) == (2, 0, True)
    listed = document("features", "--store", store)
    assert [(feature["name"], feature["state"]) for feature in listed] == [
        ("clip", "own"),
        ("moclip", "own"),
        ("second", "added"),
    ]
    assert listed[2]["preprocessing"]["size"] == 32
    shown = vimoclip("features", "--store", store).stdout
    assert "second" in shown and "fixed" in shown
    assert document("features", "rename", "second", "third", "--store", store) == {"renamed": "second", "to": "third"}
    assert "third" in FeatureStore.open(store).frames().column_names
    for taken, hint in (("third", "or `vimoclip features drop third` first"), ("clip", "Choose another name.")):
        refused = vimoclip("features", "rename", "third", taken, "--store", store)
        said = " ".join(refused.stderr.split())
        assert refused.exit_code == 1 and f"already has a feature {taken}" in said and hint in said
    refused = vimoclip("features", "rename", "third", "take", "--store", store)  # a column, not a feature
    assert refused.exit_code == 1 and "Choose another name." in refused.stderr and "--as" not in refused.stderr
    assert "`vimoclip optimize`" in vimoclip("features", "drop", "third", "--store", store).stderr
    assert [feature["name"] for feature in document("features", "--store", store)] == ["clip", "moclip"]


def test_what_failed_is_listed_and_ends_with_3(made: Path, store: Path, tmp_path: Path) -> None:
    moved, other = tmp_path / "videos", tmp_path / "it's my store"
    shutil.copytree(made / "videos", moved)
    ingest(moved, store=other, model=FeatureStore.open(store).config.clip.model)
    (moved / "0.mp4").unlink()
    model = f"local-dir:{made / 'model'}"
    result = vimoclip("embed", "--model", model, "--as", "second", "--store", other)
    assert result.exit_code == 3
    assert "unreadable" in result.stderr and "vimoclip embed --as second" in result.stderr
    shown = vimoclip("features", "--store", other)
    _, *again = shlex.split(shown.stderr.splitlines()[-1].removeprefix("Next: "))
    assert again == ["embed", "--as", "second", "--store", str(other)]
    assert vimoclip("verify", "--store", other).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["embed", "--as", "second"], 1, "no model was named"),
        (["embed", "--as", "clip", "--model", "ViT-B-32"], 1, "of this name already"),
        (["embed", "--as", "A B", "--model", "ViT-B-32"], 1, "cannot have this name"),
        (["embed", "--as", "second", "--model", "ViT-B-3"], 1, "ViT-B-32"),
        (["embed", "--model", "ViT-B-32"], 2, "--as"),
        (["features", "drop", "clip"], 1, "the store's own"),
        (["features", "drop", "second"], 1, "no feature second"),
        (["features", "rename", "moclip", "second"], 1, "the store's own"),
        (["features", "rename", "second"], 2, "rename OLD NEW"),
        (["features", "forget"], 2, "forget"),
        (["features", "list", "clip"], 2, "takes 0 names"),
    ],
)
def test_what_cannot_be_done(store: Path, arguments: list[str], code: int, said: str) -> None:
    result = vimoclip(*arguments, "--store", store)
    assert result.exit_code == code, result.output
    assert said in result.output
    assert [feature["name"] for feature in document("features", "--store", store)] == ["clip", "moclip"]


def test_without_a_store(tmp_path: Path) -> None:
    for arguments in (["embed", "--as", "x", "--model", "ViT-B-32"], ["features"], ["features", "drop", "x"]):
        result = vimoclip(*arguments, "--store", tmp_path / "none")
        assert result.exit_code == 1
        assert "There is no store at" in result.stderr
    assert not (tmp_path / "none").exists()
