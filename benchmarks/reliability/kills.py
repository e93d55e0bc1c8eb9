"""Kill the command line again and again with SIGKILL, and show that nothing is ever lost, halved or doubled.

    python -m benchmarks.reliability.kills --kills 30 [--seed 1]

Each kill has a store of its own. A reader in another process polls it from before the kill until after the rerun;
`verify` looks at it after the kill and after the rerun; and what the rerun leaves is compared with what a run leaves
that nobody killed: the same ids, frame counts, vectors, norms, times, flow and labels, bit by bit. Only takes, times of
ingest and numbers of attempts may differ. A fifth of the kills each falls on

    between frames and videos   after a write of frames or flow, before the write of the videos rows that name them
    replacing a video           files were changed, broken, moved and added on disk, and are ingested again
    optimize                    with left-over and removed takes, moved videos and many fragments to clear up
    embed                       a further model's vectors being added to every video
    anywhere                    at a random moment of any of the four, or while the store is being made

How a point is hit exactly is in inject.py. Where run.py injects faults of every kind into ingest at any moment, this
kills each command that writes, at chosen calls, beside a reader.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Literal

from benchmarks.common import finish, start, survivors
from benchmarks.reliability.compare import Reader, differences, store_digest
from benchmarks.reliability.inject import GRACE, target_command

WorkloadName = Literal["fresh", "embed", "replaced", "optimize"]


@dataclass(frozen=True)
class Workload:
    """What is run and killed. base: the store it begins with. digest: of the store at its end.

    calls: of Table, by name. seconds: of the run; ready_s: until models were loaded, with most of the time gone.
    """

    work: WorkloadName
    base: Path | None
    arguments: list[str]
    digest: dict[str, str]
    calls: dict[str, int]
    seconds: float
    ready_s: float


def workloads(folder: Path) -> Iterator[Workload]:
    """What is run and killed, each workload once the kills of the one before are done: they share their files."""
    from tests.clips import write_folder
    from tests.models import write_tiny_clip

    clips = folder / "clips"
    write_folder(clips, clips_per_behaviour=2, frames=10, size=(96, 64))
    model = ["--clip-model", write_tiny_clip(folder / "model"), "--batch-size", "4", "--flow", "dis"]
    fresh = _workload("fresh", None, ["ingest", str(clips), *model], folder)
    yield fresh
    other = write_tiny_clip(folder / "other", seed=2)
    yield _workload("embed", folder / "fresh", ["embed", "--as", "other", "--model", other], folder)
    _change(clips)
    yield _workload("replaced", folder / "fresh", ["ingest", str(clips)], folder)
    shutil.copytree(folder / "replaced", folder / "untidy")
    _untidy(folder / "untidy")
    yield _workload("optimize", folder / "untidy", ["optimize", "--grace", str(GRACE.total_seconds() / 60)], folder)


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


def _workload(work: WorkloadName, base: Path | None, arguments: list[str], folder: Path) -> Workload:
    """Run what will be killed, with nobody killing it; its store is `<folder>/<work>`."""
    store, calls = folder / work, folder / f"{work}.json"
    if base is not None:
        shutil.copytree(base, store)
    began = time.monotonic()
    command = start([*arguments, "--store", str(store)], target_command("count", 0), {"VIMOCLIP_CALLS": str(calls)})
    ready_s = wait_for_models(command) - began
    said = finish(command)
    seconds = time.monotonic() - began
    if command.returncode not in (0, 3):
        raise RuntimeError(f"{arguments} ended with {command.returncode} before anything was killed: {said}")
    counted = json.loads(calls.read_text())
    return Workload(work, base, arguments, store_digest(store), counted, seconds, ready_s)


def wait_for_models(command: subprocess.Popen[str]) -> float:
    """When an ingest or an embed had loaded its models; of any other command, its end."""
    assert command.stderr is not None
    for line in command.stderr:
        if "on cpu" in line:
            break
    return time.monotonic()


BETWEEN, REPLACING, OPTIMIZE = "between frames and videos", "replacing a video", "optimize"
EMBED, ANYWHERE = "embed", "anywhere"
POINTS = (BETWEEN, REPLACING, OPTIMIZE, EMBED, ANYWHERE)


@dataclass(frozen=True)
class Kill:
    """One kill. at: how far into the calls, or into the time, of a run that nobody kills, [0, 1).

    call: of Table, and when, as in `append:after`; empty is a kill from outside, by the clock. whole_group: of the
    process group, as a batch system does it.
    """

    point: str
    work: WorkloadName
    at: float
    call: str = ""
    whole_group: bool = False


@dataclass
class Outcome:
    """What a kill led to; every list is empty where all is well. differs: from the run that nobody killed. seen: by the
    reader. faults: by `verify`. left: processes of the killed command that live on. polls: of the reader."""

    kill: Kill
    differs: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    polls: int = 0
    leftovers: int = 0

    @property
    def good(self) -> bool:
        """Whether all is well."""
        return not (self.differs or self.seen or self.faults or self.left) and self.polls > 0


def plan_kills(count: int, seed: int) -> list[Kill]:
    """The kills, by what is killed; a fifth for each of the named points, and the rest anywhere."""
    rng = random.Random(seed)
    points: list[tuple[str, WorkloadName, list[str]]] = [
        (BETWEEN, "fresh", ["append:after", "upsert:before"]),
        (
            REPLACING,
            "replaced",
            ["append:after", "upsert:within", "upsert:after", "delete:before", "delete:after", "replace:within"],
        ),
        (
            OPTIMIZE,
            "optimize",
            [
                *("index:within", "compact_and_clean:within", "delete:after", "cleanup:within"),
                *("index:after", "compact_and_clean:before", "upsert:after", "cleanup:before"),
            ],
        ),
        (
            EMBED,
            "embed",
            [
                "update_rows:within",
                "add_columns:before",
                "update_rows:after",
                "upsert:before",
                "add_columns:after",
                "upsert:after",
            ],
        ),
    ]
    each = round(count / 5)
    kills = [
        Kill(point, work, rng.random(), calls[n % len(calls)]) for point, work, calls in points for n in range(each)
    ]
    anywhere: list[tuple[WorkloadName, str]] = [("fresh", ""), ("replaced", ""), ("fresh", "create:within")]
    anywhere += [("optimize", ""), ("embed", "")]
    for n in range(count - len(kills)):
        work, call = anywhere[n % len(anywhere)]
        kills.append(Kill(ANYWHERE, work, rng.random(), call, rng.random() < 0.5))
    return kills


def run_kill(workload: Workload, one: Kill, folder: Path, reader: Reader) -> Outcome:
    """Kill one run, verify, run again, verify. The store is left in `folder` where something is off."""
    from vimoclip.store.feature_store import FeatureStore
    from vimoclip.store.verify import verify

    outcome, at = Outcome(one), one.at
    for attempt in range(8):
        store = folder / f"{one.work}-{one.call.replace(':', '-')}-{one.at:.6f}-{attempt}"
        if workload.base is not None:
            shutil.copytree(workload.base, store)
        reader.watch(store)
        command = _start_and_kill(workload, one, at, [*workload.arguments, "--store", str(store)])
        said = finish(command)
        if command.returncode == -signal.SIGKILL:
            break
        reader.stop()
        if one.call:
            raise RuntimeError(f"{one} was not killed but ended with {command.returncode}: {said}")
        at *= 0.7  # it was faster than the one that was timed
    else:
        raise RuntimeError(f"{one} always ended before it was killed: {said}")
    outcome.left = survivors(command)
    if FeatureStore.exists(store):
        found = verify(store)
        outcome.leftovers = sum(fault.harmless for fault in found)
        outcome.faults = [f"after the kill: {fault}" for fault in found if not fault.harmless]
    again = start([*workload.arguments, "--store", str(store)])
    said = finish(again)
    if again.returncode not in (0, 3):
        outcome.differs.append(f"the rerun ended with {again.returncode}: {said}")
    elif FeatureStore.exists(store):
        outcome.faults += [f"after the rerun: {fault}" for fault in verify(store)]
        outcome.differs = differences(workload.digest, store_digest(store))
    outcome.left += survivors(again)
    outcome.polls, outcome.seen = reader.stop()
    if outcome.good:
        shutil.rmtree(store)
    return outcome


def _start_and_kill(workload: Workload, one: Kill, at: float, arguments: list[str]) -> subprocess.Popen[str]:
    """Start the run that dies, and see to it that it does."""
    if one.call:
        # The last upsert of an ingest is of splits alone, with no frames before it.
        name = one.call.partition(":")[0]
        count = workload.calls[name] - (one.point == BETWEEN and name == "upsert")
        return start(arguments, target_command(one.call, 1 + int(at * count)))
    command = start(arguments, target_command("none", 0))
    if one.work == "optimize":  # it says nothing before it is done, and half of its time goes into starting up
        time.sleep(workload.seconds * (1 + at) / 2)
    else:
        wait_for_models(command)
        time.sleep((workload.seconds - workload.ready_s) * at)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if one.whole_group else os.kill)(command.pid, signal.SIGKILL)
    return command


def run_kills(
    kills: list[Kill], folder: Path, lanes: int = 2, report: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """All the kills, `lanes` at a time; `folder` must be empty."""
    readers = [Reader() for _ in range(lanes)]
    idle: SimpleQueue[Reader] = SimpleQueue()
    for reader in readers:
        idle.put(reader)

    def one_kill(workload: Workload, one: Kill) -> Outcome:
        reader = idle.get()
        try:
            outcome = run_kill(workload, one, folder, reader)
        finally:
            idle.put(reader)
        report(outcome)
        return outcome

    outcomes: list[Outcome] = []
    try:
        with ThreadPoolExecutor(lanes) as pool:
            for workload in workloads(folder):
                own = [one for one in kills if one.work == workload.work]
                outcomes += pool.map(one_kill, [workload] * len(own), own)
    finally:
        for reader in readers:
            reader.close()
    return outcomes


def main() -> int:
    """The benchmark; its exit status."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description="Kill ingest, embed and optimize, and look what became of the store.")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    console, began = Console(width=120), time.monotonic()

    def report(outcome: Outcome) -> None:
        one = outcome.kill
        fate = "fine" if outcome.good else "WRONG"
        console.print(f"{one.work}, {one.call or 'by the clock'}, {one.at:.2f}: {fate}", highlight=False)
        for line in (*outcome.differs, *outcome.seen, *outcome.faults, *outcome.left):
            console.print(f"  {line}", markup=False, highlight=False)

    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        outcomes = run_kills(plan_kills(asked.kills, asked.seed), Path(folder), report=report)
    table = Table(title=f"{len(outcomes)} kills in {time.monotonic() - began:.0f} s", title_justify="left")
    table.add_column("killed")
    for column in ("kills", "left rows behind", "reruns equal", "reader saw wrong", "verify clean", "processes left"):
        table.add_column(column, justify="right")
    for point in POINTS:
        own = [outcome for outcome in outcomes if outcome.kill.point == point]
        counts = (
            len(own),
            sum(outcome.leftovers > 0 for outcome in own),
            sum(not outcome.differs for outcome in own),
            sum(len(outcome.seen) for outcome in own),
            sum(not outcome.faults for outcome in own),
            sum(len(outcome.left) for outcome in own),
        )
        table.add_row(point, *map(str, counts))
    console.print(table)
    console.print(f"The reader looked {sum(outcome.polls for outcome in outcomes)} times.", highlight=False)
    return 0 if len(outcomes) == asked.kills and all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
