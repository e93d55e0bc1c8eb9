"""Frame times against ffprobe's: best_effort_timestamp less the first frame's, on real files and on generated ones.

    python -m benchmarks.reliability.frame_times FOLDER [--json FILE]

Needs ffmpeg and ffprobe on PATH, for this alone. Ours may differ where a time is missing or does not increase, and says
so in `repaired_times`; a file of which more frames differ is wrong, and the script exits 1.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
from rich.console import Console

from benchmarks.common import describe_machine
from vimoclip.config.store import Sampling
from vimoclip.errors import VideoError
from vimoclip.frames import VideoDone, VideoInfo, VideoReset
from vimoclip.video.decode import FrameChunk, decode
from vimoclip.video.files import EXTENSIONS

TOLERANCE_S = 1e-5
console = Console(soft_wrap=True)


@dataclass(frozen=True)
class Compared:
    """A file's frame times, ours and ffprobe's.

    Attributes:
        name: of the file.
        frames: that we decode.
        theirs: frames that ffprobe decodes.
        source: our `time_source`, or the kind of the error.
        equal: frames whose times are equal.
        repaired: frames whose times we repaired.
        untimed: frames to which ffprobe gives no time.
        differ: the rest of frames, whose times are not equal.
        resets: how often chunks were taken back.
        broken: whether we stopped at damage, which ffprobe passes over.
    """

    name: str
    frames: int
    theirs: int
    source: str
    equal: int
    repaired: int
    untimed: int
    differ: int
    resets: int
    broken: bool = False

    @property
    def right(self) -> bool:
        """Whether all that differs was repaired."""
        counted = self.broken or self.theirs in (self.frames, 0)
        return counted and self.differ <= self.repaired and (self.untimed <= self.repaired or self.by_rate)

    @property
    def by_rate(self) -> bool:
        """Whether the file gives no times."""
        return self.source in ("rate", "assumed")

    @property
    def readable(self) -> bool:
        """Whether we decode it."""
        return self.frames > 0


def ours(path: Path) -> tuple[list[float], VideoInfo, int]:
    """Our times, what else we say about them, and how often chunks were taken back."""
    times: list[float] = []
    resets = 0
    for event in decode(path, Sampling(), "keep"):
        if isinstance(event, FrameChunk):
            times += event.time_s.tolist()
        elif isinstance(event, VideoReset):
            times, resets = [], resets + 1
        elif isinstance(event, VideoDone):
            return times, event.info, resets
    raise AssertionError("a video that ends without VideoDone")


def ffprobes(path: Path) -> list[float | None]:
    """The frames' times by ffprobe, None where it gives none."""
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            best = container.streams.best("video")
            if best is None:
                return []
            index = str(best.index)
    except (av.FFmpegError, OSError):
        return []
    entries = "frame=best_effort_timestamp:stream=time_base"
    command = ["ffprobe", "-v", "quiet", "-threads", "1", "-select_streams", index, "-show_entries", entries, "-of"]
    said = subprocess.run([*command, "json", "-i", str(path.absolute())], capture_output=True, text=True, check=False)
    found = json.loads(said.stdout or "{}")
    if not found.get("streams"):
        return []
    base = Fraction(found["streams"][0]["time_base"])
    return [
        float(frame["best_effort_timestamp"] * base) if "best_effort_timestamp" in frame else None
        for frame in found.get("frames", [])
    ]


def compare(path: Path, name: str) -> Compared:
    """Decode a file with both."""
    theirs = ffprobes(path)
    try:
        times, info, resets = ours(path)
    except VideoError as error:
        return Compared(name, 0, len(theirs), error.kind, 0, 0, 0, 0, 0)
    known = [n for n, at in enumerate(theirs) if at is not None]
    shared = [n for n in known if n < len(times)]
    first = theirs[shared[0]] - times[shared[0]] if shared else 0.0  # type: ignore[operator]
    equal = sum(abs(theirs[n] - first - times[n]) < TOLERANCE_S for n in shared)  # type: ignore[operator]
    untimed = sum(at is None for at in theirs[: len(times)])
    differ, broken = len(shared) - equal, info.broken is not None
    counts = (equal, info.repaired_times, untimed, differ, resets)
    return Compared(name, len(times), len(theirs), info.time_source, *counts, broken)


def ffmpeg(*arguments: str) -> Callable[[Path], None]:
    """Writes a file with ffmpeg."""

    def write(path: Path) -> None:
        subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments, str(path)], check=True, stdin=subprocess.DEVNULL)

    return write


def encoded(
    *arguments: str, rate: str = "10", seconds: str = "4", codec: str = "libx264", only: str = ""
) -> Callable[[Path], None]:
    """Writes a test pattern. only: a filter that chooses or moves frames, which keep their times."""
    source = f"testsrc2=size=64x48:rate={rate}:duration={seconds}"
    x264 = ("-bf", "0", "-g", "20") if codec in ("libx264", "mpeg4") and "-bf" not in arguments else ()
    filters = ("-vf", only, "-vsync", "vfr") if only else ()
    return ffmpeg("-f", "lavfi", "-i", source, *filters, "-c:v", codec, "-pix_fmt", "yuv420p", *x264, *arguments)


def moved(pts: str, **settings: str) -> Callable[[Path], None]:
    """Writes a test pattern whose packets get other times, by an expression of FFmpeg's setts."""
    return encoded("-bsf:v", f"setts=pts={pts}:dts=N-9000", **settings)


def cut(make: Callable[[Path], None], *arguments: str) -> Callable[[Path], None]:
    """Writes a file, and cuts it without encoding it again."""

    def write(path: Path) -> None:
        whole = path.with_name(f"whole-{path.name}")
        make(whole)
        ffmpeg(*arguments[:2], "-i", str(whole), *arguments[2:], "-c", "copy")(path)
        whole.unlink()

    return write


def from_the_middle(path: Path) -> None:
    """A transport stream without its first packets but the tables: it begins within a group of pictures."""
    encoded("-g", "20", seconds="6", codec="libx264")(path)
    data = path.read_bytes()
    start = len(data) // 188 // 2 * 188
    path.write_bytes(data[: 3 * 188] + data[start:])


def set_back(path: Path) -> None:
    """Two transport streams end to end: the clock begins anew."""
    encoded()(path)
    path.write_bytes(2 * path.read_bytes())


DROPPED = "select=not(between(n\\,10\\,29))"
GENERATED: dict[str, Callable[[Path], None]] = {
    "constant.mp4": encoded(),
    "constant.avi": encoded(codec="mpeg4"),
    "ntsc.mp4": encoded(rate="30000/1001"),
    "ntsc.mkv": encoded(rate="30000/1001"),
    "b-frames.mp4": encoded("-bf", "2"),
    "b-frames.mkv": encoded("-bf", "3", "-b_strategy", "0"),
    "b-frames.avi": encoded("-bf", "2"),
    "b-frames-mpeg4.avi": encoded("-bf", "2", codec="mpeg4"),
    "b-frames.ts": encoded("-bf", "2", codec="mpeg2video"),
    "b-frames.mpg": encoded("-bf", "2", rate="25", codec="mpeg2video"),
    "dropped.avi": encoded(codec="mpeg4", only=DROPPED),
    "dropped-b-frames.avi": encoded("-bf", "2", only=DROPPED),
    "dropped-jpeg.avi": encoded("-strict", "-1", codec="mjpeg", only=DROPPED),
    "uneven.mkv": encoded(only="setpts=N*(N+3)/20/TB"),
    "gap.mp4": encoded(only="setpts=(N/10+17*gte(N\\,20))/TB"),
    "gap.mkv": encoded(only="setpts=(N/10+17*gte(N\\,20))/TB"),
    "negative-dts.mp4": encoded("-bf", "2", "-movflags", "negative_cts_offsets"),
    "negative-dts.nut": encoded("-bf", "2", "-avoid_negative_ts", "disabled"),
    "late.ts": encoded("-output_ts_offset", "50"),
    "within-a-group.ts": from_the_middle,
    "edited.mp4": cut(encoded(), "-ss", "1.5", "-t", "1.2"),
    "edited-b-frames.mp4": cut(encoded("-bf", "2"), "-ss", "1.5", "-t", "1.2"),
    "fragments.mp4": encoded("-movflags", "frag_keyframe+empty_moov"),
    "1000.mp4": encoded(rate="1000", seconds="0.1"),
    "1000.avi": encoded(rate="1000", seconds="0.1", codec="mpeg4"),
    "1000.mkv": encoded(rate="1000", seconds="0.1"),
    "10000.mp4": encoded(rate="10000", seconds="0.01"),
    "time-lapse.mov": encoded(rate="1/5", seconds="100"),
    "milliseconds.flv": encoded(rate="30"),
    "milliseconds.wmv": encoded(rate="30", codec="wmv2"),
    "vp9.webm": encoded("-deadline", "realtime", rate="30", seconds="1", codec="libvpx-vp9"),
    "hundredths.gif": ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:rate=10:duration=2"),
    "bare.h264": encoded(rate="25"),
    "bare.m4v": encoded("-f", "m4v", rate="25", codec="mpeg4"),
    "equal.mkv": moved("PTS-100*eq(N\\,20)"),
    "equal-thrice.mkv": moved("PTS-100*eq(N\\,10)-100*eq(N\\,20)-200*eq(N\\,21)"),
    "2000.mkv": encoded(rate="2000", seconds="0.1", codec="mpeg4"),
    "falls.mkv": moved("PTS-500*eq(N\\,20)"),
    "far-ahead.mkv": moved("PTS+900000*eq(N\\,20)"),
    "set-back.ts": set_back,
}
"""Files of each kind; of the last six, some times cannot be."""


def table(title: str, rows: Iterable[Compared]) -> None:
    """Print a table in Markdown."""
    console.print(f"\n| {title} | frames | times by | equal | repaired | without a time | restarts | |", markup=False)
    console.print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        what = "" if row.right else "**wrong**"
        console.print(
            f"| {row.name} | {row.frames} | {row.source} | {row.equal} | {row.repaired} | {row.untimed} | {row.resets} "
            f"| {what} |",
            markup=False,
        )


def real(folder: Path) -> list[Compared]:
    """Compare every file below a folder that we can decode."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)
    return [compare(path, str(path.relative_to(folder))) for path in paths]


def generated() -> list[Compared]:
    """Write each of GENERATED, and compare it."""
    with tempfile.TemporaryDirectory() as place:
        rows = []
        for name, make in GENERATED.items():
            make(Path(place, name))
            rows.append(compare(Path(place, name), name))
        return rows


def summed(name: str, rows: list[Compared]) -> Compared:
    """Files that are all alike, in one row."""
    sources = sorted({row.source for row in rows})
    sums = {
        key: sum(getattr(row, key) for row in rows)
        for key in ("frames", "theirs", "equal", "repaired", "untimed", "differ", "resets")
    }
    broken = any(row.broken for row in rows)
    return Compared(f"{name}: {len(rows)} files", source=", ".join(sources), broken=broken, **sums)


def main() -> int:
    """Compare, print, and say whether anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--json", type=Path, help="write every row here")
    arguments = parser.parse_args()
    if not all(map(shutil.which, ("ffmpeg", "ffprobe"))):
        parser.error("ffmpeg and ffprobe are needed: apt-get install ffmpeg")
    console.print(describe_machine())
    found, made = real(arguments.folder), generated()
    groups: dict[str, list[Compared]] = {}
    for row in found:
        if row.readable:
            groups.setdefault(row.name.split("/")[0], []).append(row)
    table("real", [summed(name, rows) for name, rows in groups.items()])
    table("generated", made)
    odd = [row for row in found if row.readable and (row.repaired or row.by_rate or not row.right)]
    table("real, not all equal", odd)
    for row in found:
        if not row.readable:
            console.print(f"not decoded: {row.name} ({row.source}; ffprobe: {row.theirs} frames)", markup=False)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps([asdict(row) for row in found + made], indent=1))
    wrong = [row.name for row in [*(row for row in found if row.readable), *made] if not row.right]
    console.print(
        f"{sum(row.readable for row in found)} real and {len(made)} generated files, wrong: {wrong or 'none'}"
    )
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
