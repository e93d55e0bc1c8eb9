"""What another busy process on the machine costs: an ingest and a training, idle and beside it, by how threads wait.

    python -m benchmarks.speed.beside VIDEOS [--clips 3] [--fps 5] [--epochs 3] [--rounds 3] [--clip-model ViT-B-32]

VIDEOS holds clips; some are ingested, and TFAM is trained on rendered labels for a few epochs, by the commands as
users type them. `spinning` is how libgomp waits when nothing is set, as before; `briefly`, for microseconds and then
passively, is what `import vimoclip` asks for where the user does not. All ways are taken in turns, several rounds, and
the medians are printed, with their ratio to the same way on an idle machine. Training is timed by its own records:
seconds an epoch, without starting up.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine, finish, start

WAYS: dict[str, dict[str, str]] = {
    "spinning": {"GOMP_SPINCOUNT": "300000"},  # what libgomp does where neither is set
    "briefly": {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"},
    "passive": {"OMP_WAIT_POLICY": "PASSIVE"},
}
DEADLINE_S = 1800.0


@contextlib.contextmanager
def busy(processes: int) -> Iterator[None]:
    """So many processes compute in the block, as fast as they can."""
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def ran(arguments: list[str], way: str) -> float:
    """Run a command of vimoclip to its end; its seconds."""
    began = time.perf_counter()
    command = start(arguments, environment=WAYS[way])
    said = finish(command, DEADLINE_S)
    if command.returncode:
        sys.exit(said)
    return time.perf_counter() - began


def epoch_s(run: Path) -> float:
    """The median of an epoch's seconds, the first aside."""
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return float(statistics.median(record["seconds"] for record in records[1:]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--clips", type=int, default=3)
    parser.add_argument("--fps", default="5")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clip-model", default="ViT-B-32")
    parser.add_argument("--width", default="512", help="of TFAM")
    asked = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    files = sorted(str(path) for path in asked.videos.rglob("*.avi"))[: asked.clips]
    found: dict[tuple[str, str, int], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        train_store = folder / "train"
        model = ["--clip-model", asked.clip_model, *([] if ":" in asked.clip_model else ["--clip-weights", "none"])]
        ingest = ["--fps", asked.fps, *model, "--flow", "dis", "--engine", "in-process", "--device", "cpu"]
        ran(["ingest", str(asked.videos), "--store", str(train_store), "--fps", "2", *ingest[2:]], "passive")
        for turn in range(asked.rounds):
            for others in (0, 1):
                for way in WAYS:
                    with busy(others):
                        store, run = folder / f"store-{turn}-{others}-{way}", folder / f"run-{turn}-{others}-{way}"
                        seconds = ran(["ingest", *files, "--store", str(store), "--labels", "none", *ingest], way)
                        found.setdefault(("ingest", way, others), []).append(seconds)
                        shutil.rmtree(store)
                        sizes = ["--set", f"tfam.width={asked.width}"] if asked.width != "512" else []
                        training = ["--run", str(run), "--epochs", str(asked.epochs + 1), "--device", "cpu", *sizes]
                        training += ["--calibrate-on", "train"]
                        ran(["train-fusion", "--store", str(train_store), *training], way)
                        found.setdefault(("an epoch", way, others), []).append(epoch_s(run))
    table = Table("", "waits", title="seconds, medians", title_justify="left")
    for heading in ("idle", "beside one busy process", "ratio"):
        table.add_column(heading, justify="right")
    for what in ("ingest", "an epoch"):
        for way in WAYS:
            idle, beside = (statistics.median(found[what, way, others]) for others in (0, 1))
            table.add_row(what, way, f"{idle:.2f}", f"{beside:.2f}", f"{beside / idle:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
