"""The `labels` table: what a video shows, and when.

A label is of the whole video or of a span. Spans are half-open, [start_s, end_s), in seconds from the first frame; one
that ends where it starts is a point event. A label of the whole video is stored as the span from -inf to +inf:
`start_s` is part of the key and may not be null, no real bout can start there, and `start_s < t and end_s > t` then
holds for every t without a special case.
"""

import math
from dataclasses import dataclass

import pyarrow as pa

from schemas import key

PAST_END_S = 0.5  # a span may end so much after its video: durations are rounded when they are written down

LABELS = pa.schema(
    [
        key("video_id", pa.string(), 1),
        key("label", pa.string(), 2),
        key("start_s", pa.float64(), 3),
        pa.field("end_s", pa.float64(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
    ]
)


@dataclass(frozen=True)
class Span:
    """A label of one stretch of a video, whoever says so: an annotation, a store, a rendered scene, a model.

    Attributes:
        label: what is to be seen.
        start_s: seconds from the first frame; -inf for the whole video.
        end_s: the first moment after it, in the same seconds; +inf for the whole video.
        subject: the animal that does it; None where that is not said. No source says it yet, and `labels` has no column
            for it.
    """

    label: str
    start_s: float = -math.inf
    end_s: float = math.inf
    subject: str | None = None


@dataclass(frozen=True, kw_only=True)
class Label:
    """One row of `labels`: a span of a video. `source` names the file it came from; applying that file again replaces
    its labels."""

    video_id: str
    label: str
    source: str
    start_s: float = -math.inf
    end_s: float = math.inf

    @property
    def whole_video(self) -> bool:
        """Whether the label is of the whole video rather than of a span."""
        return self.start_s == -math.inf
