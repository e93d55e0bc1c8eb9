"""What kills.py kills: stores with something to do, and what becomes of them when nobody does."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.command import finish, start
from benchmarks.reliability.aftermath import contents
from benchmarks.reliability.victim import GRACE, victim_program

Work = Literal["fresh", "embed", "replaced", "optimize"]


@dataclass(frozen=True)
class World:
    """What is run and killed. base: the store it begins with. contents: of the store at its end.

    calls: of Table, by name. seconds: of the run; ready_s: until models were loaded, with most of the time gone.
    """

    work: Work
    base: Path | None
    arguments: list[str]
    contents: dict[str, str]
    calls: dict[str, int]
    seconds: float
    ready_s: float


def worlds(folder: Path) -> Iterator[World]:
    """What is run and killed, each world once the kills of the one before are done: they share their files."""
    from tests.clips import write_folder
    from tests.models import write_tiny_clip

    clips = folder / "clips"
    write_folder(clips, clips_per_behaviour=2, frames=10, size=(96, 64))
    model = ["--clip-model", write_tiny_clip(folder / "model"), "--batch-size", "4", "--flow", "dis"]
    fresh = _world("fresh", None, ["ingest", str(clips), *model], folder)
    yield fresh
    other = write_tiny_clip(folder / "other", seed=2)
    yield _world("embed", folder / "fresh", ["embed", "--as", "other", "--model", other], folder)
    _change(clips)
    yield _world("replaced", folder / "fresh", ["ingest", str(clips)], folder)
    shutil.copytree(folder / "replaced", folder / "untidy")
    _untidy(folder / "untidy")
    yield _world("optimize", folder / "untidy", ["optimize", "--grace", str(GRACE.total_seconds() / 60)], folder)


def _change(clips: Path) -> None:
    """Other frames in three files, one file broken, one moved, one added, one without a video in it."""
    from tests.clips import render
    from vimoclip.video.encode import write_clip

    for name, frames in (("drifting/000", 14), ("circling/001", 7), ("still/000", 10), ("still/new", 9)):
        write_clip(clips / f"{name}.mp4", render("drifting", 7 + frames, frames, (96, 64)), 24.0)
    (clips / "growing/001.mp4").write_bytes(b"no video at all")
    (clips / "growing/bad.mp4").write_bytes(b"neither is this")
    (clips / "bouncing/001.mp4").rename(clips / "bouncing/moved.mp4")


def _untidy(path: Path) -> None:
    """Leave in the store what optimize is there for, with the store's own writer."""
    from dataclasses import replace

    from vimoclip.store.feature_store import FeatureStore
    from vimoclip.store.lock import writer_lock
    from vimoclip.store.writer import StoreWriter

    with writer_lock(path):
        writer = StoreWriter(FeatureStore.open(path))
        ids = sorted(video_id for video_id, row in writer.videos.items() if row.status == "ok")
        for video_id in ids[:2]:
            writer.put(replace(writer.videos[video_id], status="removed"))
            writer.flush()
        for video_id in ids[2:6]:
            row = writer.videos[video_id]
            writer.move(row, replace(row, video_id=f"moved/{video_id}"))
            writer.flush()


def _world(work: Work, base: Path | None, arguments: list[str], folder: Path) -> World:
    """Run what will be killed, with nobody killing it; its store is `<folder>/<work>`."""
    store, calls = folder / work, folder / f"{work}.json"
    if base is not None:
        shutil.copytree(base, store)
    began = time.monotonic()
    command = start([*arguments, "--store", str(store)], victim_program("count", 0), {"VIMOCLIP_CALLS": str(calls)})
    ready_s = ready(command) - began
    said = finish(command)
    seconds = time.monotonic() - began
    if command.returncode not in (0, 3):
        raise RuntimeError(f"{arguments} ended with {command.returncode} before anything was killed: {said}")
    counted = json.loads(calls.read_text())
    return World(work, base, arguments, contents(store), counted, seconds, ready_s)


def ready(command: subprocess.Popen[str]) -> float:
    """When an ingest or an embed had loaded its models; of any other command, its end."""
    assert command.stderr is not None
    for line in command.stderr:
        if "on cpu" in line:
            break
    return time.monotonic()
