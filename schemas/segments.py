"""The `segments` table: windows over the stored frames, which search looks through. It is made by `vimoclip index`.

A store without it is whole: everything in it follows from `frames`, and can be made again. A window is a range of a
take's frames, [start_frame, end_frame), that lie in [start_s, end_s); its vector in a **space** is the mean of the unit
vectors that its frames have in one feature, made unit length. Windows begin every `stride_s`; the last one reaches
the video's end, and a video that is shorter than a window is one segment. Ranges without a frame are no segments.

- `appearance` is made from an image feature, `motion` from one of motion, where there are frames with motion; null
  elsewhere, such as of a video of one frame.
- `behaviour`, where it was asked for, is no mean: it is what a fusion model makes of the frames, at unit length
  (vimoclip/search/behaviour_space.py). The model's files are in the store, in `models/<id>/`. Null where the model sees
  nothing.
- All segments of a take are committed together: a take is in the table whole or not at all.
- Readers see only rows whose take the `videos` row names, as of `frames`.
- What the vectors were made from is in the table's schema metadata; vectors of a feature with another fingerprint
  cannot be compared with these.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, Self

import pyarrow as pa

from schemas import key

Space = Literal["appearance", "motion", "behaviour"]
SPACES: tuple[Space, ...] = ("appearance", "motion", "behaviour")

INDEX_KEY = b"vimoclip:index"
"""Schema metadata: what the segments were made from, as the JSON of a `SegmentSettings`."""


@dataclass(frozen=True)
class MadeFrom:
    """The feature that vectors are made from, with its fingerprint then."""

    feature: str
    fingerprint: str


@dataclass(frozen=True)
class MadeBy:
    """A fusion model. id: 16 hex digits of its weights file. dim: the width of its vectors. reads: by role."""

    id: str
    dim: int
    reads: Mapping[str, MadeFrom]


@dataclass(frozen=True)
class SegmentSettings:
    """What segments are made from. window_s, stride_s: seconds. spaces: those that are means, by name, in the order of
    SPACES. behaviour: the model of that space, where there is one."""

    window_s: float
    stride_s: float
    spaces: Mapping[str, MadeFrom]
    behaviour: MadeBy | None = None

    @property
    def names(self) -> list[Space]:
        """All spaces."""
        return [space for space in SPACES if space in self.spaces or (space == "behaviour" and self.behaviour)]

    def to_json(self) -> str:
        """As it is kept in the table."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: it is none.
        """
        found = json.loads(text)
        spaces: dict[str, MadeFrom] = {
            name: MadeFrom(**found["spaces"][name]) for name in SPACES if name in found["spaces"]
        }
        behaviour = None
        if (made := found.get("behaviour")) is not None:
            reads = {role: MadeFrom(**each) for role, each in made["reads"].items()}
            behaviour = MadeBy(str(made["id"]), int(made["dim"]), reads)
        return cls(float(found["window_s"]), float(found["stride_s"]), spaces, behaviour)


def segments_schema(dims: Mapping[str, int], settings: SegmentSettings) -> pa.Schema:
    """The schema for spaces of the given widths, `{"appearance": 512}`."""
    return pa.schema(
        [
            key("video_id", pa.string(), 1),
            key("take", pa.int64(), 2),
            key("start_frame", pa.int32(), 3),
            pa.field("end_frame", pa.int32(), nullable=False),
            pa.field("start_s", pa.float64(), nullable=False),
            pa.field("end_s", pa.float64(), nullable=False),
            *(pa.field(name, pa.list_(pa.float16(), dims[name])) for name in SPACES if name in dims),
        ],
        metadata={INDEX_KEY: settings.to_json()},
    )
