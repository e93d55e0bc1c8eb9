"""Damage real clips in many ways and decode each: does every one end in an answer, and in which?

    python benchmarks/reliability/mutations.py --count 500 --seed 1 --videos FOLDER

Without --videos the clips are generated. Prints how many mutations ended how, the slowest, and how often the decoder
crashed or was given up. Exits 1 on a hang or on an exception that is no VideoError.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.vimoclip import awkward
from vimoclip.config.store import RunConfig, Sampling
from vimoclip.errors import VideoError
from vimoclip.video.decode import EXTENSIONS, VideoInfo
from vimoclip.video.decoder_process import DecoderProcess

LARGEST = 4 << 20  # bytes; a byte flipped in a long clip mostly says the same again


@dataclass(frozen=True)
class Mutation:
    """One damaged file. source: the clip it was made from."""

    path: str
    source: Path


@dataclass(frozen=True)
class Outcome:
    """How one mutation ended. kind: `decoded`, `kept` (in part), or the kind of its error; N for digits."""

    mutation: Mutation
    kind: str
    seconds: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=500, help="mutations in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed, the same mutations (default: %(default)s)")
    parser.add_argument("--videos", type=Path, help=f"folder of clips; those above {LARGEST >> 20} MiB are left out")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds without a frame (default: %(default)s)")
    parser.add_argument("--keep", type=Path, help="folder to keep the mutations that crash the decoder or hang")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return run(options, Path(scratch))


def run(options: argparse.Namespace, scratch: Path) -> int:
    console = Console(soft_wrap=True)
    sources = clips(options.videos, scratch)
    if not sources:
        console.print(f"No clips of up to {LARGEST >> 20} MiB in {options.videos}.")
        return 1
    outcomes = []
    decoder = DecoderProcess(Sampling(fps=5), RunConfig(on_corrupt="keep", timeout_s=options.timeout))
    began = last = time.monotonic()
    for mutation, event in decoder.stream(mutate(sources, options.count, options.seed, scratch)):
        if not isinstance(event, VideoInfo | VideoError):
            continue
        now = time.monotonic()
        kind = event.kind if isinstance(event, VideoError) else "kept" if event.broken else "decoded"
        outcomes.append(Outcome(mutation, re.sub(r"\d+", "N", kind), now - last))
        last = now
        if options.keep is not None and kind in ("decoder-crashed", "timed-out"):
            options.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(mutation.path, options.keep)
        Path(mutation.path).unlink()
    report(console, outcomes, len(sources), time.monotonic() - began)
    hangs = sum(outcome.kind == "timed-out" for outcome in outcomes)
    return 1 if hangs or len(outcomes) != options.count else 0


def clips(folder: Path | None, scratch: Path) -> list[Path]:
    if folder is None:
        folder = scratch / "clips"
        folder.mkdir()
        awkward.write_all(folder)
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in EXTENSIONS)
    return sorted(path for path in files if 0 < path.stat().st_size <= LARGEST)


def mutate(sources: list[Path], count: int, seed: int, scratch: Path) -> Iterator[Mutation]:
    """`count` mutations spread evenly over the sources, written when they are asked for."""
    for n, source in enumerate(sources):
        share = count // len(sources) + (n < count % len(sources))
        for name, data in awkward.mutations(source, share, seed):
            path = scratch / f"{n}-{name}"
            path.write_bytes(data)
            yield Mutation(str(path), source)


def report(console: Console, outcomes: list[Outcome], sources: int, seconds: float) -> None:
    table = Table("outcome", "count", title=f"{len(outcomes)} mutations of {sources} clips in {seconds:.0f} s")
    counts = Counter(outcome.kind for outcome in outcomes)
    for kind, count in counts.most_common():
        table.add_row(kind, str(count))
    console.print(table)
    if outcomes:
        slowest = max(outcomes, key=lambda outcome: outcome.seconds)
        what = f"{Path(slowest.mutation.path).name} of {slowest.mutation.source.name}"
        console.print(f"Slowest: {slowest.seconds:.2f} s, {what}", markup=False, highlight=False)
    console.print(f"Decoder crashes: {counts['decoder-crashed']}. Timeouts: {counts['timed-out']}.")


if __name__ == "__main__":
    sys.exit(main())
