"""Looking into a file without decoding it: whether it is a video, whatever its name."""

import itertools
import os

import av

from vimoclip.video.decode import MIN_SIDE, video_streams

HEAD_BYTES = 4096
OTHERS = (  # how files begin that hold no video, and that FFmpeg might take for one
    b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"%PDF", b"PK", b"\x1f\x8b", b"BZh", b"\xfd7zXZ",
    b"7z\xbc", b"Rar!", b"\x28\xb5\x2f\xfd", b"\x7fELF", b"MZ", b"\x89HDF", b"\x93NUMPY", b"SQLite", b"PAR1", b"ARROW1",
    b"\xd0\xcf\x11\xe0", b"fLaC", b"ID3",
)  # fmt: skip
CONTAINERS = (
    "amv,asf,avi,av1,bink,cavsvideo,dhav,dv,evc,flv,gif,gxf,h261,h263,h264,hevc,ivf,live_flv,m4v,matroska,mov,mpeg,"
    "mpegts,mpegvideo,mxf,nsv,nut,obu,ogg,r3d,rm,smk,vc1,vc1test,vvc,webm,wtv,yuv4mpegpipe"
)
"""FFmpeg's names of the formats that a file without a known suffix may have. Images, text and lists are not there."""
PROBE_BYTES = 1 << 20


def looks_like_video(path: str | os.PathLike[str]) -> bool:
    """Whether a file of whatever name holds moving pictures: a stream of which at least two can be decoded.

    It reads the first kilobytes, and opens only what may be a video. Cover art of a recording and stills are none.

    Args:
        path: any file; one that cannot be read is not a video.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD_BYTES)
        if not head or head.startswith(OTHERS) or _is_text(head):
            return False
        options = {"format_whitelist": CONTAINERS, "probesize": str(PROBE_BYTES)}
        with av.open(os.path.abspath(path), metadata_errors="ignore", options=options) as container:
            if not (streams := video_streams(container)):
                return False
            stream = streams[0]
            stream.thread_count = 1
            sides = [min(frame.width, frame.height) for frame in itertools.islice(container.decode(stream), 2)]
            return len(sides) == 2 and min(sides) >= MIN_SIDE
    except (av.FFmpegError, OSError, ValueError):
        return False


def _is_text(head: bytes) -> bool:
    """Whether these bytes are text, which FFmpeg takes for subtitles, lists of files or art of characters."""
    if head.startswith(b"YUV4MPEG2 "):
        return False
    return head.startswith((b"\xff\xfe", b"\xfe\xff")) or not any(byte < 9 for byte in head)
