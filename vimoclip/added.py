"""Features that were added to a store: which models a worker needs to make them."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from schemas.features import Feature
from vimoclip.config import ClipConfig


@dataclass(frozen=True)
class Added:
    """Image features beside a store's own: the settings of each one's tower, by name.

    alone: the store's own, clip and moclip, are not computed. Every tower gets the store's batch size.
    """

    towers: Mapping[str, ClipConfig] = field(default_factory=dict)
    alone: bool = False

    @classmethod
    def of(cls, features: Iterable[Feature], alone: bool = False) -> Self:
        """Those among `features`, with the settings that they were made with."""
        settings = {feature.name: feature.settings for feature in features}
        towers = {name: ClipConfig.from_dict(json.loads(text)) for name, text in settings.items() if text is not None}
        return cls(towers, alone)


NOTHING_ADDED = Added()
