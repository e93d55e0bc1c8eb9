"""The other commands on a store with one video of every fate, and with ids that bite."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.runner import document, vimoclip
from tests.pipelines.runs import contents, ingest, statuses
from vimoclip.store.lock import writer_lock

HOSTILE = [
    "-dash.mp4",
    "Taï_T124/cafe\u0301.mp4",
    'it\'s "quoted".mp4',
    "x' OR '1'='1.mp4",
    "a  b %03d [bold]:dog:.mp4",
]


@pytest.fixture
def store(tmp_path: Path, clips: Path, tiny_model: str) -> Path:
    videos = tmp_path / "videos"
    sources = sorted(clips.rglob("*.mp4"))
    for name, source in zip(HOSTILE, sources, strict=False):
        (videos / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, videos / name)
    (videos / "broken.mp4").write_bytes(b"no video")
    ingest(videos, store=tmp_path / "store", model=tiny_model)
    return tmp_path / "store"


def test_status(store: Path) -> None:
    report = document("status", "--store", store)
    assert report["videos"] == {"ok": 5, "failed": 1}
    assert (report["frames"], report["failed"]) == (50, {"unreadable": 1})
    assert [feature["name"] for feature in report["features"]] == ["clip", "moclip"]
    result = vimoclip("status", "--store", store)
    assert result.exit_code == 0
    assert "starting" in result.stdout
    assert "vimoclip errors" in result.stdout


def test_status_says_who_is_writing_and_what_each_worker_does(store: Path) -> None:
    assert document("status", "--store", store)["writer"] is None
    with writer_lock(store) as lock:
        workers = [{"name": "GPU 0 of a", "frames": 1200, "frames_per_s": 41.26}]
        lock.publish({"workers": workers, "done": 3, "videos": 9})
        writer = document("status", "--store", store)["writer"]
        assert (writer["pid"], writer["workers"], writer["done"]) == (os.getpid(), workers, 3)
        shown = vimoclip("status", "--store", store).stdout
        assert f"process {os.getpid()} on " in shown and "3 of 9 videos done" in shown
        assert re.search(r"GPU 0 of a .* 1200 .* 41\.3 ", shown)
    assert document("status", "--store", store)["writer"] is None
    assert "written to" not in vimoclip("status", "--store", store).stdout


def test_status_does_not_name_a_writer_that_was_killed(store: Path) -> None:
    with writer_lock(store):
        left = (store / ".writer.json").read_text()
    (ended := subprocess.Popen(["true"])).wait()
    (store / ".writer.json").write_text(left.replace(f'"pid": {os.getpid()}', f'"pid": {ended.pid}'))
    assert document("status", "--store", store)["writer"] is None


def test_status_lists_every_id_exactly(store: Path) -> None:
    listed = document("status", "--videos", "--store", store)
    assert sorted(row["video_id"] for row in listed) == sorted([*HOSTILE, "broken.mp4"])
    shown = vimoclip("status", "--videos", "--store", store).stdout
    assert all(name in shown for name in HOSTILE)


def test_long_ids_stay_in_one_piece_when_piped(tmp_path: Path, clips: Path, tiny_model: str) -> None:
    videos = tmp_path / "videos" / ("a-site-with-a-name " * 5).strip() / ("and-a-camera " * 5).strip()
    videos.mkdir(parents=True)
    shutil.copy2(clips / "still" / "000.mp4", videos)
    ingest(tmp_path / "videos", store=tmp_path / "store", model=tiny_model)
    (video_id,) = statuses(tmp_path / "store")
    assert len(video_id) > 150
    command = [sys.executable, "-m", "vimoclip", "status", "--videos", "--store", str(tmp_path / "store")]
    assert video_id in subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_store_whose_name_looks_like_markup(tmp_path: Path, clips: Path, tiny_model: str) -> None:
    ingest(clips / "still", store=tmp_path / "st[/x]ore [bold]", model=tiny_model)
    assert "st[/x]ore [bold]" in vimoclip("status", "--store", tmp_path / "st[/x]ore [bold]").stdout


def test_errors(store: Path) -> None:
    (failure,) = document("errors", "--store", store)
    assert (failure["video_id"], failure["error_kind"], failure["attempts"]) == ("broken.mp4", "unreadable", 1)
    result = vimoclip("errors", "--store", store)
    assert "broken.mp4" in result.stdout
    assert "--retry-failed" in result.stdout


@pytest.mark.parametrize("video_id", HOSTILE)
def test_remove_and_undo_take_exactly_one_video(store: Path, video_id: str) -> None:
    before = contents(store)
    assert vimoclip("remove", "--store", store, "--", video_id).exit_code == 0
    assert [name for name, status in statuses(store).items() if status == "removed"] == [video_id]
    assert set(contents(store)["videos"]) == set(before["videos"]) - {video_id}
    assert vimoclip("remove", "--undo", "--store", store, "--", video_id).exit_code == 0
    assert contents(store) == before


def test_removing_an_unknown_video_changes_nothing_and_names_the_nearest(store: Path) -> None:
    before = contents(store)
    result = vimoclip("remove", "--store", store, "brokn.mp4", "--", "-dash.mp4")
    assert result.exit_code == 1
    assert "broken.mp4" in result.stderr
    assert contents(store) == before


def test_optimize_takes_removed_videos_off_the_disk(store: Path) -> None:
    vimoclip("remove", "--store", store, "--", *HOSTILE[:4])
    report = document("optimize", "--grace", "0", "--store", store)
    assert report["leftover_takes"] == 4
    assert report["bytes_after"] < report["bytes_before"]
    assert set(contents(store)["videos"]) == {HOSTILE[4]}
    assert document("verify", "--store", store) == []
    forgotten = document("remove", "--undo", "--store", store, "--", HOSTILE[0])
    assert forgotten["forgotten"] == [HOSTILE[0]]
    assert HOSTILE[0] not in statuses(store)


def test_verify(store: Path) -> None:
    result = vimoclip("verify", "--store", store)
    assert (result.exit_code, "whole" in result.stdout) == (0, True)
    shutil.rmtree(store / "flow.lance")
    result = vimoclip("verify", "--store", store)
    assert result.exit_code == 1
    assert "missing-table" in result.stdout


def test_labels_reach_the_ids_they_name(store: Path, tmp_path: Path) -> None:
    import csv

    file = tmp_path / "more.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        rows = [("filepath", "label", "start_s", "end_s"), *((name, "seen", "0.1", "0.3") for name in HOSTILE)]
        csv.writer(out).writerows(rows)
    assert vimoclip("label", file, "--store", store).exit_code == 0
    assert contents(store)["labels"] == {(name, "seen", 0.1, 0.3) for name in HOSTILE}
    file.write_text("filepath,label\nno-such.mp4,x\nbroken.mp4,y\n")
    result = vimoclip("label", file, "--store", store)
    assert result.exit_code == 3
    assert "not in the store: no-such.mp4" in result.stderr
    report = document("label", file, "--store", store)
    assert (report["videos"], report["unknown"], report["changed"]) == (1, ["no-such.mp4"], 0)


def test_what_a_label_file_says_of_no_place_in_a_video_is_counted_and_named(store: Path, tmp_path: Path) -> None:
    columns = ("Observation id", "Media file name", "Subject", "Behavior", "Behavior type", "Time")
    events = [
        *(("late", "START", "0.1"), ("late", "STOP", "99"), ("alone", "START", "0.2")),
        *(("after", "START", "50"), ("after", "STOP", "60"), ("seen", "START", "0"), ("seen", "STOP", "0.2")),
    ]
    rows = [columns, *(("o", f"C:\\videos\\{HOSTILE[0]}", "Ada", *event) for event in events)]
    rows += [("p", "gone.mp4", "", "seen", "POINT", "0"), ("q", "NA", "", "seen", "POINT", "0")]
    file = tmp_path / "events.tsv"
    file.write_text("\n".join("\t".join(row) for row in rows))
    result = vimoclip("label", file, "--store", store)
    assert result.exit_code == 3
    report = document("label", file, "--store", store)
    assert (report["videos"], report["labels"], report["changed"], report["unknown"]) == (1, 2, 0, ["gone.mp4"])
    ends = {label: end for _, label, _, end in contents(store)["labels"]}
    assert set(ends) == {"late", "seen"}
    assert ends["seen"] == 0.2 < ends["late"] < 1
    assert report["unpaired"] == ["line 4: start of 'alone' of Ada of o at 0.2 s"]
    assert report["unplaced"] == ["line 10: point of 'seen' of q at 0 s (no video)"]
    end = f"and the video ends at {ends['late']:g} s"
    assert report["past_end"] == [
        f"{HOSTILE[0]}: 'after' from 50 s to 60 s, {end}",
        f"{HOSTILE[0]}: 'late' from 0.1 s to 99 s, {end}",
    ]
    shown = [f"cut or left out: {report['past_end'][0]}", f"not paired: {report['unpaired'][0]}"]
    assert [line for line in shown if line not in result.stderr.replace("\n", " ")] == []
    assert document("verify", "--store", store) == []
    again = document("ingest", tmp_path / "videos", "--labels", file, "--store", store)
    assert again["labels"][0] == report
    result = vimoclip("ingest", tmp_path / "videos", "--labels", file, "--store", store)
    assert "2 labels end after their video, and were cut or left out: " in result.stderr


def test_label_needs_a_file_or_folders(store: Path) -> None:
    assert vimoclip("label", "--store", store).exit_code == 2
    assert vimoclip("label", "x.csv", "--from-folders", "--store", store).exit_code == 2
    assert vimoclip("label", "--from-folders", "--store", store).exit_code == 0
    assert contents(store)["labels"] == {(HOSTILE[1], "Taï_T124", float("-inf"), float("inf"))}


@pytest.mark.parametrize(
    "command",
    [["status"], ["errors"], ["verify"], ["label", "--from-folders"], ["remove", "a"], ["optimize"], ["export", "out"]],
)
def test_without_a_store_every_command_says_how_to_make_one(tmp_path: Path, command: list[str]) -> None:
    result = vimoclip(*command, "--store", tmp_path / "nowhere")
    assert result.exit_code == 1
    assert "vimoclip ingest" in result.output
    assert not (tmp_path / "nowhere").exists()


def test_doctor(store: Path) -> None:
    checks = {check["name"]: check for check in document("doctor", "--store", store)}
    assert all(check["ok"] for check in checks.values())
    assert {"torch", "package cli", "device", "decoder", "store"} <= set(checks)
    assert vimoclip("doctor", "--store", store).exit_code == 0
