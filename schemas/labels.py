"""The `labels` table: what a video shows, and when.

A label covers a whole video or a span of it. Spans are half-open, [start_s, end_s), in seconds from the first frame; a
span that ends where it starts is a point event. A label of a whole video is stored as the span from -inf to +inf:
`start_s` is part of the key and may not be null, a real bout cannot start there, and `start_s < t and end_s > t` then
holds for every t without a special case.
"""

import math
from dataclasses import dataclass

import pyarrow as pa

from schemas import key

PAST_END_S = 0.5  # how far a span may end after its video: durations are rounded when they are written down

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
    """A label of a part of a video, whatever its source: an annotation, a store, a rendered scene or a model.

    Attributes:
        label: what the video shows.
        start_s: seconds from the first frame; -inf for the whole video.
        end_s: the first moment after the span, in the same seconds; +inf for the whole video.
        subject: the animal that does it; None where the source does not name it. Today's sources never do, and `labels`
            has no column for it.
    """

    label: str
    start_s: float = -math.inf
    end_s: float = math.inf
    subject: str | None = None


@dataclass(frozen=True, kw_only=True)
class Label:
    """One row of `labels`: a span of a video.

    Attributes:
        video_id: the video.
        label: what it shows.
        source: the file that the label came from. Applying that file again replaces its labels.
        start_s: seconds from the first frame; -inf for the whole video.
        end_s: the first moment after the span; +inf for the whole video.
    """

    video_id: str
    label: str
    source: str
    start_s: float = -math.inf
    end_s: float = math.inf

    @property
    def whole_video(self) -> bool:
        """Whether the label covers the whole video rather than a span."""
        return self.start_s == -math.inf
