"""What passes between the worker that embeds videos and the writer that stores them: plain records of numpy arrays."""

from dataclasses import dataclass

import numpy as np

from vimoclip.video.decode import VideoInfo


@dataclass(frozen=True)
class Job:
    """One video to embed: its id, and the absolute path of its file."""

    video_id: str
    path: str


@dataclass(frozen=True)
class Vectors:
    """One feature of n frames: values fp16 (n, D), unit length; norm fp32 (n,), the raw lengths; present bool (n,)."""

    values: np.ndarray
    norm: np.ndarray
    present: np.ndarray


@dataclass(frozen=True)
class EmbeddedFrames:
    """n consecutive stored frames of one video.

    frame_index int32, source_frame int64, time_s fp64, flow_speed fp32 (frame widths per second), each (n,); features
    by name; flow: the encoded flow of each frame, None where a frame has no motion (then its flow_speed means nothing).
    worker: who made them, in words, where there are several.
    """

    video_id: str
    frame_index: np.ndarray
    source_frame: np.ndarray
    time_s: np.ndarray
    flow_speed: np.ndarray
    features: dict[str, Vectors]
    flow: list[bytes | None]
    worker: str = ""


@dataclass(frozen=True)
class VideoReset:
    """Forget this video's frames so far: it begins again, with other times."""

    video_id: str


@dataclass(frozen=True)
class VideoDone:
    """The video is complete. reduced_batch: memory ran out and a batch was halved. attempts: it took, in this run."""

    video_id: str
    info: VideoInfo
    reduced_batch: bool
    attempts: int = 1


@dataclass(frozen=True)
class VideoFailed:
    """The video cannot be embedded; kind and message as in `vimoclip.errors.VideoError`. attempts: as in `VideoDone`."""

    video_id: str
    kind: str
    message: str
    attempts: int = 1


@dataclass(frozen=True)
class Idle:
    """No frame for a second: time to look after other things."""


EmbedEvent = EmbeddedFrames | VideoReset | VideoDone | VideoFailed | Idle
