"""Files below a folder, and what tells contents apart. Which are found: tests/pipelines/test_ingest_plan.py."""

import hashlib
from pathlib import Path

from vimoclip.video.files import content_hash, videos_under


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
