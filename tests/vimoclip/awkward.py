"""Video files that bite, written from nothing, and seeded damage to real ones.

`write_all(folder)` writes every file of `FILES` and says what is to be expected of each.
"""

import random
import shutil
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from numpy.typing import NDArray

from vimoclip.video.encode import X264

VIDEOS = Path(__file__).resolve().parents[3] / "shared" / "videos"
"""Real files beside the checkout; tests that need them are skipped where they are absent."""

Picture = NDArray[np.uint8]

WIDTH, HEIGHT, FRAMES, RATE = 64, 48, 24, 10
EMPTY = 7  # the frame without bytes in empty-packet.mp4

NAMES = (
    "-leading-dash.mp4",
    "--version.mp4",
    " spaces  within and around .mp4",
    'it\'s "quoted".mp4',
    "x' OR '1'='1.mp4",
    "%03d.mp4",
    "100%.mp4",
    "Ta\u00ef e\u0301.mp4",  # NFC, then NFD
    "Tai\u0308 \u00e9.mp4",
    "猫 🐈.mp4",
    "http:colon,comma|pipe.mp4",
    "star*[a]?{b}.mp4",
    "new\nline.mp4",
    "UPPER.MP4",
)
"""File names that shells, globs, filters and URL parsers stumble over."""


@dataclass(frozen=True)
class Expected:
    """What decoding a file gives. kind: of its VideoError, N for digits, or None where it decodes; then the rest holds.

    size: (width, height), upright. time_source: of its VideoInfo. restarts: VideoResets before it, all frames stored.
    """

    kind: str | None = None
    frames: int = FRAMES
    size: tuple[int, int] = (WIDTH, HEIGHT)
    time_source: str = "pts"
    restarts: int = 0


def picture(n: int, width: int = WIDTH, height: int = HEIGHT) -> Picture:
    """Frame n, RGB: a gradient that no turn or mirror maps onto itself, and a bar that moves."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.linspace(20, 230, width, dtype=np.uint8)
    image[..., 1] = np.linspace(40, 200, height, dtype=np.uint8)[:, None]
    image[: max(1, height // 3), : max(1, width // 2), 2] = 200
    left = 3 * n % width
    image[:, left : left + max(1, width // 16)] = 250 - 5 * n % 200
    return image


def write(
    path: Path,
    frames: int = FRAMES,
    *,
    codec: str = "libx264",
    size: tuple[int, int] = (WIDTH, HEIGHT),
    rate: int | Fraction = RATE,
    pix_fmt: str = "yuv420p",
    times: Sequence[int] | None = None,
    options: Mapping[str, str] | None = None,
    container: Mapping[str, str] | None = None,
    format: str | None = None,
    prepare: Callable[[Any], None] | None = None,
) -> None:
    """Encode the first `frames` pictures. times: pts in periods, in the order of the packets, if the codec keeps it.

    options: the encoder's. container: the muxer's. prepare: called with the stream before anything is encoded.
    """
    times = times or range(frames)
    with av.open(str(path), "w", format=format, container_options=dict(container or {})) as output:
        stream: Any = output.add_stream(codec, rate)
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.codec_context.thread_count = 1
        # The same pictures must give the same bytes, or files cannot be held against each other: see X264.
        own = X264 if codec == "libx264" else {}
        stream.codec_context.options = {"bf": "0"} | dict(own) | dict(options or {})
        if prepare is not None:
            prepare(stream)
        packets = 0
        for n in range(frames + 1):
            frame = None
            if n < frames:
                frame = av.VideoFrame.from_ndarray(picture(n, *size), format="rgb24")
                frame.pts = n
            for packet in stream.encode(frame):
                packet.pts = times[packets]
                packet.dts = packets - 1000 if list(times) != list(range(frames)) else packets
                packets += 1
                output.mux(packet)


def repeat(path: Path, frames: int, size: tuple[int, int], rate: int = 25) -> None:
    """A long clip for little work: one JPEG picture, again and again."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mjpeg", rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuvj420p"
        output.start_encoding()
        frame = av.VideoFrame.from_ndarray(picture(0, *size), format="rgb24").reformat(format="yuvj420p")
        frame.pts = 0
        data = b"".join(bytes(packet) for packet in (*stream.encode(frame), *stream.encode(None)))
        time_base = stream.codec_context.time_base
        for n in range(frames):
            packet: Any = av.Packet(data)
            packet.stream, packet.time_base, packet.pts, packet.dts, packet.is_keyframe = stream, time_base, n, n, True
            output.mux(packet)


def solid(path: Path, yuv: tuple[int, int, int], *, matrix: int, full_range: bool) -> None:
    """Three lossless frames of one colour. matrix: ITU-T H.273 matrix coefficients, 1 for BT.709, 6 for BT.601."""
    planes = np.empty((3, HEIGHT, WIDTH), np.uint8)
    planes[:] = np.array(yuv, np.uint8)[:, None, None]
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("ffv1", RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if full_range else 1
        for n in range(3):
            frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
            frame.colorspace, frame.color_range, frame.pts = matrix, 2 if full_range else 1, n
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def patch(path: Path, box: bytes, offset: int, value: bytes) -> None:
    """Overwrite bytes of the first MP4 box (or AVI chunk) of that name, counted from the end of its name."""
    data = bytearray(path.read_bytes())
    start = data.index(box) + len(box) + offset
    data[start : start + len(value)] = value
    path.write_bytes(data)


def audio_only(path: Path, *, codec: str = "aac", cover: bool = False) -> None:
    with av.open(str(path), "w") as output:
        picture_stream: Any = None
        if cover:
            picture_stream = output.add_stream("mjpeg", 1)
            picture_stream.width, picture_stream.height, picture_stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
            picture_stream.disposition = Disposition.attached_pic
        stream: Any = output.add_stream(codec, 16000, layout="mono")
        if picture_stream is not None:
            frame = av.VideoFrame.from_ndarray(picture(0), format="rgb24")
            frame.pts = 0
            output.mux(picture_stream.encode(frame))
            output.mux(picture_stream.encode(None))
        for n in range(20):
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
            sound.sample_rate, sound.pts = 16000, n * 1024
            output.mux(stream.encode(sound))
        output.mux(stream.encode(None))


def zero_bytes(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("This is no video.\n" * 300)


def no_moov(path: Path) -> None:
    write(path)  # the muxer puts the moov last
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"moov") - 4])


def half_moov(path: Path) -> None:
    write(path)
    data = path.read_bytes()
    start = data.index(b"moov")
    path.write_bytes(data[: (start + len(data)) // 2])


def half_mdat(path: Path) -> None:
    """An index that promises every frame, and half of the frames."""
    write(path, codec="mjpeg", pix_fmt="yuvj420p", container={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: (data.index(b"mdat") + len(data)) // 2])


def no_packets(path: Path) -> None:
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mpeg4", RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        output.start_encoding()


def encrypted(path: Path) -> None:
    key = {"encryption_key": "00112233445566778899aabbccddeeff", "encryption_kid": "0123456789abcdef" * 2}
    write(path, container={"encryption_scheme": "cenc-aes-ctr", **key})


def unknown_codec(path: Path) -> None:
    write(path)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz"))


def rotated(path: Path, degrees: int) -> None:
    """degrees: counter-clockwise, to be shown upright."""
    write(path, prepare=lambda stream: stream.set_display_rotation(degrees))


def broken_matrix(path: Path) -> None:
    """A display matrix of zeros: its rotation is -2147483648."""
    write(path)
    patch(path, b"tkhd", 40, bytes(36))


def two_sizes(path: Path) -> None:
    """Two MPEG streams end to end, the second at four times the pixels and with times that go on."""
    parts = [path.with_suffix(f".{n}") for n in (0, 1)]
    for n, part in enumerate(parts):
        times = [1000 + n * FRAMES + i for i in range(FRAMES)]
        size = (WIDTH << n, HEIGHT << n)
        write(part, size=size, codec="mpeg2video", rate=25, times=times, format="mpegts")
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    for part in parts:
        part.unlink()


def giant(path: Path) -> None:
    """A black picture of 144 megapixels in a few kilobytes; what it would take to show it is half a gigabyte."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("png", RATE)
        stream.width, stream.height, stream.pix_fmt = 12000, 12000, "monob"
        frame = av.VideoFrame(12000, 12000, "monob")
        for plane in frame.planes:
            plane.update(bytes(plane.buffer_size))
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def empty_packet(path: Path) -> None:
    """A sample of zero bytes, as a recorder writes for a frame it dropped."""
    write(path, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        sample = container.streams.video[0].index_entries[EMPTY]
        start, size = sample.pos, sample.size
    data = bytearray(path.read_bytes())
    table = data.index(b"stsz") + 16 + 4 * EMPTY
    assert data[table : table + 4] == struct.pack(">I", size)
    data[table : table + 4] = bytes(4)
    entries = data.index(b"stco") + 8
    for entry in range(entries + 4, entries + 4 + 4 * struct.unpack_from(">I", data, entries)[0], 4):
        offset = struct.unpack_from(">I", data, entry)[0]
        struct.pack_into(">I", data, entry, offset - size if offset > start else offset)
    mdat = data.index(b"mdat") - 4
    struct.pack_into(">I", data, mdat, struct.unpack_from(">I", data, mdat)[0] - size)
    del data[start : start + size]
    path.write_bytes(data)


def no_rate(path: Path) -> None:
    """One frame at a time of its own, nothing from which a rate could follow."""
    write(path, 1, codec="mjpeg", pix_fmt="yuvj420p")
    data = path.read_bytes()
    default_duration = bytes.fromhex("23e383")  # the element's id; renamed to one that readers skip
    assert data.count(default_duration) == 1
    path.write_bytes(data.replace(default_duration, bytes.fromhex("23e38f")))


def falling(path: Path, *, late: bool) -> None:
    times = list(range(60))
    if late:
        times[50] = 45
    else:
        times[1:4] = [3, 1, 2]
    write(path, 60, codec="mjpeg", pix_fmt="yuvj420p", times=times)


def moved(path: Path, changes: Mapping[int, int]) -> None:
    """60 frames; changes: what some of them have for a time, in periods."""
    times = [changes.get(n, n) for n in range(60)]
    write(path, 60, codec="mjpeg", pix_fmt="yuvj420p", times=times)


def dropped(path: Path, first: int, last: int, **settings: Any) -> None:
    """An AVI of 40 frames whose camera dropped some, and left empty chunks for them: no packet, but its place."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(settings.pop("codec", "libx264"), RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, settings.pop("pix_fmt", "yuv420p")
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"bf": "0"} | settings
        for n in [*range(first), *range(last + 1, 40)]:
            frame = av.VideoFrame.from_ndarray(picture(n), format="rgb24")
            frame.pts = n
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def within_a_group(path: Path) -> None:
    """A transport stream that begins 2.5 s before its first key frame, as a recorder that splits its files has it."""
    whole = path.with_suffix(".whole.ts")
    write(whole, 80, options={"g": "40", "sc_threshold": "0"}, format="mpegts")
    data = whole.read_bytes()
    whole.unlink()
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    starts = [n for n, packet in enumerate(packets) if packet[1] & 0x40 and (packet[1] & 0x1F, packet[2]) == (1, 0)]
    path.write_bytes(b"".join(packets[:3] + packets[starts[15] :]))


def side_data(path: Path) -> None:
    """JPEG pictures, the first with EXIF: side data of a type that PyAV does not know. It says: mirrored."""
    write(path, codec="mjpeg", pix_fmt="yuvj420p")
    data = bytearray(path.read_bytes())
    tiff = b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x0112, 3, 1, 2) + bytes(4)
    exif = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    with av.open(str(path)) as container:
        first = bytes(next(container.demux(video=0)))
    with av.open(str(path)) as source:
        packets = [bytes(packet) for packet in source.demux(video=0) if packet.size]
    assert data.count(first) == 1
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("mjpeg", RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuvj420p"
        output.start_encoding()
        for n, content in enumerate(packets):
            packet: Any = av.Packet(content[:2] + exif + content[2:] if n == 0 else content)
            packet.stream, packet.time_base, packet.is_keyframe = stream, stream.codec_context.time_base, True
            packet.pts = packet.dts = n
            output.mux(packet)


def deep(path: Path, format: str = "gray16le", low: int = 7000, high: int = 7400, codec: str = "ffv1") -> None:
    """A gray video of whose samples' range only low to high is used, each in every frame."""
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream(codec, RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, format
        for n in range(FRAMES):
            ramp = np.rint(np.linspace(low, high, WIDTH)).astype(np.uint16)
            frame = av.VideoFrame(WIDTH, HEIGHT, format)
            rows = np.zeros((HEIGHT, frame.planes[0].line_size // 2), ">u2" if format.endswith("be") else "<u2")
            rows[:, :WIDTH] = np.roll(ramp, n)
            frame.planes[0].update(rows.tobytes())
            frame.pts = n
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


FILES: dict[str, tuple[Callable[[Path], None], Expected]] = {
    "plain.mp4": (write, Expected()),
    "sound.mp4": (audio_only, Expected("no-video-stream")),
    "sound.mkv": (lambda path: audio_only(path, codec="pcm_s16le"), Expected("no-video-stream")),
    "cover.mp4": (lambda path: audio_only(path, cover=True), Expected("no-video-stream")),
    "zero-bytes.mp4": (zero_bytes, Expected("unreadable")),
    "text.mp4": (text, Expected("unreadable")),
    "no-moov.mp4": (no_moov, Expected("unreadable")),
    "half-moov.mp4": (half_moov, Expected("unreadable")),
    "half-mdat.mp4": (half_mdat, Expected("corrupt-after-N-frames")),
    "no-packets.avi": (no_packets, Expected("no-frames")),
    "no-packets.mp4": (no_packets, Expected("no-video-stream")),  # the muxer drops a track without samples
    "unknown-codec.mp4": (unknown_codec, Expected("unreadable")),
    "encrypted.mp4": (encrypted, Expected("encrypted")),
    "1x1.mkv": (lambda path: write(path, size=(1, 1), codec="ffv1", pix_fmt="bgr0"), Expected("too-small")),
    "7x300.mkv": (lambda path: write(path, size=(7, 300), codec="ffv1", pix_fmt="bgr0"), Expected("too-small")),
    "300x7.mkv": (lambda path: write(path, size=(300, 7), codec="ffv1", pix_fmt="bgr0"), Expected("too-small")),
    "8x8.mkv": (lambda path: write(path, size=(8, 8), codec="ffv1", pix_fmt="bgr0"), Expected(size=(8, 8))),
    "161x121.mp4": (lambda path: write(path, size=(161, 121), pix_fmt="yuv444p"), Expected(size=(161, 121))),
    "lossless.mkv": (lambda path: write(path, codec="ffv1", pix_fmt="bgr0"), Expected()),
    "one-frame.mp4": (lambda path: write(path, 1), Expected(frames=1)),
    "no-rate.mkv": (no_rate, Expected(frames=1)),
    "raw.h264": (write, Expected(time_source="rate")),
    "2000-a-second.mkv": (  # its times, in whole milliseconds, stand still every other frame: those lie between
        lambda path: write(path, codec="mjpeg", pix_fmt="yuvj420p", rate=2000),
        Expected(time_source="repaired"),
    ),
    "rotated-90.mp4": (lambda path: rotated(path, 90), Expected(size=(HEIGHT, WIDTH))),
    "rotated-180.mp4": (lambda path: rotated(path, 180), Expected()),
    "rotated-270.mp4": (lambda path: rotated(path, 270), Expected(size=(HEIGHT, WIDTH))),
    "rotated-45.mp4": (lambda path: rotated(path, 45), Expected()),
    "broken-matrix.mp4": (broken_matrix, Expected()),
    # One time of 60 is wrong in each: it alone is repaired, and nothing that was handed out is taken back for it.
    "falling-early.mkv": (lambda path: falling(path, late=False), Expected(frames=60, time_source="repaired")),
    "falling-late.mkv": (lambda path: falling(path, late=True), Expected(frames=60, time_source="repaired")),
    # This one has been handed out before the frames after it contradict it.
    "far-ahead.mkv": (lambda path: moved(path, {15: 500}), Expected(frames=60, time_source="repaired", restarts=1)),
    "far-ahead-early.mkv": (lambda path: moved(path, {3: 500}), Expected(frames=60, time_source="repaired")),
    "equal.mkv": (lambda path: moved(path, {20: 19, 40: 39, 41: 39}), Expected(frames=60, time_source="repaired")),
    "dropped.avi": (lambda path: dropped(path, 10, 29), Expected(frames=20)),
    "dropped-b-frames.avi": (
        lambda path: dropped(path, 10, 29, bf="2"),
        Expected(frames=20, time_source="repaired"),
    ),
    "within-a-group.ts": (within_a_group, Expected(frames=40)),
    "exif.avi": (side_data, Expected()),
    "exif.mkv": (side_data, Expected()),
    "late-start.mkv": (lambda path: write(path, times=range(500, 500 + FRAMES)), Expected()),
    "uneven.mkv": (lambda path: write(path, times=[n * (n + 3) // 2 for n in range(FRAMES)]), Expected()),
    "giant.mov": (giant, Expected("unreadable")),
    "two-sizes.ts": (two_sizes, Expected(frames=2 * FRAMES - 1)),  # the decoder drops the one it held back
    "empty-packet.mp4": (empty_packet, Expected(frames=FRAMES - 1)),
    "wide-pixels.mp4": (lambda path: write(path, options={"aspect": "8:3"}), Expected()),
    "10-bit.mp4": (lambda path: write(path, pix_fmt="yuv420p10le"), Expected()),
    "unknown-matrix.mp4": (lambda path: write(path, options={"colorspace": "ycgco"}), Expected("unreadable")),
}
"""How each file is written, and what decoding it gives."""


def write_all(folder: Path) -> dict[str, Expected]:
    """Write every one of FILES into the folder; what decoding it gives, by name."""
    for name, (make, _) in FILES.items():
        make(folder / name)
    return {name: expected for name, (_, expected) in FILES.items()}


def write_names(folder: Path, source: Path) -> list[Path]:
    """A copy of `source` under each of NAMES."""
    paths = [folder / name for name in NAMES]
    for path in paths:
        shutil.copyfile(source, path)
    return paths


def mutations(source: Path, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """`count` damaged copies of a file, each with a name that says what was done; the same seed gives the same ones.

    In turn: bits flipped, a run deleted, inserted or overwritten, the end cut off. Half of all places are in the first
    or last 2 KiB, where containers keep what decoders trust.
    """
    original = source.read_bytes()
    rng = random.Random(f"{seed} {len(original)}")
    for n in range(count):
        data = bytearray(original)
        kind = ("flip", "delete", "insert", "overwrite", "truncate")[n % 5]
        if kind == "flip":
            for _ in range(rng.choice((1, 8, 64, 512))):
                data[_place(rng, len(data))] ^= 1 << rng.randrange(8)
        elif kind == "truncate":
            del data[_place(rng, len(data)) :]
        else:
            start, length = _place(rng, len(data)), rng.choice((1, 4, 32, 400))
            noise = rng.randbytes(length) if rng.random() < 0.5 else rng.choice((b"\0", b"\xff")) * length
            stop = start if kind == "insert" else start + length
            data[start:stop] = b"" if kind == "delete" else noise
        yield f"{n:05d}-{kind}{source.suffix}", bytes(data)


def _place(rng: random.Random, size: int) -> int:
    edge = min(size, 2048)
    where = rng.random()
    if where < 0.25:
        return rng.randrange(edge)
    if where < 0.5:
        return size - 1 - rng.randrange(edge)
    return rng.randrange(size)
