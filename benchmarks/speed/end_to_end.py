"""From a folder of labelled videos to Table 2, with the commands that a user types: how long each takes.

    python -m benchmarks.speed.end_to_end VIDEOS FOLDER [--student] [--clip-model ViT-B-32] [--epochs 10] [--seeds 3]

Ingest, train-fusion, ablate, evaluate; with --student ingest, train-motion for one epoch, embed --motion in the place
of moclip, and an ablation on that. Weights are seeded random ones, which cost the same; what the table then says of the
videos is little, and the output says so. FOLDER keeps store and runs: a second run measures what going on costs.
"""

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine, finish, start

DEADLINE_S = 3600.0


def main() -> None:
    """Run and print; the exit status of the first command that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path)
    parser.add_argument("folder", type=Path, help="for store and runs")
    parser.add_argument("--student", action="store_true", help="teach it, and use it")
    parser.add_argument("--clip-model", default="ViT-B-32")
    parser.add_argument("--clip-weights", default="none")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", default="val", help="that is evaluated on")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="of TFAM, to try the script out"
    )
    asked = parser.parse_args()
    console = Console(soft_wrap=True, highlight=False)
    console.print(describe_machine())
    table, whole = Table("command", "seconds", title_justify="left"), 0.0
    for arguments in commands(asked):
        began = time.perf_counter()
        command = start(arguments)
        said = finish(command, DEADLINE_S)
        seconds = time.perf_counter() - began
        if command.returncode:
            console.print(said, markup=False)
            sys.exit(command.returncode)
        table.add_row(f"vimoclip {arguments[0]}", f"{seconds:.1f}")
        whole += seconds
    table.add_row("together", f"{whole:.1f}")
    console.print(table)
    for found in sorted((asked.folder / "runs").glob("*/table.md")):
        console.print(f"{found.parent.name}, of random weights:\n{found.read_text()}", markup=False)


def commands(asked: argparse.Namespace) -> list[list[str]]:
    """What is typed, in order."""
    runs = asked.folder.absolute() / "runs"
    store = ["--store", str(asked.folder.absolute() / "store")]
    sized = ["--epochs", str(asked.epochs), *(part for each in asked.set for part in ("--set", each)), *store]
    model = ["--clip-model", asked.clip_model, "--clip-weights", asked.clip_weights]
    ablate = ["ablate", "--seeds", str(asked.seeds), *sized, "--run"]
    found = [["ingest", str(asked.videos.absolute()), *model, *store]]
    if asked.student:
        found += [
            ["train-motion", "--epochs", "1", "--run", str(runs / "student"), *store],
            ["embed", "--motion", str(runs / "student"), *store],
            [*ablate, str(runs / "ablation-student")],
        ]
    else:
        found += [
            ["train-fusion", "--attention", "cross", *sized, "--run", str(runs / "cross")],
            [*ablate, str(runs / "ablation")],
            ["evaluate", str(runs / "cross"), "--split", asked.split, *store],
        ]
    return found


if __name__ == "__main__":
    main()
