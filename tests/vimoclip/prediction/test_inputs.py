"""What names mean: files, folders, ids, paths and patterns, of stored videos and of others."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.vimoclip.stores import make_store, ok_row
from vimoclip.errors import SourceError
from vimoclip.frames import VideoFailed
from vimoclip.prediction.inputs import resolve_videos
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.video.files import content_hash

IDS = {"site/a.mp4": 2, "site/b.MP4": 2, "x' OR '1'='1.mp4": 2, "[1].mp4": 2, "caf\u00e9*.mp4": 2}


@pytest.fixture
def store(tmp_path: Path) -> FeatureStore:
    """A store whose videos are files of this disk, one of which is no more; one that failed and one that is a copy."""
    made = make_store(tmp_path / "store", IDS)
    with writer_lock(made.place):
        writer = StoreWriter(made)
        for row in made.rows():
            path = tmp_path / "videos" / row.video_id
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(row.video_id.encode() * 100)
            stat = path.stat()
            place = {"path": str(path), "root": str(tmp_path / "videos"), "bytes": stat.st_size}
            facts = place | {"mtime_ns": stat.st_mtime_ns, "content_hash": content_hash(str(path))}
            writer.put(replace(row, **facts))  # type: ignore[arg-type]
        for name, status, other in (("bad.mp4", "failed", None), ("copy.mp4", "duplicate", "site/a.mp4")):
            row = ok_row(name, 0, 1, made.fingerprint, status=status, duplicate_of=other)
            kind = {"error_kind": "encrypted", "error": "It is encrypted."} if status == "failed" else {}
            writer.put(replace(row, take=None, frames=None, **kind))  # type: ignore[arg-type]
        writer.flush()
    (tmp_path / "videos" / "site" / "b.MP4").unlink()
    return made.refresh()


def videos(store: FeatureStore, *names: str | Path) -> list[tuple[str, bool]]:
    found, failed = resolve_videos(store, names)
    assert not failed
    return [(each.video, each.row is not None) for each in found]


def test_a_stored_video_by_whatever_name(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / "videos")
    elsewhere = Path(shutil.copy("site/a.mp4", tmp_path / "elsewhere.mp4"))
    for name in ("site/a.mp4", "./site/a.mp4", tmp_path / "videos/site/a.mp4", elsewhere, "copy.mp4", "s*/a*", "site"):
        assert videos(store, name) == [("site/a.mp4", True)]
    for name in ("site/b.MP4", tmp_path / "videos/site/b.MP4", "site/[ab].MP4"):
        assert videos(store, name) == [("site/b.MP4", True)]
    for name in IDS:
        assert videos(store, name) == [(name, True)]
    assert [name for name, _ in videos(store, "*")] == sorted(IDS)
    assert videos(store, "x' OR '1'='1.mp4", "*")[0] == ("x' OR '1'='1.mp4", True)


def test_each_once_in_the_order_of_the_names(store: FeatureStore, tmp_path: Path) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for name in ("z.mp4", "y.MOV", ".hidden.mp4", "notes.txt"):
        (new / name).write_bytes(name.encode())
    names: list[str | Path] = [new, new / "z.mp4", "[1].mp4", f"{new}/../new/y.MOV", "[1].mp4"]
    assert videos(store, *names) == [(f"{new}/y.MOV", False), (f"{new}/z.mp4", False), ("[1].mp4", True)]


def test_a_file_that_has_changed_since_is_another_video(store: FeatureStore, tmp_path: Path) -> None:
    path = tmp_path / "videos" / "site" / "a.mp4"
    os.utime(path, (1, 1))
    assert videos(store, path) == [("site/a.mp4", True)]
    path.write_bytes(b"X" * path.stat().st_size)
    assert videos(store, path, "site/a.mp4") == [(str(path), False), ("site/a.mp4", True)]


def test_a_video_without_frames_says_why(store: FeatureStore) -> None:
    found, failed = resolve_videos(store, ["bad.mp4", "bad.mp4", "site/a.mp4"])
    assert [each.video for each in found] == ["site/a.mp4"]
    assert failed == [
        VideoFailed("bad.mp4", "encrypted", "It has no frames in the store: it is failed. It is encrypted.")
    ]


@pytest.mark.parametrize("name", ["site/c.mp4", "", "no*thing", "a\0b", "x" * 5000])
def test_names_of_nothing(store: FeatureStore, name: str) -> None:
    with pytest.raises(SourceError, match="no such file, and no such video"):
        resolve_videos(store, [name])


def test_a_stored_video_in_another_spelling(store: FeatureStore) -> None:
    for name in ("SITE/A.mp4", "cafe\u0301*.mp4", "Caf\u00c9*.MP4"):
        assert videos(store, name) == [("site/a.mp4" if "/" in name else "caf\u00e9*.mp4", True)]
    assert videos(store, "cafe\u0301*") == [("caf\u00e9*.mp4", True)]
    (failed,) = resolve_videos(store, ["BAD.mp4"])[1]
    assert failed.kind == "encrypted"
    with pytest.raises(SourceError, match=r"Did you mean site/b\.MP4\?"):
        resolve_videos(store, ["b"])


def test_the_nearest_ids_are_named(store: FeatureStore) -> None:
    with pytest.raises(SourceError, match=r"Expected: .*site/a\.mp4"):
        resolve_videos(store, ["site/aa.mp4"])


def test_a_folder_without_videos(store: FeatureStore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="No videos were found"):
        resolve_videos(store, [tmp_path / "empty"])


def test_a_file_that_cannot_be_read_or_named(store: FeatureStore, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path / "odd") + b"\xff.mp4"
    Path(os.fsdecode(odd)).write_bytes(b"1")
    found, failed = resolve_videos(store, [os.fsdecode(odd)])
    assert not found and [each.kind for each in failed] == ["unreadable"]
    failed[0].video_id.encode()
