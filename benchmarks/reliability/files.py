"""Video files that are damaged or unusual: each is decoded, ingested or named with its kind, without a hang.

    python -m benchmarks.reliability.files ingest FOLDER... [--mutations 500] [--seed 1]
    python -m benchmarks.reliability.files decode [--count 500] [--seed 1] [--videos FOLDER]

ingest: the real command, on the folders together with a generated set (audio only, no frames, no moov atom, encrypted,
1x1, one frame, …) and seeded byte mutations of the small clips among them, with a tiny model at --fps 2; then the store
is verified. Exits 1 if the command does not end with 3 or has a traceback, a file is unaccounted for, or the store is
not whole.
decode: the decoder alone, on mutations of the clips of a folder, or of generated ones. Prints how many mutations ended
how, the slowest, and how often the decoder crashed or was given up. Exits 1 on a hang or on an exception that is no
VideoError.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from pipelines.ingest_plan import discover
from tests.models import write_tiny_clip
from tests.vimoclip import awkward
from vimoclip.config.store import RunConfig, Sampling
from vimoclip.errors import VideoError
from vimoclip.frames import VideoDone
from vimoclip.video.decoder_process import DecoderProcess
from vimoclip.video.files import EXTENSIONS

LARGEST_DECODED = 4 << 20
"""Bytes of a clip that is mutated and decoded; a byte flipped in a long clip mostly says the same again."""
LARGEST_INGESTED = 500_000
"""Bytes of a clip that is mutated and ingested."""


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
    """Run what was asked for; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("ingest")
    one.add_argument("folders", nargs="+", type=Path)
    one.add_argument("--mutations", type=int, default=500)
    one.add_argument("--seed", type=int, default=1)
    one = commands.add_parser("decode")
    one.add_argument("--count", type=int, default=500, help="mutations in all (default: %(default)s)")
    one.add_argument("--seed", type=int, default=1, help="the same seed, the same mutations (default: %(default)s)")
    one.add_argument("--videos", type=Path, help=f"folder of clips of up to {LARGEST_DECODED >> 20} MiB each")
    one.add_argument("--timeout", type=float, default=30.0, help="seconds without a frame (default: %(default)s)")
    one.add_argument("--keep", type=Path, help="folder to keep the mutations that crash the decoder or hang")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return (ingest_corrupt_files if options.command == "ingest" else decode_mutations)(options, Path(scratch))


def ingest_corrupt_files(options: argparse.Namespace, scratch: Path) -> int:
    """Ingest and verify; 1 if a file is unaccounted for or the store is not whole."""
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    store, (generated, mutated, count) = scratch / "store", corrupt_files(options, scratch)
    folders = [*map(str, options.folders), str(generated), str(mutated)]
    command = [sys.executable, "-m", "vimoclip", "ingest", *folders, "--store", str(store), "--json", "--fps", "2"]
    command += ["--clip-model", write_tiny_clip(scratch / "model"), "--flow", "dis"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    report = json.loads(done.stdout)
    verified = subprocess.run([sys.executable, "-m", "vimoclip", "verify", "--store", str(store)], check=False)
    kinds = Counter(re.sub(r"\d+", "N", kind) for _, kind, _ in report["failed"])
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


def corrupt_files(options: argparse.Namespace, scratch: Path) -> tuple[Path, Path, int]:
    """Write the generated files and the mutations; the folders of either, and how many mutations there are."""
    generated, mutated = scratch / "generated", scratch / "mutated"
    for folder in (generated, generated / "names", mutated):
        folder.mkdir()
    awkward.write_all(generated)
    sources = [Path(video.path) for video in discover(options.folders).videos if video.bytes < LARGEST_INGESTED]
    awkward.write_names(generated / "names", sources[0])
    each = -(-options.mutations // len(sources))
    count = 0
    for source in sources:
        for name, data in awkward.mutations(source, min(each, options.mutations - count), options.seed):
            (mutated / f"{count:04d}-{name}").write_bytes(data)
            count += 1
    return generated, mutated, count


def decode_mutations(options: argparse.Namespace, scratch: Path) -> int:
    """Decode every mutation; 1 if one hangs or is lost."""
    console = Console(soft_wrap=True)
    sources = clips(options.videos, scratch)
    if not sources:
        console.print(f"No clips of up to {LARGEST_DECODED >> 20} MiB in {options.videos}.")
        return 1
    outcomes = []
    decoder = DecoderProcess(Sampling(fps=5), RunConfig(on_corrupt="keep", timeout_s=options.timeout))
    began = last = time.monotonic()
    for mutation, event in decoder.stream(mutate(sources, options.count, options.seed, scratch)):
        if not isinstance(event, VideoDone | VideoError):
            continue
        now = time.monotonic()
        kind = event.kind if isinstance(event, VideoError) else "kept" if event.info.broken else "decoded"
        outcomes.append(Outcome(mutation, re.sub(r"\d+", "N", kind), now - last))
        last = now
        if options.keep is not None and kind in ("decoder-crashed", "timed-out"):
            options.keep.mkdir(parents=True, exist_ok=True)
            shutil.copy(mutation.path, options.keep)
        Path(mutation.path).unlink()
    print_outcomes(console, outcomes, len(sources), time.monotonic() - began)
    hangs = sum(outcome.kind == "timed-out" for outcome in outcomes)
    return 1 if hangs or len(outcomes) != options.count else 0


def clips(folder: Path | None, scratch: Path) -> list[Path]:
    """The clips of a folder that are small enough, or generated ones."""
    if folder is None:
        folder = scratch / "clips"
        folder.mkdir()
        awkward.write_all(folder)
    files = (path for path in folder.rglob("*") if path.is_file() and path.suffix.lower() in EXTENSIONS)
    return sorted(path for path in files if 0 < path.stat().st_size <= LARGEST_DECODED)


def mutate(sources: list[Path], count: int, seed: int, scratch: Path) -> Iterator[Mutation]:
    """`count` mutations spread evenly over the sources, written when they are asked for."""
    for n, source in enumerate(sources):
        share = count // len(sources) + (n < count % len(sources))
        for name, data in awkward.mutations(source, share, seed):
            path = scratch / f"{n}-{name}"
            path.write_bytes(data)
            yield Mutation(str(path), source)


def print_outcomes(console: Console, outcomes: list[Outcome], sources: int, seconds: float) -> None:
    """Print how many mutations ended how, and the slowest."""
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
