"""The demo from an empty folder, and once more: what each step takes, and what comes out.

    python -m benchmarks.worlds.demo_world FOLDER [--size small|full]

Seconds and peak memory of each step (pipelines/demo/costs.py), Table 2 of the world, the hard pairs with and without
motion, and the time of a second run, which finds everything done.
"""

import argparse
import functools
from pathlib import Path
from typing import get_args

from benchmarks.common import describe_machine
from cli.demo import carry_out
from cli.main import app
from cli.progress import ProgressBar
from pipelines.demo import SizeName
from pipelines.demo.hard_pairs import PairAccuracy, overall
from pipelines.demo.report import WITH, WITHOUT
from pipelines.demo.run import DemoReport, DemoRequest, run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=get_args(SizeName), default="full")
    options = parser.parse_args()
    if options.folder.exists():
        raise SystemExit(f"{options.folder} is there already; name a folder that is not.")
    request = DemoRequest(options.folder, options.size)
    first = run(request, functools.partial(carry_out, app), ProgressBar())  # lines; the bars are the commands' own
    again = run(request, functools.partial(carry_out, app), ProgressBar())
    print(describe_machine())
    print("\n".join(lines(first)))
    print(f"in all {first.seconds:.1f} s; again {again.seconds:.1f} s")


def lines(report: DemoReport) -> list[str]:
    """What a demo found, a line a step, a row and a pair."""
    said = [f"{name:16} {cost.seconds:8.1f} s {cost.peak_bytes / 1e9:6.2f} GB" for name, cost in report.costs.items()]
    said += [f"{row.name:32} mAP micro {100 * row.micro:6.2f}{_half(row.micro, row.high)}" for row in report.rows]
    said += [_pair(f"{pair.one}, {pair.other}", pair.told[WITHOUT], pair.told[WITH]) for pair in report.pairs]
    told = overall(report.pairs)
    return [*said, _pair("all pairs", told[WITHOUT], told[WITH])]


def _half(mean: float, high: float | None) -> str:
    return "" if high is None else f" ± {100 * (high - mean):.2f}"


def _pair(name: str, without: PairAccuracy, with_motion: PairAccuracy) -> str:
    shown = (f"{told.right:g} of {told.of}" for told in (without, with_motion))
    return f"{name:32} right: image only {next(shown)}, image and motion {next(shown)}"


if __name__ == "__main__":
    main()
