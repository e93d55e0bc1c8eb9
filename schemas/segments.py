"""The `segments` table: windows over the stored frames, which search looks through. `vimoclip index` makes it.

A store is complete without it: it follows from `frames` and can be made again. A window is a range of a take's frames,
[start_frame, end_frame), that lie in [start_s, end_s). Its vector in a **space** is the mean of the unit vectors that
its frames have in one feature, scaled to unit length. A window begins every `stride_s`; the last one reaches the end of
the video, and a video that is shorter than a window is one segment. A range without frames is not a segment.

- `appearance` is made from an image feature. `motion` is made from a motion feature, where frames have motion; it is
  null elsewhere, such as for a video of one frame.
- `behaviour`, which is optional, is not a mean: it is what a fusion model makes of the frames, at unit length
  (vimoclip/search/behaviour_space.py). The model's files are in the store, in `models/<id>/`. It is null where the
  model sees nothing.
- All segments of a take are committed together: the table holds all of them or none.
- Readers see only rows of the take that the `videos` row names, as in `frames`.
- The table's schema metadata says what the vectors were made from; vectors of a feature with another fingerprint cannot
  be compared with these.
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
    """The feature that vectors are made from.

    Attributes:
        feature: its name.
        fingerprint: its fingerprint when they were made.
    """

    feature: str
    fingerprint: str


@dataclass(frozen=True)
class MadeBy:
    """A fusion model that makes the vectors of a space.

    Attributes:
        id: 16 hex digits of its weights file.
        dim: the width of its vectors.
        reads: the features that it reads, by role.
    """

    id: str
    dim: int
    reads: Mapping[str, MadeFrom]


@dataclass(frozen=True)
class SegmentSettings:
    """What segments are made from.

    Attributes:
        window_s: length of a window, seconds.
        stride_s: seconds from the start of a window to the start of the next.
        spaces: the feature of each space whose vectors are means, by the space's name, in the order of SPACES.
        behaviour: the model of that space; None without it.
    """

    window_s: float
    stride_s: float
    spaces: Mapping[str, MadeFrom]
    behaviour: MadeBy | None = None

    @property
    def names(self) -> list[Space]:
        """The names of all spaces, in the order of SPACES."""
        return [space for space in SPACES if space in self.spaces or (space == "behaviour" and self.behaviour)]

    def to_json(self) -> str:
        """The settings as the table keeps them."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`.

        Raises:
            ValueError, TypeError, KeyError, AttributeError: the text is not such JSON.
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
    """The schema for these spaces.

    Args:
        dims: the width of each space, by its name: `{"appearance": 512}`.
        settings: what the vectors are made from; kept in the schema's metadata.
    """
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
