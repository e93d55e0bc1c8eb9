"""The folder of an export is whole or not there, whoever dies and whatever is in the way; nothing else is touched."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.export import Format
from pipelines.export.folder import MARK
from pipelines.export.run import run
from tests.disks import mount, small_disk
from tests.vimoclip.stores import make_store
from vimoclip.errors import ExportError
from vimoclip.progress import Progress
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import ObjectStorePrefix

FORMS: list[Format] = ["parquet", "arrow", "npz", "datasets"]
KILLS = [*((form, "writing") for form in FORMS), ("npz", "before"), ("npz", "after")]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def killed(store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which exports were killed, `<format>-<moment>`."""
    folder = tmp_path_factory.mktemp("killed")
    victims = []
    for form, moment in KILLS:
        program = [sys.executable, "-m", "tests.pipelines.export.target"]
        victims.append(subprocess.Popen([*program, str(store.place), str(folder / f"{form}-{moment}"), form, moment]))
    assert [victim.wait(120) for victim in victims] == [-9] * len(KILLS)
    return folder


@pytest.mark.parametrize(("form", "moment"), [kill for kill in KILLS if kill[1] != "after"])
def test_a_kill_leaves_nothing_that_looks_whole_and_a_rerun_clears_it(
    store: FeatureStore, killed: Path, tmp_path: Path, form: Format, moment: str
) -> None:
    out, left = killed / f"{form}-{moment}", killed / f".{form}-{moment}.unfinished"
    assert not out.exists()
    assert (left / MARK).is_file()
    assert len(files(left)) > 1  # it was not killed too soon
    (left / "data").mkdir(exist_ok=True)
    (left / "data" / "old").write_text("of another form")
    run(store.place, out, form)
    assert not left.exists()
    run(store.place, tmp_path / "whole", form)
    assert files(out) == files(tmp_path / "whole")


def test_a_kill_at_the_very_end_leaves_a_whole_export(store: FeatureStore, killed: Path, tmp_path: Path) -> None:
    run(store.place, tmp_path / "whole", "npz")
    assert files(killed / "npz-after") == files(tmp_path / "whole") | {MARK: b""}
    assert not (killed / ".npz-after.unfinished").exists()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_what_is_interrupted_is_cleared_away(
    store: FeatureStore, tmp_path: Path, form: Format, error: type[BaseException]
) -> None:
    class Stops(Progress):
        def advance(self, n: int = 1, note: str | None = None) -> None:
            assert (tmp_path / ".out.unfinished").is_dir()
            raise error

    with pytest.raises(error):
        run(store.place, tmp_path / "out", form, progress=Stops())
    assert list(tmp_path.iterdir()) == []


def test_two_exports_to_one_folder_do_not_mix(store: FeatureStore, tmp_path: Path) -> None:
    refused = []

    class Other(Progress):
        def advance(self, n: int = 1, note: str | None = None) -> None:
            with pytest.raises(ExportError, match=r"Another process is exporting to .*out") as caught:
                run(store.place, tmp_path / "out", "arrow")
            refused.append(caught.value)

    run(store.place, tmp_path / "out", "parquet", progress=Other())
    assert refused
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".parquet", ".json"}


def test_what_is_in_use_is_refused_and_left_alone(store: FeatureStore, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    for out in (full, full / "mine.txt"):
        with pytest.raises(ExportError, match=rf"{out} is in use\."):
            run(store.place, out, "parquet")
    run(store.place, tmp_path / "done", "npz")
    before = files(tmp_path)
    with pytest.raises(ExportError, match="in use"):
        run(store.place, tmp_path / "done", "npz")
    assert files(tmp_path) == before


@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_is_not_ours_is_not_cleared_away(store: FeatureStore, tmp_path: Path, kind: str) -> None:
    left = tmp_path / ".out.unfinished"
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / MARK).touch()
    if kind == "file":
        left.write_text("mine")
    elif kind == "folder":
        left.mkdir()
        (left / "mine").write_text("mine")
    else:
        left.symlink_to(tmp_path / "mine")
    before = files(tmp_path)
    with pytest.raises(ExportError, match=r"not ours.*\.out\.unfinished"):
        run(store.place, tmp_path / "out", "parquet")
    assert files(tmp_path) == before


def test_where_an_export_can_go(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    (tmp_path / ".again.unfinished").mkdir()  # a kill between two calls leaves one like that
    for out in ("empty", "link", "a/b/c", "Taï 猿 [x] 'y'", "-rf", "a.npz", "again"):
        run(store.place, tmp_path / out, "arrow")
        assert (tmp_path / out / "frames.arrow").is_file()
        assert not (tmp_path / out / MARK).exists()
    monkeypatch.chdir(tmp_path)
    run(store.place, Path("~no such user/out"), "arrow")
    assert (tmp_path / "~no such user" / "out" / "frames.arrow").is_file()
    assert (tmp_path / "link").is_symlink()
    assert [path for path in tmp_path.rglob("*") if "unfinished" in path.name] == []


@pytest.mark.parametrize("inside", [".", "exports/one", "../store/frames.lance/x"])
def test_an_export_may_not_lie_in_the_store(tmp_path: Path, inside: str) -> None:
    store = make_store(tmp_path / "store")
    before = files(tmp_path)
    with pytest.raises(ExportError, match="may not lie in the store"):
        run(store.place, tmp_path / "store" / inside, "parquet")
    assert files(tmp_path) == before


def test_an_export_is_no_object(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExportError, match=r"written to a disk.*s3:/bucket/out"):
        run(store.place, Path("s3://bucket/out"), "parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_store_in_a_bucket_can_be_exported(remote: str, tmp_path: Path) -> None:
    stored = make_store(remote)
    assert isinstance(stored.place, ObjectStorePrefix)
    run(remote, tmp_path / "out", "npz")
    make_store(tmp_path / "store")
    run(tmp_path / "store", tmp_path / "same", "npz")
    one, other = files(tmp_path / "out"), files(tmp_path / "same")
    assert {name for name in one if one[name] != other.get(name)} <= {"features.json", "videos.json"}  # versions, takes


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path, form: Format) -> None:
    store = make_store(tmp_path / "store", {f"{n}.mp4": 100 for n in range(8)}, {"clip": 512})
    with small_disk(tmp_path / "disk", "512k") as disk:
        with pytest.raises(ExportError, match=r"No space is left for .*out\. Nothing of it was kept"):
            run(store.place, disk / "out", form)
        assert list(disk.iterdir()) == []


def test_a_read_only_disk_is_said(store: FeatureStore, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "6m") as disk:
        mount("-o", "remount,ro", str(disk))
        for out in (disk / "out", disk / "a" / "out"):
            with pytest.raises(ExportError, match=r"out cannot be written\. Received: Read-only file system"):
                run(store.place, out, "parquet")
    with pytest.raises(ExportError, match="cannot be written"):
        run(store.place, Path("/dev/null/out"), "parquet")
    with pytest.raises(ExportError, match=r"cannot be written.*File name too long"):
        run(store.place, tmp_path / ("x" * 250), "parquet")
