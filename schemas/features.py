"""The `features` table: what each vector column of `frames` is, and what made it."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import pyarrow as pa

from schemas import key

Kind = Literal["image", "motion"]
Training = Literal["pretrained", "starting", "trained", "random", "fixed", "elsewhere"]

FIXED: Literal["fixed"] = "fixed"
"""`weights` and `training` of what has no weights: a fixed function of the flow (vimoclip/flow/descriptor.py)."""

ELSEWHERE: Literal["elsewhere"] = "elsewhere"
"""`weights` and `training` of vectors that another tool made (`vimoclip embed --vectors`): nothing here makes more."""

OWN = ("clip", "moclip")
"""The features that every take is made with. Others are added to a store, and can be renamed and dropped."""

FEATURES = pa.schema(
    [
        key("name", pa.string(), 1),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("dim", pa.int32(), nullable=False),
        pa.field("model", pa.string(), nullable=False),
        pa.field("weights", pa.string(), nullable=False),
        pa.field("weights_sha256", pa.string(), nullable=False),
        pa.field("training", pa.string(), nullable=False),
        pa.field("preprocessing", pa.string(), nullable=False),
        pa.field("precision", pa.string(), nullable=False),
        pa.field("settings", pa.string()),
        pa.field("complete", pa.bool_(), nullable=False),
        pa.field("fingerprint", pa.string(), nullable=False),
        pa.field("packages", pa.string(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC"), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One row of `features`.

    Attributes:
        name: the column in `frames`.
        kind: computed from frames (`image`) or from flow (`motion`).
        dim: the width D of the vectors.
        model: the model as it was asked for.
        weights: the weights as they were asked for.
        weights_sha256: hash of the image tower's architecture and tensors, wherever they were found; of vectors made
            elsewhere, that of the files that they were first read from.
        training: `pretrained`; `random` (seeded, `--clip-weights none`); for a motion student `starting` (it still has
            the teacher's weights) or `trained`; `fixed` for what has no weights; `elsewhere`.
        preprocessing: canonical JSON: size, mean, std, interpolation, resize and batch shape; `memory_format` where it
            is not contiguous; for motion also the flow settings.
        precision: `bf16`, `fp16` or `fp32`, as resolved.
        packages: JSON: the package versions that made the feature. They are recorded, not compared.
        created_at: UTC.
        settings: JSON: the tower's settings of a feature that was added to the store (a
            `vimoclip.config.store.ClipConfig`, the id of a student, `{"motion": "mbh"}`, or `{"vectors": PATH}` of
            those made elsewhere); None for a feature that every take has.
        complete: False while an added feature is still being computed: readers do not see it.
    """

    name: str
    kind: Kind
    dim: int
    model: str
    weights: str
    weights_sha256: str
    training: Training
    preprocessing: str
    precision: str
    packages: str
    created_at: datetime
    settings: str | None = None
    complete: bool = True

    @property
    def columns(self) -> tuple[str, str]:
        """Its two columns in `frames`: the vectors, and the norms they had before they were normalised."""
        vectors, norms = feature_columns([self.name])
        return vectors, norms

    @property
    def added(self) -> bool:
        """Whether it was added to the store, beside the features that every take has."""
        return self.settings is not None

    @property
    def elsewhere(self) -> bool:
        """Whether another tool made its vectors. Any frame, and any video, may then have none."""
        return self.weights == ELSEWHERE

    @property
    def memory_format(self) -> str:
        """How images lay in memory, `contiguous` or `channels_last`: it decides the last bits."""
        return str(json.loads(self.preprocessing).get("memory_format", "contiguous"))

    @property
    def fingerprint(self) -> str:
        """16 hex digits that stand for everything that decides the vectors' values.

        Equal fingerprints promise interchangeable vectors. They depend on what a model is, not on where it was found.
        """
        made_of = [self.kind, self.dim, self.weights_sha256, self.preprocessing, self.precision]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


def arithmetic(precision: str, memory_format: str) -> str:
    """Name a tower's arithmetic: its precision, and its memory format where that is not the usual one."""
    return precision if memory_format == "contiguous" else f"{precision} {memory_format}"


def feature_columns(names: Iterable[str]) -> list[str]:
    """The columns in `frames` of these features: for each, the vectors and then their norms."""
    return [column for name in names for column in (name, f"{name}_norm")]


def store_fingerprint(features: list[Feature]) -> str:
    """One fingerprint, in any order of `features`, for the features that every take has: a `videos` row names it.

    Added features do not count, so adding one does not make any take out of date.
    """
    parts = sorted(f"{feature.name}={feature.fingerprint}" for feature in features if not feature.added)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
