"""A store in a bucket: the same commands, the same bits, and the same promises when something dies."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.reliability.compare import differences, store_digest
from tests.cli.runner import document, vimoclip
from tests.object_store import Server, serve
from vimoclip.store import lock
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import ObjectStorePrefix
from vimoclip.store.lock import current_writer
from vimoclip.store.verify import verify

SLOWLY = """
import sys
from vimoclip.store import lock, writer
lock.RENEW_S, lock.LAPSE_S = 0.2, 2.0
writer.FLUSH_ROWS = 12
from cli.main import app
app(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LAPSE_S", 2.0)
    monkeypatch.setattr(lock, "RENEW_S", 0.2)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> dict[str, str]:
    """What the same ingest leaves in a folder."""
    store = tmp_path_factory.mktemp("local") / "store"
    assert vimoclip("ingest", clips, "--store", store, "--clip-model", tiny_model).exit_code == 0
    return store_digest(store)


def test_every_command_works_as_in_a_folder(
    remote: str, clips: Path, tiny_model: str, local: dict[str, str], tmp_path: Path
) -> None:
    assert document("ingest", clips, "--store", remote, "--clip-model", tiny_model)["ingested"] == 10
    assert differences(local, store_digest(remote)) == []
    assert document("ingest", clips, "--store", remote)["known"] == 10
    status = document("status", "--store", remote)
    assert (status["store"], status["videos"], status["writer"]) == (remote, {"ok": 10}, None)
    assert status["bytes"] > 0
    (tmp_path / "more.csv").write_text("filepath,label\nstill/000.mp4,asleep\n")
    assert document("label", tmp_path / "more.csv", "--store", remote)["changed"] == 1
    assert document("remove", "still/001.mp4", "--store", remote)["changed"] == ["still/001.mp4"]
    assert vimoclip("optimize", "--grace", "0", "--store", remote).exit_code == 0
    assert document("verify", "--store", remote) == []
    assert vimoclip("doctor", "--store", remote).exit_code == 0
    after = store_digest(remote)
    assert [name for name in after if name.endswith(" still/001.mp4 clip")] == []
    assert "asleep" in after["labels"]
    said = vimoclip("ingest", clips, "--store", remote, "--clip-model", "ViT-B-32")
    assert said.exit_code == 1 and "was made with other settings" in said.stderr


def start(clips: Path, remote: str, model: str) -> subprocess.Popen[str]:
    """An ingest that commits every dozen frames; it has committed some by now."""
    command = [sys.executable, "-c", SLOWLY, "ingest", str(clips), "--store", remote, "--clip-model", model]
    process = subprocess.Popen([*command, "--batch-size", "4"], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not FeatureStore.exists(remote) or FeatureStore.open(remote).tables["frames"].count() == 0:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    return process


def test_a_killed_ingest_leaves_whole_videos_and_a_lease_that_lapses(
    remote: str, clips: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start(clips, remote, tiny_model)
    note = current_writer(remote)
    assert note is not None and note["pid"] == process.pid
    process.kill()
    process.communicate(timeout=30)
    assert [fault for fault in verify(remote) if not fault.harmless] == []
    left = len(FeatureStore.open(remote).live_takes())
    again = document("ingest", clips, "--store", remote)
    assert (again["known"], again["ingested"]) == (left, 10 - left)
    leftovers = verify(remote)  # a commit of the killed one's might still arrive: they stay for a while
    assert all(fault.harmless for fault in leftovers)
    monkeypatch.setattr(ObjectStorePrefix, "late_commit_s", 0.0)
    assert vimoclip("optimize", "--store", remote).exit_code == 0
    assert verify(remote) == []


def test_an_object_store_that_is_gone_ends_the_run_and_says_so(
    clips: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        process = start(clips, "s3://animals/store", tiny_model)
        server.process.kill()
        said = process.communicate(timeout=100)[1]
    assert process.returncode == 1, said
    assert "Traceback" not in said and "defect" not in said
    assert "s3://animals/store" in said and "safe" in said


def test_what_is_damaged_in_a_bucket_is_named(server: Server, remote: str, clips: Path, tiny_model: str) -> None:
    assert vimoclip("ingest", clips, "--store", remote, "--clip-model", tiny_model).exit_code == 0
    prefix = remote.removeprefix("s3://animals/")
    import obstore

    (data, *_) = server.objects(f"{prefix}/flow.lance/data")
    whole = bytes(obstore.get(server.client, data).bytes())
    obstore.put(server.client, data, whole[: len(whole) // 2])
    assert [(fault.name, fault.table) for fault in verify(remote)] == [("damaged-file", "flow")]
    obstore.delete(server.client, data)
    assert [(fault.name, fault.table) for fault in verify(remote)] == [("damaged-file", "flow")]
    obstore.put(server.client, data, whole)
    assert verify(remote) == []
    (manifest, *_) = server.objects(f"{prefix}/frames.lance/_versions")  # names count down: the newest comes first
    whole = bytes(obstore.get(server.client, manifest).bytes())
    obstore.put(server.client, manifest, whole[: len(whole) // 2])
    assert ("unreadable-table", "frames") in [(fault.name, fault.table) for fault in verify(remote)]
    failed = vimoclip("status", "--store", remote)
    assert failed.exit_code == 1 and "vimoclip verify" in failed.stderr
