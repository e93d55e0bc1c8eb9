"""Kill the command line again and again with SIGKILL, and show that nothing is ever lost, halved or doubled.

    python -m benchmarks.reliability.kills --kills 30 [--seed 1]

Each kill has a store of its own. A reader in another process polls it from before the kill until after the rerun;
`verify` looks at it after the kill and after the rerun; and what the rerun leaves is held against what a run leaves
that nobody killed: the same ids, frame counts, vectors, norms, times, flow and labels, bit by bit. Only takes, times of
ingest and numbers of attempts may differ. A fifth of the kills each falls on

    between frames and videos   after a write of frames or flow, before the write of the videos rows that name them
    replacing a video           files were changed, broken, moved and added on disk, and are ingested again
    optimize                    with left-over and removed takes, moved videos and many fragments to clear up
    embed                       a further model's vectors being added to every video
    anywhere                    at a random moment of any of the four, or while the store is being made

How a point is hit exactly is in victim.py, what is run in worlds.py.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue

from benchmarks.command import finish, start, survivors
from benchmarks.reliability.aftermath import contents, differences
from benchmarks.reliability.reader import Reader
from benchmarks.reliability.victim import victim_program
from benchmarks.reliability.worlds import Work, World, ready, worlds

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
    work: Work
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


def plan(count: int, seed: int) -> list[Kill]:
    """The kills, by what is killed; a fifth for each of the named points, and the rest anywhere."""
    rng = random.Random(seed)
    points: list[tuple[str, Work, list[str]]] = [
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
                *("index:within", "tidy:within", "delete:after", "cleanup:within"),
                *("index:after", "tidy:before", "upsert:after", "cleanup:before"),
            ],
        ),
        (
            EMBED,
            "embed",
            ["fill:within", "add_columns:before", "fill:after", "upsert:before", "add_columns:after", "upsert:after"],
        ),
    ]
    each = round(count / 5)
    kills = [
        Kill(point, work, rng.random(), calls[n % len(calls)]) for point, work, calls in points for n in range(each)
    ]
    anywhere: list[tuple[Work, str]] = [("fresh", ""), ("replaced", ""), ("fresh", "create:within"), ("optimize", "")]
    anywhere.append(("embed", ""))
    for n in range(count - len(kills)):
        work, call = anywhere[n % len(anywhere)]
        kills.append(Kill(ANYWHERE, work, rng.random(), call, rng.random() < 0.5))
    return kills


def kill(world: World, one: Kill, folder: Path, reader: Reader) -> Outcome:
    """Kill one run, look, run again, look. The store is left in `folder` where something is off."""
    from vimoclip.store.feature_store import FeatureStore
    from vimoclip.store.verify import verify

    outcome, at = Outcome(one), one.at
    for attempt in range(8):
        store = folder / f"{one.work}-{one.call.replace(':', '-')}-{one.at:.6f}-{attempt}"
        if world.base is not None:
            shutil.copytree(world.base, store)
        reader.watch(store)
        command = _shoot(world, one, at, [*world.arguments, "--store", str(store)])
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
    again = start([*world.arguments, "--store", str(store)])
    said = finish(again)
    if again.returncode not in (0, 3):
        outcome.differs.append(f"the rerun ended with {again.returncode}: {said}")
    elif FeatureStore.exists(store):
        outcome.faults += [f"after the rerun: {fault}" for fault in verify(store)]
        outcome.differs = differences(world.contents, contents(store))
    outcome.left += survivors(again)
    outcome.polls, outcome.seen = reader.stop()
    if outcome.good:
        shutil.rmtree(store)
    return outcome


def _shoot(world: World, one: Kill, at: float, arguments: list[str]) -> subprocess.Popen[str]:
    """Start the run that dies, and see to it that it does."""
    if one.call:
        # The last upsert of an ingest is of splits alone, with no frames before it.
        name = one.call.partition(":")[0]
        count = world.calls[name] - (one.point == BETWEEN and name == "upsert")
        return start(arguments, victim_program(one.call, 1 + int(at * count)))
    command = start(arguments, victim_program("none", 0))
    if one.work == "optimize":  # it says nothing before it is done, and half of its time goes into starting up
        time.sleep(world.seconds * (1 + at) / 2)
    else:
        ready(command)
        time.sleep((world.seconds - world.ready_s) * at)
    with contextlib.suppress(ProcessLookupError):
        (os.killpg if one.whole_group else os.kill)(command.pid, signal.SIGKILL)
    return command


def run(
    kills: list[Kill], folder: Path, lanes: int = 2, told: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    """All the kills, `lanes` at a time; `folder` must be empty."""
    readers = [Reader() for _ in range(lanes)]
    idle: SimpleQueue[Reader] = SimpleQueue()
    for reader in readers:
        idle.put(reader)

    def one_kill(world: World, one: Kill) -> Outcome:
        reader = idle.get()
        try:
            outcome = kill(world, one, folder, reader)
        finally:
            idle.put(reader)
        told(outcome)
        return outcome

    outcomes: list[Outcome] = []
    try:
        with ThreadPoolExecutor(lanes) as pool:
            for world in worlds(folder):
                own = [one for one in kills if one.work == world.work]
                outcomes += pool.map(one_kill, [world] * len(own), own)
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

    def tell(outcome: Outcome) -> None:
        one = outcome.kill
        fate = "fine" if outcome.good else "WRONG"
        console.print(f"{one.work}, {one.call or 'by the clock'}, {one.at:.2f}: {fate}", highlight=False)
        for line in (*outcome.differs, *outcome.seen, *outcome.faults, *outcome.left):
            console.print(f"  {line}", markup=False, highlight=False)

    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        outcomes = run(plan(asked.kills, asked.seed), Path(folder), told=tell)
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
