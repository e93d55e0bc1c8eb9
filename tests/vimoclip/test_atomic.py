"""A file is replaced whole, or left as it was."""

import os
from pathlib import Path

import pytest

from tests.disks import small_disk
from vimoclip.atomic import atomic_write
from vimoclip.errors import RunError


def test_it_takes_the_files_place(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for text in ("one", "two"):
        with atomic_write(path) as beside:
            beside.write_text(text)
            assert not path.exists() or path.read_text() == "one"
        assert path.read_text() == text and list(path.parent.iterdir()) == [path]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("one")
    with pytest.raises(KeyError), atomic_write(path) as beside:
        beside.write_text("two")
        raise KeyError
    assert path.read_text() == "one" and list(tmp_path.iterdir()) == [path]


def test_it_is_on_the_disk_before_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "file", list[tuple[int, bool]]()

    def fsync(number: int) -> None:
        synced.append((os.fstat(number).st_ino, path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_write(path) as beside:
        beside.write_text("one")
    assert synced == [(path.stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:
        path = disk / "file"
        path.write_text("one")
        with pytest.raises(RunError, match="No space left"), atomic_write(path) as beside:
            beside.write_bytes(bytes(200_000))
        assert path.read_text() == "one" and list(disk.iterdir()) == [path]
