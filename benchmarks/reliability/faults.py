"""Every fault that a run may meet, again and again at moments spread over the run, and what became of the store.

    python -m benchmarks.reliability.faults --kills 100 --clips FOLDER... [--seed 1] [--lanes 1]

Runs ingest on the smallest clips of the folders with a tiny model, harms it, and holds what is left against what a run
leaves that nobody harmed. After each fault `verify` must find nothing but leftovers that readers never meet, no process
may live on, and the same command in one process must lead to the very rows of the unharmed run, bit by bit, none of
them twice. Videos that a fault failed (their decoder was killed, or hung) are tried again with --retry-failed, as the
command says. Where memory ran out, the vectors of those videos that are marked for it are compared by their number
alone. A fault that cannot be had here (a full disk wants a mount) is skipped, and is no run.

Exits 1 unless every run was good.
"""

import argparse
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.command import all_ended
from benchmarks.reliability.fault_kinds import KINDS, Fault, plan
from benchmarks.reliability.harmed_runs import VICTIM, Outcome, strike, world


def victim(arguments: list[str]) -> None:
    """The command line, which commits often, says on stderr how many frames have come, and has less patience."""
    from vimoclip.__main__ import main as vimoclip
    from vimoclip.embedding.events import EmbeddedFrames
    from vimoclip.store import writer

    writer.FLUSH_ROWS, writer.FLUSH_S = 12, 1e9
    add, frames = writer.StoreWriter.add, 0

    def counted(self: writer.StoreWriter, take: int, new: EmbeddedFrames) -> None:
        nonlocal frames
        add(self, take, new)
        frames += len(new.frame_index)
        print(f"{frames} frames so far", file=sys.stderr, flush=True)

    writer.StoreWriter.add = counted  # type: ignore[method-assign,assignment]
    if "ray" in arguments:
        from pipelines import ray_executor

        ray_executor.HANG_S = 3.0
    vimoclip()


def run(
    faults: list[Fault],
    clips: list[Path],
    folder: Path,
    lanes: int = 1,
    told: Callable[[Outcome], None] = lambda _: None,
) -> list[Outcome]:
    """All the faults, `lanes` at a time; `folder` must be empty. An interrupt ends whatever runs."""
    harmed = world(clips, folder)

    def one(numbered: tuple[int, Fault]) -> Outcome:
        number, fault = numbered
        outcome = strike(harmed, fault, f"{number:03d}")
        told(outcome)
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

    def tell(outcome: Outcome) -> None:
        fault = outcome.fault
        fate = f"skipped: {outcome.skipped}" if outcome.skipped else "fine" if outcome.good else "WRONG"
        times = f"ended after {outcome.ended_s:.1f} s, {outcome.seconds:.0f} s in all"
        console.print(f"{fault.kind}, at {fault.at:.2f}, {times}: {fate}")
        for line in (*outcome.wrong, *outcome.differs, *outcome.faults, *outcome.left):
            console.print(f"  {line}", markup=False)

    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        outcomes = run(plan(asked.kills, asked.seed), asked.clips, folder, asked.lanes, tell)
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
    for kind in KINDS:
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
        f"{good} of {len(runs)} runs ended with the unharmed run's rows; {len(outcomes) - len(runs)} skipped."
    )
    if good < len(runs):
        console.print(f"What is left of the others: {folder}", markup=False)
    else:
        shutil.rmtree(folder)
    return 0 if runs and good == len(runs) else 1


if __name__ == "__main__":
    if sys.argv[1:2] == [VICTIM[1]]:
        del sys.argv[1]  # the lock names its holder by what is left
        victim(sys.argv[1:])
    else:
        sys.exit(main())
