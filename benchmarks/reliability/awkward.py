"""Files that bite, through the real command: every one is ingested or named with its kind, without a traceback or a
hang.

    python -m benchmarks.reliability.awkward FOLDER... [--mutations 500] [--seed 1]

Ingests the folders together with a generated set (audio only, no frames, no moov atom, encrypted, 1x1, one frame, …)
and seeded byte mutations of the small clips among them, with a tiny model at --fps 2, and then verifies the store.
Exits 1 if the command does not end with 3, a file is unaccounted for, or the store is not whole.
"""

import argparse
import collections
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from pipelines.ingest_plan import discover
from tests.models import write_tiny_clip
from tests.vimoclip.awkward import mutations, write_all, write_names

LARGEST = 500_000  # bytes of a clip that is mutated


def main() -> int:
    """Run it all; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--mutations", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    console = Console(soft_wrap=True)
    console.print(describe())
    with tempfile.TemporaryDirectory() as place:
        generated, mutated, store = Path(place, "generated"), Path(place, "mutated"), Path(place, "store")
        for folder in (generated, generated / "names", mutated):
            folder.mkdir()
        write_all(generated)
        sources = [Path(video.path) for video in discover(arguments.folders).videos if video.bytes < LARGEST]
        write_names(generated / "names", sources[0])
        each = -(-arguments.mutations // len(sources))
        count = 0
        for source in sources:
            for name, data in mutations(source, min(each, arguments.mutations - count), arguments.seed):
                (mutated / f"{count:04d}-{name}").write_bytes(data)
                count += 1
        folders = [*map(str, arguments.folders), str(generated), str(mutated)]
        command = [sys.executable, "-m", "vimoclip", "ingest", *folders, "--store", str(store), "--json", "--fps", "2"]
        command += ["--clip-model", write_tiny_clip(Path(place, "model")), "--flow", "dis"]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - began
        report = json.loads(done.stdout)
        verified = subprocess.run([sys.executable, "-m", "vimoclip", "verify", "--store", str(store)], check=False)
    kinds = collections.Counter(re.sub(r"\d+", "N", kind) for _, kind, _ in report["failed"])
    table = Table("outcome", "files", title=f"{report['found']} files, {count} of them mutations, {seconds:.0f} s")
    for outcome in ("ingested", "duplicates"):
        table.add_row(outcome, str(report[outcome]))
    for kind, files in kinds.most_common():
        table.add_row(kind, str(files))
    console.print(table)
    named = report["ingested"] + report["duplicates"] + len(report["failed"])
    console.print(
        f"exit status {done.returncode}; {named} of {report['found']} accounted for; {report['frames']} frames"
    )
    traceback = "Traceback" in done.stderr
    return int(done.returncode != 3 or named != report["found"] or traceback or verified.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
