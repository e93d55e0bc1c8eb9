"""The `labels` table: what a video shows, and when, by whose word.

A label covers a whole video or a span of it. Spans are half-open, [start_s, end_s), in seconds from the first frame; a
span that ends where it starts is a point event. A label of a whole video is stored as the span from -inf to +inf:
`start_s` is part of the key and may not be null, a real bout cannot start there, and `start_s < t and end_s > t` then
holds for every t without a special case.

Every source keeps its own word: the key is the video, the label, its start, the source and the subject. Two sources
that say the same are two rows, and count once. `subject` is part of the key although it may be null, which Lance does
not allow for a key field that it knows of.

A copy of a video (`videos.status` is `duplicate`) keeps labels of its own. Readers see them as labels of the video that
it duplicates.

`clock` is null, and times are as above, but for a label of a video that was not decoded yet when it was applied, from a
source whose times count from the file's start: it is `player` until the first ingest or labelling after the video is
stored. Readers see such times from the first frame too.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, Self

import pyarrow as pa

from schemas import key

PAST_END_S = 0.5  # how far a span may end after its video: durations are rounded when they are written down

Clock = Literal["first-frame", "player"]
"""What the times of a source count from: the first frame, as all times of a store; or the beginning of the file, sound
and all, where a player's clock shows 0 (`schemas.videos.Video.clock_offset_s` is the difference)."""

LABELS = pa.schema(
    [
        key("video_id", pa.string(), 1),
        key("label", pa.string(), 2),
        key("start_s", pa.float64(), 3),
        pa.field("end_s", pa.float64(), nullable=False),
        key("source", pa.string(), 4),
        pa.field("subject", pa.string()),
        pa.field("clock", pa.string()),
    ]
)


@dataclass(frozen=True)
class Span:
    """A label of a part of a video, whatever its source: an annotation, a store, a rendered scene or a model.

    Attributes:
        label: what the video shows.
        start_s: seconds from the first frame; -inf for the whole video.
        end_s: the first moment after the span, in the same seconds; +inf for the whole video.
        subject: the animal that does it; None where the source does not name it.
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
        source: the file that the label came from. Applying that file again replaces its labels, and no others.
        start_s: seconds from the first frame; -inf for the whole video.
        end_s: the first moment after the span; +inf for the whole video.
        subject: the animal that does it; None where the source does not name it.
        clock: `player` while the video is not decoded and its times count from the file's start; else None.
    """

    video_id: str
    label: str
    source: str
    start_s: float = -math.inf
    end_s: float = math.inf
    subject: str | None = None
    clock: Literal["player"] | None = None

    @property
    def key(self) -> tuple[str, str, float, str, str | None]:
        """What no other row has: video, label, start, source and subject."""
        return self.video_id, self.label, self.start_s, self.source, self.subject

    def from_first_frame(self, offset_s: float) -> Self | None:
        """The label with times from the first frame, whichever clock they were on.

        Args:
            offset_s: what the player's clock shows at the first frame (`schemas.videos.Video.clock_offset_s`).

        Returns:
            The label; what it says of the time before the first frame is cut off. None where nothing is left.
        """
        if self.clock is None:
            return self
        if self.whole_video:
            return replace(self, clock=None)
        # To the microsecond: the offset has a rounding error, and the label was written down with fewer digits.
        start_s, end_s = round(self.start_s - offset_s, 6), round(self.end_s - offset_s, 6)
        if end_s < 0 or (end_s == 0 and self.start_s < self.end_s):
            return None
        return replace(self, start_s=max(start_s, 0.0), end_s=end_s, clock=None)

    @property
    def whole_video(self) -> bool:
        """Whether the label covers the whole video rather than a span."""
        return self.start_s == -math.inf
