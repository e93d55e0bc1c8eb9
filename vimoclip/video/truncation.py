"""Whether a file ends before what its container promises: a copy that broke off, a battery that died.

FFmpeg takes the end of such a file for the end of the video. What is read here is how far the container itself says
that its pictures reach. A container that promises nothing, as a live recording that nobody closed, is never cut off;
and sizes that are wrong in a whole file, as some recorders write them, need a second witness.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import av
from av.packet import Packet
from av.video.stream import VideoStream

SLACK_BYTES = 8
"""By which sizes in headers may be off: padding, and the header itself counted or not."""
HEAD_BYTES = 1 << 16
CONTINUITY = ("mpegts", "mpeg")
"""Formats whose packets FFmpeg marks as corrupt after any loss, not only at the end of the file."""


@dataclass(frozen=True)
class Shortfall:
    """What a container promises beyond the end of its file.

    Attributes:
        cut: whether it promises anything.
        frames: where not None, it counts only if fewer frames are there.
        end_s: where not None, it counts only if the last packet ends before this time.
        last_short: whether the last packet is cut short, which FFmpeg does not see.
    """

    cut: bool = False
    frames: int | None = None
    end_s: float | None = None
    last_short: bool = False

    def misses(self, last: "Packet[VideoStream]") -> bool:
        """Whether frames are missing, by the last packet that is there."""
        if not self.cut:
            return False
        if last.is_corrupt:
            return True
        at = last.pts if last.dts is None else last.dts
        if self.frames is not None and at is not None:
            return at + 1 < self.frames
        if self.end_s is not None and last.pts is not None:
            duration = last.duration or 0
            return float((last.pts + 2 * max(duration, 1)) * last.time_base) < self.end_s
        return True


def shortfall(path: Path, container: av.container.InputContainer, stream: VideoStream) -> Shortfall:
    """What the container promises beyond the end of the file.

    Args:
        path: the file.
        container: the same, open.
        stream: its video.
    """
    kind = container.format.name
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if kind == "avi":
                return Shortfall(_riff(file, size), frames=stream.frames or None)
            if "matroska" in kind:
                return _matroska(file, size, container)
            if "mov" in kind:
                return Shortfall(_index(container, stream) or _fragments(file, size))
            if kind == "mpegts":
                return Shortfall(_transport(file, size), last_short=True)
            if kind == "flv":
                return _flash(file, size, container)
            if kind == "asf":
                return Shortfall(_asf(file, size), last_short=True)
            if kind == "mxf":
                return Shortfall(_mxf(file, size))
            if kind == "gif":
                return Shortfall(_gif(file.read()), last_short=True)
            if kind == "ogg":
                return Shortfall(_ogg(file, size))
    except (OSError, struct.error):
        pass
    return Shortfall()


def _chunks(
    file: BinaryIO, size: int, pos: int, form: str, *, head: bool = False, pad: int = 1
) -> Iterator[tuple[bytes, int, int]]:
    """Name, position and end of each chunk from `pos`, the last of which may end beyond the file.

    form: of the header, in struct's words: `4sI` or `I4s`. head: whether sizes include the header. pad: to multiples.
    """
    while pos + 8 <= size:
        file.seek(pos)
        first, second = struct.unpack(form, file.read(8))
        name, length = (first, second) if isinstance(first, bytes) else (second, first)
        if head and length == 1:
            length = struct.unpack(">Q", file.read(8))[0]
        if not length:
            return  # to the end of the file, or never filled in
        end = pos + length + (0 if head else 8)
        if end < pos + 8:
            return
        yield name, pos, end
        pos = -(-end // pad) * pad


def _riff(file: BinaryIO, size: int) -> bool:
    """AVI: the size of the list of frames, in each RIFF of an OpenDML file."""
    for name, pos, riff_end in _chunks(file, size, 0, "<4sI", pad=2):
        if name != b"RIFF":
            return False
        for inner, start, end in _chunks(file, size, pos + 12, "<4sI", pad=2):
            if inner == b"LIST":
                file.seek(start + 8)
                if file.read(4) == b"movi" and end > size + SLACK_BYTES:
                    return True
            if end >= riff_end:
                break
    return False


def _index(container: av.container.InputContainer, stream: VideoStream) -> bool:
    """MP4: the last frame that the index names."""
    index = stream.index_entries
    return len(index) > 0 and index[-1].pos + index[-1].size > container.size


def _fragments(file: BinaryIO, size: int) -> bool:
    """MP4 in fragments: the size of the last."""
    fragmented = False
    for name, _, end in _chunks(file, size, 0, ">I4s", head=True):
        fragmented |= name == b"moof"
        if end > size:
            return fragmented and name in (b"moof", b"mdat")
    return False


def _ebml(file: BinaryIO, pos: int) -> tuple[int, int, int | None]:
    """Id, content and end of the element at `pos`; the end is None where it is left open."""
    file.seek(pos)
    data = file.read(12)
    if not data or not data[0]:
        raise struct.error("not an element")
    length = 9 - data[0].bit_length()
    name = int.from_bytes(data[:length])
    if len(data) <= length or not data[length]:
        raise struct.error("not an element")
    width = 9 - data[length].bit_length()
    if len(data) < length + width:
        raise struct.error("not an element")
    value = int.from_bytes(data[length : length + width]) & ((1 << 7 * width) - 1)
    content = pos + length + width
    return name, content, None if value == (1 << 7 * width) - 1 else content + value


EBML, SEGMENT, CLUSTER = 0x1A45DFA3, 0x18538067, 0x1F43B675


def _matroska(file: BinaryIO, size: int, container: av.container.InputContainer) -> Shortfall:
    """Matroska, WebM: the size of the segment; what is cut after the last cluster is no picture."""
    _, _, pos = _ebml(file, 0)
    if pos is None:
        return Shortfall()
    name, pos, end = _ebml(file, pos)
    if name != SEGMENT or end is None or end <= size:
        return Shortfall()
    while pos < size:
        try:
            name, _, stop = _ebml(file, pos)
        except struct.error:
            break
        if stop is None:
            return Shortfall()
        if stop > size:
            return Shortfall(name == CLUSTER)
        pos = stop
    # Cut between two elements: the next may have been the index.
    return Shortfall(True, end_s=_duration_s(container))


def _duration_s(container: av.container.InputContainer) -> float | None:
    return container.duration / av.time_base if container.duration else None


def _transport(file: BinaryIO, size: int) -> bool:
    """MPEG-TS: packets of 188 bytes, 192 with a clock, 204 with a checksum; the last one may be cut short."""
    head = file.read(2048)
    for length in (188, 192, 204):
        for first in range(length):
            syncs = head[first::length]
            if len(syncs) < 5 or set(syncs) != {0x47}:
                continue
            first -= 4 if length == 192 else 0
            rest = (size - first) % length
            if not rest:
                return False
            file.seek(size - rest - 2 * length)
            tail = file.read()
            sync = 4 if length == 192 else 0
            return rest > sync and all(tail[k * length + sync] == 0x47 for k in range(3))
    return False


def _flash(file: BinaryIO, size: int, container: av.container.InputContainer) -> Shortfall:
    """FLV: the file's size in its metadata; else the last tag's own, and the length of it that follows each."""
    head = file.read(HEAD_BYTES)
    at = head.find(b"\0\x08filesize\0")
    if at >= 0 and len(head) >= at + 19 and struct.unpack_from(">d", head, at + 11)[0] > size + SLACK_BYTES:
        return Shortfall(True, end_s=_duration_s(container))
    file.seek(max(0, size - 4))
    length = int.from_bytes(file.read(4))
    if 11 <= length <= size - 4:
        file.seek(size - 4 - length)
        kind, *data = file.read(4)
        if kind in (8, 9, 18) and int.from_bytes(bytes(data)) == length - 11:
            return Shortfall()
    pos = int.from_bytes(head[5:9]) + 4
    while pos + 11 <= size:  # cut short, or something else follows the last tag
        file.seek(pos)
        kind, *data = file.read(4)
        if kind & 0x1F not in (8, 9, 18):
            return Shortfall()
        pos += 11 + int.from_bytes(bytes(data)) + 4
    return Shortfall(pos > size + 4)


ASF_FILE = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")


def _asf(file: BinaryIO, size: int) -> bool:
    """ASF, WMV: the size of the data object, unless the header says that it is a broadcast."""
    head = file.read(24)
    header = int.from_bytes(head[16:24], "little")
    file.seek(0)
    properties = file.read(min(header, HEAD_BYTES))
    at = properties.find(ASF_FILE)
    if at < 0 or properties[at + 88] & 1:
        return False
    file.seek(header)
    data = file.read(24)
    return data[:16] == ASF_DATA and header + int.from_bytes(data[16:24], "little") > size + SLACK_BYTES


def _mxf(file: BinaryIO, size: int) -> bool:
    """MXF: where the header says that the footer is, in files that were closed."""
    head = file.read(HEAD_BYTES)
    at = head.find(bytes.fromhex("060e2b34020501010d0102010102"))
    if at < 0 or len(head) < at + 64:
        return False
    width = head[at + 16] & 0x7F if head[at + 16] & 0x80 else 0
    footer = at + 17 + width + 24
    return int.from_bytes(head[footer : footer + 8]) > size


def _ogg(file: BinaryIO, size: int) -> bool:
    """Ogg: the length of the last page."""
    start = max(0, size - HEAD_BYTES - 512)
    file.seek(start)
    tail = file.read()
    at = tail.rfind(b"OggS")
    if at < 0:
        return False
    if len(tail) < at + 27:
        return True
    count = tail[at + 26]
    lengths = tail[at + 27 : at + 27 + count]
    return len(lengths) < count or start + at + 27 + count + sum(lengths) > size


def _gif(data: bytes) -> bool:
    """GIF: whether a block is cut short. The one that ends the file is often left out."""

    def colours(flags: int) -> int:
        return 3 << (flags & 7) + 1 if flags & 0x80 else 0

    pos = 13 + colours(data[10])
    while pos < len(data):
        if data[pos] == 0x2C:
            pos += 11 + (colours(data[pos + 9]) if pos + 9 < len(data) else 0)
        elif data[pos] == 0x21:
            pos += 2
        else:
            return False
        while pos < len(data) and data[pos]:
            pos += 1 + data[pos]
        pos += 1
    return pos > len(data)
