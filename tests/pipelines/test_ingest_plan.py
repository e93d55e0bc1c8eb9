"""Which files are found, and their ids."""

import os
from pathlib import Path

import numpy as np
import pytest

from pipelines.ingest_plan import discover
from vimoclip.errors import SourceError
from vimoclip.video.encode import write_clip


def ids(*paths: Path, prefix: str | None = None) -> list[str]:
    return [source.video_id for source in discover(paths, prefix).videos]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(name.encode())
    return root


def test_every_common_suffix_in_any_case_however_deep(tmp_path: Path) -> None:
    names = ["a.mp4", "B.AVI", "deep/er/C.Mov", "deep/d.mkv", "e.webm", "f.ASF", "g.mpg", "h.3gp", "i.ts", "j.GIF"]
    touch(tmp_path, *names, "labels.csv", "notes.txt", "k.jpg", "mp4")
    assert sorted(ids(tmp_path)) == sorted(names)


def test_ids_are_the_relative_paths_unchanged(tmp_path: Path) -> None:
    names = [
        "Taï_T124/x.avi",
        "cafe\u0301.mp4",
        "caf\u00e9.mp4",
        'it\'s "it".mp4',
        "-dash.mp4",
        "x' OR '1'='1.mp4",
        "a  b.mp4",
    ]
    assert sorted(ids(touch(tmp_path, *names))) == sorted(names)


def test_what_is_no_regular_file_is_a_problem_and_never_opened(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    found = discover([tmp_path])
    assert [source.video_id for source in found.videos] == ["a.mp4"]
    assert found.problems == [(str(tmp_path / "pipe.mp4"), "It is not a regular file.")]


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    assert ids(touch(tmp_path, "._IMG_1.MP4", ".Trash/a.mp4", "IMG_1.MP4")) == ["IMG_1.MP4"]


def test_several_folders_are_told_apart_by_name(tmp_path: Path) -> None:
    touch(tmp_path, "siteA/IMG_1.AVI", "siteB/IMG_1.AVI")
    assert ids(tmp_path / "siteA", tmp_path / "siteB") == ["siteA/IMG_1.AVI", "siteB/IMG_1.AVI"]
    assert ids(tmp_path / "siteA", prefix="2024/") == ["2024/IMG_1.AVI"]
    assert ids(tmp_path / "siteA", tmp_path / "siteA") == ["IMG_1.AVI"]


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "x/site/IMG_1.AVI", "y/site/IMG_1.AVI")
    with pytest.raises(SourceError, match="--as PREFIX"):
        ids(tmp_path / "x" / "site", tmp_path / "y" / "site")


def test_a_file_named_itself_belongs_to_its_folder(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.mp4", "odd.suffix")
    assert ids(tmp_path / "b.mp4", tmp_path / "odd.suffix") == ["b.mp4", "odd.suffix"]
    assert discover([tmp_path / "b.mp4"]).roots == [tmp_path]


def test_a_folder_inside_another_adds_nothing(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a/1.mp4", "videos/b/2.mp4")
    found = discover([tmp_path / "videos", tmp_path / "videos" / "a"])
    assert [source.path for source in found.videos] == [
        str(tmp_path / "videos" / name) for name in ("a/1.mp4", "b/2.mp4")
    ]


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "videos/a.mp4", "elsewhere/b.mp4")
    (tmp_path / "videos" / "loop").symlink_to(tmp_path / "videos")
    (tmp_path / "videos" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "videos" / "broken.mp4").symlink_to(tmp_path / "nowhere.mp4")
    assert sorted(ids(tmp_path / "videos")) == ["a.mp4", "link/b.mp4"]


def test_a_name_that_is_not_unicode_is_named_and_the_rest_go_on(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")).write_bytes(b"x")
    found = discover([tmp_path])
    assert [source.video_id for source in found.videos] == ["a.mp4"]
    assert [why.split(",")[0] for _, why in found.problems] == ["Its name is not valid unicode"]
    assert [source.video_id for source in found.misnamed] == ["\\xff.mp4"]
    touch(tmp_path, "\\xff.mp4")
    found = discover([tmp_path], "site")
    assert [source.video_id for source in found.videos] == ["site/\\xff.mp4", "site/a.mp4"]
    assert [source.video_id for source in found.misnamed] == ["site/\\xff.mp4~"]


def test_missing_and_empty_folders_are_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file or folder"):
        discover([tmp_path / "nowhere"])
    with pytest.raises(SourceError, match="No videos were found"):
        discover([touch(tmp_path, "notes.txt")])


def test_videos_under_other_suffixes_are_counted_and_not_read(tmp_path: Path) -> None:
    for name in ("a.mp4", "recorder.dat", "no-suffix"):
        write_clip(tmp_path / "a.mp4", iter([np.full((48, 64, 3), n, np.uint8) for n in range(4)]), 10.0)
        if name != "a.mp4":
            (tmp_path / "a.mp4").rename(tmp_path / name)
    write_clip(tmp_path / "a.mp4", iter([np.full((48, 64, 3), n, np.uint8) for n in range(4)]), 10.0)
    (tmp_path / "notes.txt").write_text("a.mp4\n")
    (tmp_path / ".hidden.dat").write_bytes((tmp_path / "recorder.dat").read_bytes())
    found = discover([tmp_path])
    assert [source.video_id for source in found.videos] == ["a.mp4"]
    assert found.unread == [str(tmp_path / "no-suffix"), str(tmp_path / "recorder.dat")]
    assert [source.video_id for source in discover([tmp_path / "recorder.dat"]).videos] == ["recorder.dat"]
    assert discover([tmp_path, tmp_path / "recorder.dat"]).unread == [str(tmp_path / "no-suffix")]
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(SourceError, match=r"2 files look like videos, such as .*no-suffix"):
        discover([tmp_path])
