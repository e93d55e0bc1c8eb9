"""Files below a folder, and what tells contents apart. Which are found: tests/pipelines/test_ingest_plan.py."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest

from vimoclip.errors import VideoError
from vimoclip.video.files import StoredFile, content_hash, videos_under


def test_the_hash_is_of_the_whole_content(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    (tmp_path / "b").write_bytes(data[:-1] + b"x")
    assert content_hash(str(tmp_path / "a")) == f"blake2b-128:{hashlib.blake2b(data, digest_size=16).hexdigest()}"
    assert content_hash(str(tmp_path / "a")) != content_hash(str(tmp_path / "b"))


def test_a_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    problems: list[tuple[str, str]] = []
    assert list(videos_under(tmp_path, problems)) == [tmp_path / "a.mp4"] and not problems
    assert list(videos_under(tmp_path / "nowhere", problems)) == []
    assert problems == [(str(tmp_path / "nowhere"), "The folder cannot be listed: No such file or directory.")]


def test_what_systems_leave_behind_is_left_out_and_counted(tmp_path: Path) -> None:
    for name in (
        "site/IMG_0001.AVI",
        "site/@eaDir/IMG_0001.AVI/SYNOPHOTO_FILM_M.mp4",
        "$RECYCLE.BIN/S-1-5-21/$RABC.mp4",
        "#recycle/old.mp4",
        "deep/@Recycle/old.mp4",
        "deep/system volume information/a.mp4",
        ".Trash-1000/files/gone.mp4",
        "site/._IMG_0001.AVI",
        ".cache/b.mp4",
        "recycled panda/ok.mp4",
        "@eaDir of mine/ok.mp4",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    left_out: dict[str, int] = {}
    found = [file.relative_to(tmp_path).as_posix() for file in videos_under(tmp_path, [], left_out)]
    assert found == ["@eaDir of mine/ok.mp4", "recycled panda/ok.mp4", "site/IMG_0001.AVI"]
    assert left_out == {
        "@eaDir": 1,
        "$RECYCLE.BIN": 1,
        "#recycle": 1,
        "@Recycle": 1,
        "system volume information": 1,
        ".Trash-1000": 1,
        "._*": 1,
        ".*": 1,
    }


def test_a_system_folder_that_is_named_itself_is_looked_through(tmp_path: Path) -> None:
    (tmp_path / "#recycle").mkdir()
    (tmp_path / "#recycle" / "a.mp4").touch()
    assert list(videos_under(tmp_path / "#recycle", [])) == [tmp_path / "#recycle" / "a.mp4"]


def stored(path: Path) -> StoredFile:
    status = path.stat()
    return StoredFile(str(path), status.st_size, status.st_mtime_ns, content_hash(str(path)))


def test_a_path_is_not_an_identity(tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    file.write_bytes(b"first card")
    known = stored(file)
    known.check()
    os.utime(file, (1, 1))
    known.check()  # copied, touched: the content is the same
    file.write_bytes(b"other card")  # of the same size
    with pytest.raises(VideoError, match="has changed") as raised:
        known.check()
    assert raised.value.kind == "changed"
    # Of a video whose newer content was broken, the store has that content's size and date.
    changed = file.stat()
    broken = replace(known, mtime_ns=changed.st_mtime_ns, error_kind="unreadable")
    with pytest.raises(VideoError, match="has changed"):
        broken.check()
    file.write_bytes(b"first card")
    replace(broken, bytes=3).check()  # the first one is back
    file.unlink()
    with pytest.raises(VideoError, match="cannot be read") as raised:
        known.check()
    assert raised.value.kind == "unreadable"
