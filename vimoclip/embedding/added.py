"""Features beside those that a store began with: which models a worker needs to make them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from schemas.features import Feature
from vimoclip.config.store import ClipConfig

if TYPE_CHECKING:  # with torch, which takes seconds
    from vimoclip.models.motion_student import Student


@dataclass(frozen=True)
class Added:
    """What is computed beside a store's own features, or instead of them.

    towers: of image features that were added, the settings of each one's tower, by name. students: of motion features
    the trained student, by name; of `moclip` it takes the place of the starting one. alone: the store's own, clip and
    moclip, are not computed, and so no student is needed. Every tower gets the store's batch size.
    """

    towers: Mapping[str, ClipConfig] = field(default_factory=dict)
    alone: bool = False
    students: "Mapping[str, Student]" = field(default_factory=dict)

    @classmethod
    def of(cls, features: Iterable[Feature], alone: bool = False) -> Self:
        """The image features that were added among `features`, with the settings that they were made with."""
        settings = {feature.name: feature.settings for feature in features if feature.kind == "image"}
        towers = {name: ClipConfig.from_dict(json.loads(text)) for name, text in settings.items() if text is not None}
        return cls(towers, alone)


NOTHING_ADDED = Added()
