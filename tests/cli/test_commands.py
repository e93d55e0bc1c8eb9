"""The other commands on a store with one video of every fate, and with ids that bite."""

import io
import os
import shlex
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from cli import render
from schemas import FORMAT_VERSION
from tests.cli.runner import document, vimoclip
from tests.pipelines.runs import contents, ingest, statuses
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter

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
    assert "motion-boundaries" in result.stdout and "fixed" in result.stdout
    assert "vimoclip errors" in result.stderr


def test_status_says_who_is_writing_and_what_each_worker_does(store: Path) -> None:
    assert document("status", "--store", store)["writer"] is None
    with writer_lock(store) as lock:
        workers = [{"name": "GPU 0 of a", "frames": 1200, "frames_per_s": 41.26}]
        lock.publish({"workers": workers, "done": 3, "videos": 9})
        writer = document("status", "--store", store)["writer"]
        assert (writer["pid"], writer["workers"], writer["done"]) == (os.getpid(), workers, 3)
        shown = vimoclip("status", "--store", store)
        assert f"process {os.getpid()} on " in shown.stderr and "3 of 9 videos done" in shown.stderr
        assert "GPU 0 of a\t1200\t41.3\n" in shown.stdout
    assert document("status", "--store", store)["writer"] is None
    assert "written to" not in vimoclip("status", "--store", store).output


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
    assert "st[/x]ore [bold]" in vimoclip("status", "--store", tmp_path / "st[/x]ore [bold]").stderr


def test_errors(store: Path) -> None:
    (failure,) = document("errors", "--store", store)
    assert (failure["video_id"], failure["error_kind"], failure["attempts"]) == ("broken.mp4", "unreadable", 1)
    result = vimoclip("errors", "--store", store)
    assert result.stdout == f"broken.mp4\tfailed\tunreadable\t{failure['error']}\t1\n"
    assert "--retry-failed" in result.stderr


def fail(store: Path, kind: str, names: list[str], why: str, hint: str) -> None:
    """Put failures into a store that are not of its own files."""
    with writer_lock(store) as lock:
        writer = StoreWriter(FeatureStore.open(store), lock.check)
        row = replace(writer.videos["broken.mp4"], error_kind=kind)
        writer.put(*(replace(row, video_id=name, error=f"{why} {hint}".strip()) for name in names))
        writer.flush()


def test_a_file_whose_name_is_not_unicode_is_in_errors_until_it_is_renamed(store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    before = statuses(store)
    bad = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.mp4"))
    shutil.copy2(folder / HOSTILE[3], bad)
    for _ in range(2):
        result = vimoclip("ingest", folder, "--store", store)
        assert result.exit_code == 3 and "1 bad-name" in result.stderr
        assert statuses(store) == before | {"caf\\xe9.mp4": "failed"}
    shown = vimoclip("errors", "--store", store).stdout.splitlines()
    line = "caf\\xe9.mp4\tfailed\tbad-name\tIts name is not valid unicode, so it cannot be an id. Rename it.\t0"
    assert line in shown
    assert document("verify", "--store", store) == []
    vimoclip("remove", "--store", store, "caf\\xe9.mp4")
    vimoclip("ingest", folder / HOSTILE[0], "--store", store)
    assert statuses(store) == before | {"caf\\xe9.mp4": "removed"}
    bad.rename(folder / "café.mp4")
    assert vimoclip("ingest", folder, "--store", store, "--retry-failed").exit_code == 3  # broken.mp4
    assert statuses(store) == before | {"café.mp4": "duplicate"}


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> list[str]:
    """What a command prints to a terminal of 80 columns, line by line."""
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=80, color_system=None, soft_wrap=True)
    with monkeypatch.context() as context:
        context.setattr(render, "out", terminal)
        assert vimoclip(*arguments).exit_code == 0
    return file.getvalue().splitlines()


def test_errors_on_a_terminal_are_by_kind_and_a_line_each(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = [f"a site/{'a very long folder/' * 6}{n}.mp4" for n in range(3)]
    fail(store, "corrupt-after-7-frames", long[:2], "It decodes 7 frames. Received: Invalid data " * 3, "Keep them.")
    fail(store, "corrupt-after-12-frames", [*long[2:], "tab\tand\nline.mp4"], "It breaks. Received: x.", "Keep them.")
    lines = on_a_terminal(monkeypatch, "errors", "--store", store)
    assert [line for line in lines if not line.startswith(" ")] == ["4 corrupt-after-N-frames", "1 unreadable"]
    assert len(lines) == 2 + 5 + 2  # headings, videos, hints
    assert max(map(len, lines)) <= 80
    assert lines[1] == "  Keep them." and lines[-2] == "  Is it complete?"
    assert sum("Keep them." in line for line in lines) == 1
    assert "  tab\\tand\\nline.mp4: It breaks. Received: x." in lines
    assert all(any(f"{n}.mp4" in line for line in lines) for n in range(3))
    assert lines[-1].startswith("  broken.mp4: cannot be opened as a video. Received: ")
    piped = vimoclip("errors", "--store", store).stdout.splitlines()
    assert len(piped) == 5 and all(line.count("\t") == 4 for line in piped)
    assert {line.split("\t")[0] for line in piped} == {"broken.mp4", *long, "tab\\tand\\nline.mp4"}


def test_a_table_on_a_terminal_has_borders_and_in_a_pipe_tabs(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "┃" in "".join(on_a_terminal(monkeypatch, "status", "--videos", "--store", store))
    result = vimoclip("status", "--videos", "--store", store)
    head, *lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert head[:4] == ["video", "status", "frames", "seconds"]
    assert {line[0]: line[1] for line in lines} == statuses(store)
    assert {len(line) for line in lines} == {len(head)}
    assert "6 videos" in result.stderr and "6 videos" not in result.stdout


def test_a_reader_of_a_table_that_ends_early_is_no_defect(store: Path) -> None:
    fail(store, "unreadable", [f"{n:05}.mp4" for n in range(3000)], "It is broken. " * 100, "")
    command = f"{shlex.quote(sys.executable)} -m vimoclip errors --store {shlex.quote(str(store))} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("00000.mp4\tfailed\tunreadable\t") and done.stdout.count("\n") == 1
    assert done.stderr == ""


def test_the_failures_of_an_ingest_are_counted_and_shown_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    failed = [(f"{n}.mp4", "unreadable", "x") for n in range(84)]
    failed += [(f"{n}.avi", f"corrupt-after-{n}-frames", "y") for n in range(17)]
    assert render.failure_kinds(failed) == "84 unreadable, 17 corrupt-after-N-frames"
    render.print_failures(failed, "vimoclip errors")
    lines = capsys.readouterr().err.splitlines()
    assert [name for name in ("unreadable", "corrupt") for line in lines if name in line] == ["unreadable"] * 10 + [
        "corrupt"
    ] * 10
    assert lines[-1] == "… and 81 more: vimoclip errors"
    render.print_failures(failed[80:86], "vimoclip errors")
    shown = capsys.readouterr().err
    assert "more" not in shown and all(each[0] in shown for each in failed[80:86])


@pytest.mark.parametrize("video_id", HOSTILE)
def test_remove_and_undo_take_exactly_one_video(store: Path, video_id: str) -> None:
    before = contents(store)
    assert vimoclip("remove", "--store", store, "--", video_id).exit_code == 0
    assert [name for name, status in statuses(store).items() if status == "removed"] == [video_id]
    assert set(contents(store)["videos"]) == set(before["videos"]) - {video_id}
    assert vimoclip("remove", "--undo", "--store", store, "--", video_id).exit_code == 0
    assert contents(store) == before


def test_remove_takes_patterns_paths_and_other_spellings(store: Path, tmp_path: Path) -> None:
    before = statuses(store)

    def removed(*names: str | Path) -> list[str]:
        report = document("remove", "--store", store, *names)
        assert document("remove", "--undo", "--store", store, *names)["changed"] == report["changed"]
        assert statuses(store) == before
        return sorted(report["changed"])

    assert removed("*.mp4") == sorted(before)
    assert removed("Taï*", "broken.mp4") == sorted([HOSTILE[1], "broken.mp4"])
    assert removed(unicodedata.normalize("NFC", HOSTILE[1])) == [HOSTILE[1]]
    assert removed(unicodedata.normalize("NFC", HOSTILE[1]).upper()) == [HOSTILE[1]]
    assert removed(unicodedata.normalize("NFD", "Taï*é*")) == [HOSTILE[1]]
    assert removed(tmp_path / "videos" / "broken.mp4") == ["broken.mp4"]
    assert removed(tmp_path / "videos" / "Taï_T124") == [HOSTILE[1]]
    assert removed(tmp_path / "videos") == sorted(before)


def test_removing_an_unknown_video_changes_nothing_and_names_the_nearest(store: Path) -> None:
    before = contents(store)
    assert "Did you mean broken.mp4?" in vimoclip("remove", "--store", store, "Broken").stderr
    assert f"Did you mean {HOSTILE[1]}?" in vimoclip("remove", "--store", store, "caf\u00e9").stderr
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
    assert contents(store)["labels"] == {(HOSTILE[1], "Taï_T124", None, None)}


def test_label_lists_sources_and_takes_one_out(store: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(f'filepath,label,split\n"{HOSTILE[3]}",groom,train\n{HOSTILE[0]},rest,foo\n')
    result = vimoclip("label", tmp_path / "mine.csv", "--store", store)
    assert result.exit_code == 0
    assert "split 'foo' on 1 video is none of train, val, test" in result.stderr
    assert vimoclip("label", "--from-folders", "--store", store).exit_code == 0
    counts = {"source": "mine.csv", "labels": 2, "videos": 2, "classes": 2, "subjects": 0}
    assert counts in document("label", "--sources", "--store", store)
    assert "mine.csv\t2\t2\t2\t0" in vimoclip("label", "--sources", "--store", store).stdout
    result = vimoclip("label", "--remove", "mine", "--store", store)
    assert result.exit_code == 1 and "mine.csv" in result.stderr
    assert document("label", "--remove", "mine.csv", "--store", store) == {"source": "mine.csv", "dropped": 2}
    assert {label[1] for label in contents(store)["labels"]} == {"Taï_T124"}
    for wrong in (["--sources", "--from-folders"], ["--remove", "x", "--sources"], ["x.csv", "--sources"]):
        assert vimoclip("label", *wrong, "--store", store).exit_code == 2


def test_upgrade_says_that_there_is_nothing_to_do(store: Path) -> None:
    report = document("upgrade", "--store", store)
    assert (report["before"], report["after"], report["tables"]) == (FORMAT_VERSION, FORMAT_VERSION, [])
    assert f"has format {FORMAT_VERSION} already" in vimoclip("upgrade", "--store", store).stderr


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
