"""Every fault that a run may meet, injected again and again at moments spread over the run, and what becomes of the
store.

    python -m benchmarks.reliability.run --kills 100 --clips FOLDER... [--seed 1] [--lanes 1]

Runs ingest on the smallest clips of the folders with a tiny model, injects a fault (inject.py), and compares what is
left with what a reference run leaves, which has none. After each fault `verify` must find nothing but leftovers that
readers never meet, no process may live on, and the same command in one process must lead to the very rows of the
reference run, bit by bit, none of them twice. Videos that a fault failed (their decoder was killed, or hung) are tried
again with --retry-failed, as the command says. Where memory ran out, the vectors of those videos that are marked for it
are compared by their number alone. A fault that cannot be had here (a full disk wants a mount) is skipped, and is no
run.

Exits 1 unless every run was good.
"""

import argparse
import contextlib
import random
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.common import ROOT, Watch, all_ended, finish, start, survivors
from benchmarks.reliability.compare import differences, store_digest
from benchmarks.reliability.inject import (
    FAULT_KINDS,
    IN_PROCESS,
    RAY,
    Fault,
    FaultKind,
    TargetRun,
    can_mount,
    fill_disk,
    is_root,
    limit_memory,
    make_read_only,
    plan_faults,
    small_disk,
)

CLIPS = 12
BATCH = 4
EVERY = 8
MAX_BATCH_WITH_LITTLE_MEMORY = 3
PROMPT_S = 5.0
"""How soon an interrupted command must have ended."""
TARGET = "benchmarks.reliability.run", "--target"


@dataclass(frozen=True)
class ReferenceRun:
    """A run without a fault, and what it leaves. folder: for stores. digest: of its store. frames: in it."""

    folder: Path
    arguments: list[str]
    digest: dict[str, str]
    frames: int


@dataclass
class Outcome:
    """What a fault led to; every list is empty where all is well. ended_s: from the fault to the command's end.
    seconds: all of it took. differs: from the reference run. faults: by `verify`. left: processes. skipped: why."""

    fault: Fault
    ended_s: float = 0.0
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)
    differs: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    skipped: str = ""

    @property
    def good(self) -> bool:
        """Whether all is well."""
        return not (self.wrong or self.differs or self.faults or self.left or self.skipped)


def reference_run(clips: list[Path], folder: Path) -> ReferenceRun:
    """Choose clips, write a model, and ingest them without a fault."""
    from pipelines.ingest_plan import discover
    from tests.models import write_tiny_clip

    found = sorted(discover(clips).videos, key=lambda video: (video.bytes, video.video_id))[:CLIPS]
    for n, video in enumerate(found):
        (folder / "clips").mkdir(exist_ok=True)
        shutil.copyfile(video.path, folder / "clips" / f"{n:02d}{Path(video.path).suffix}")
    model = write_tiny_clip(folder / "model")
    arguments = ["ingest", str(folder / "clips"), "--clip-model", model, "--batch-size", str(BATCH)]
    arguments += ["--precision", "fp32", "--every", str(EVERY), "--flow", "dis"]
    store = folder / "reference"
    command = start([*arguments, *IN_PROCESS, "--store", str(store)], TARGET)
    said = finish(command)
    frames = [int(count) for count in re.findall(r"(\d+) frames so far", said)]
    if command.returncode not in (0, 3) or not frames:
        raise RuntimeError(f"An ingest without a fault ended with {command.returncode}: {said}")
    return ReferenceRun(folder, arguments, store_digest(store), frames[-1])


def run_with_fault(reference: ReferenceRun, fault: Fault, name: str) -> Outcome:
    """Inject a fault into one run, verify, run again, verify. name: of its folder, which is left where something is
    off."""
    began, kind, outcome = time.monotonic(), FAULT_KINDS[fault.kind], Outcome(fault)
    needs_mount = kind.injector is fill_disk or (kind.injector is make_read_only and is_root())
    if needs_mount and not can_mount():
        outcome.skipped = "it wants a file system of its own, and nothing can be mounted here"
        return outcome
    folder = reference.folder / name
    folder.mkdir()
    with contextlib.ExitStack() as stack:
        if kind.injector is fill_disk:
            stack.enter_context(small_disk(folder))
        _run_with_fault(reference, fault, kind, folder, outcome)
    outcome.seconds = time.monotonic() - began
    if outcome.good:
        shutil.rmtree(folder)
    return outcome


def _run_with_fault(reference: ReferenceRun, fault: Fault, kind: FaultKind, folder: Path, outcome: Outcome) -> None:
    arguments, store, at, said = [*reference.arguments, *kind.settings], folder, fault.at, ""
    for attempt in range(5):
        store = folder / f"store-{attempt}"
        own = [*arguments, *kind.engine, "--store", str(store)]
        command = start(own, TARGET, _memory_limit(kind, at, reference.frames))
        run = TargetRun(command, store, own, random.Random(fault.seed))
        frames = 1 + int(at * reference.frames)
        watch = Watch(command, lambda line, frames=frames: _frames_so_far(line) >= frames)  # type: ignore[misc]
        if watch.reach():
            with kind.injector(run):
                injected = time.monotonic()
                said = watch.end()
                outcome.ended_s = time.monotonic() - injected
        else:
            said = watch.end()
        if run.injected and (command.returncode != 0 or 0 in kind.ends):
            break
        at *= 0.7  # it was done before the fault
    if not run.injected:
        outcome.wrong.append("the fault was never injected")
    outcome.wrong += run.wrong
    code = command.returncode
    if code not in kind.ends or kind.ends[code] not in said or "Traceback" in said or "A defect" in said:
        outcome.wrong.append(f"it ended with {code}, and said: {said[-2000:]}")
    if 130 in kind.ends and outcome.ended_s > PROMPT_S:
        outcome.wrong.append(f"it ended {outcome.ended_s:.1f} s after it was interrupted")
    outcome.left = survivors(command, 60)
    _verify(store, "after the fault", outcome)
    retry = ["--retry-failed"] if kind.retry else []
    again = start([*arguments, *IN_PROCESS, "--store", str(store), *retry])
    said = finish(again)
    if again.returncode not in (0, 3):
        outcome.wrong.append(f"the rerun ended with {again.returncode}: {said[-2000:]}")
    outcome.left += survivors(again)
    _verify(store, "after the rerun", outcome)
    if not outcome.faults:
        expected, found = reference.digest, store_digest(store)
        if kind.injector is limit_memory:
            reduced = _reduced(found)
            if not reduced:
                outcome.wrong.append("no batch was halved")
            expected, found = _without_vectors(expected, reduced), _without_vectors(found, reduced)
        outcome.differs = differences(expected, found)


def _frames_so_far(line: str) -> int:
    """How many frames a target says that have come."""
    found = re.match(r"(\d+) frames so far", line)
    return int(found[1]) if found else 0


def _memory_limit(kind: FaultKind, at: float, frames: int) -> dict[str, str]:
    """The environment in which memory runs out so far into the run: each batch goes through two towers."""
    if kind.injector is not limit_memory:
        return {}
    calls = int(at * 2 * frames / BATCH / (2 if kind.engine is RAY else 1))
    return {
        "PYTHONPATH": str(ROOT / "benchmarks" / "reliability" / "memory_limit"),
        "VIMOCLIP_MEMORY_LIMIT": f"{calls}:{MAX_BATCH_WITH_LITTLE_MEMORY}",
    }


def _verify(store: Path, when: str, outcome: Outcome) -> None:
    from vimoclip.store.verify import verify

    after_rerun = when == "after the rerun"
    found = [fault for fault in verify(store) if after_rerun or not fault.harmless]
    outcome.faults += [f"{when}: {fault}" for fault in found]


def _reduced(digest: dict[str, str]) -> set[str]:
    """Videos that are marked for a halved batch."""
    rows = ((what.removeprefix("videos "), row) for what, row in digest.items() if what.startswith("videos "))
    return {video_id for video_id, row in rows if "('reduced_batch', True)" in row}


def _without_vectors(digest: dict[str, str], video_ids: set[str]) -> dict[str, str]:
    """The same, without the vectors and the mark of some videos: how many they are still shows in the other columns."""
    columns = ("clip", "clip_norm", "moclip", "moclip_norm")
    vectors = {f"frames {video_id} {column}" for video_id in video_ids for column in columns}
    kept = {what: value for what, value in digest.items() if what not in vectors}
    for video_id in video_ids:
        row = kept[f"videos {video_id}"]
        kept[f"videos {video_id}"] = re.sub(r"\('reduced_batch', \w+\)", "('reduced_batch', ...)", row)
    return kept


def run_target(arguments: list[str]) -> None:
    """The command line, which commits often, says on stderr how many frames have come, and has less patience."""
    from vimoclip.__main__ import main as vimoclip
    from vimoclip.frames import FrameBatch
    from vimoclip.store import writer

    writer.FLUSH_ROWS, writer.FLUSH_S = 12, 1e9
    add, frames = writer.StoreWriter.add, 0

    def counted(self: writer.StoreWriter, take: int, new: FrameBatch) -> None:
        nonlocal frames
        add(self, take, new)
        frames += len(new.frame_index)
        print(f"{frames} frames so far", file=sys.stderr, flush=True)

    writer.StoreWriter.add = counted  # type: ignore[method-assign,assignment]
    if "ray" in arguments:
        from pipelines import ray_executor

        ray_executor.HANG_S = 3.0
    vimoclip()


def run_faults(
    faults: list[Fault],
    clips: list[Path],
    folder: Path,
    lanes: int = 1,
    report: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """All the faults, `lanes` at a time; `folder` must be empty. An interrupt ends whatever runs."""
    reference = reference_run(clips, folder)

    def one(numbered: tuple[int, Fault]) -> Outcome:
        number, fault = numbered
        outcome = run_with_fault(reference, fault, f"{number:03d}")
        report(outcome)
        return outcome

    with ThreadPoolExecutor(lanes) as pool:
        try:
            return list(pool.map(one, enumerate(faults)))
        except BaseException:
            with all_ended():
                pool.shutdown(cancel_futures=True)
            raise


def main() -> int:
    """The benchmark; its exit status."""
    from rich.console import Console
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders of videos")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=1, help="runs at the same time")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that it, too, ends what runs
    console, began = Console(width=140, highlight=False), time.monotonic()

    def report(outcome: Outcome) -> None:
        fault = outcome.fault
        fate = f"skipped: {outcome.skipped}" if outcome.skipped else "fine" if outcome.good else "WRONG"
        times = f"ended after {outcome.ended_s:.1f} s, {outcome.seconds:.0f} s in all"
        console.print(f"{fault.kind}, at {fault.at:.2f}, {times}: {fate}")
        for line in (*outcome.wrong, *outcome.differs, *outcome.faults, *outcome.left):
            console.print(f"  {line}", markup=False)

    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        outcomes = run_faults(plan_faults(asked.kills, asked.seed), asked.clips, folder, asked.lanes, report)
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        console.print("Interrupted; whatever ran was ended, and nothing is left of it.")
        return 130
    runs = [outcome for outcome in outcomes if not outcome.skipped]
    table = Table(title=f"{len(runs)} runs in {time.monotonic() - began:.0f} s", title_justify="left")
    table.add_column("fault")
    for column in (
        "runs",
        "ended as said",
        "reruns equal",
        "verify clean",
        "processes left",
        "median s",
        "to its end s",
    ):
        table.add_column(column, justify="right")
    for kind in FAULT_KINDS:
        own = [outcome for outcome in runs if outcome.fault.kind == kind]
        counts = (
            len(own),
            sum(not outcome.wrong for outcome in own),
            sum(not outcome.differs and not outcome.faults for outcome in own),
            sum(not outcome.faults for outcome in own),
            sum(len(outcome.left) for outcome in own),
        )
        seconds = [f"{statistics.median(outcome.seconds for outcome in own):.0f}" if own else "-"]
        seconds.append(f"≤ {max(outcome.ended_s for outcome in own):.1f}" if own else "-")
        table.add_row(kind, *map(str, counts), *seconds)
    console.print(table)
    good = sum(outcome.good for outcome in runs)
    console.print(
        f"{good} of {len(runs)} runs ended with the reference run's rows; {len(outcomes) - len(runs)} skipped."
    )
    if good < len(runs):
        console.print(f"What is left of the others: {folder}", markup=False)
    else:
        shutil.rmtree(folder)
    return 0 if runs and good == len(runs) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == [TARGET[1]]:
        del sys.argv[1]  # the lock names its holder by what is left
        run_target(sys.argv[1:])
    else:
        sys.exit(main())
