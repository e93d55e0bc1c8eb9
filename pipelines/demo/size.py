"""How large a demo is: a small one for a first look, a full one with intervals."""

from dataclasses import dataclass

from pipelines.demo import SizeName
from vimoclip.savannah import PAIRS
from vimoclip.savannah.behaviours import Behaviour

WORLD: tuple[Behaviour, ...] = (*(name for pair in PAIRS for name in pair), "running", "resting")
"""What is rendered: the hard pairs, and two behaviours that single frames show. Their clips have no other label but
standing, so that no label is in the held-out splits alone."""


@dataclass(frozen=True)
class Size:
    """clips: rendered, of WORLD in turn. motion_epochs, fusion_epochs: of the two trainings. width: of TFAM. seeds: of
    each row of Table 2. in_a_row: clips of the film that is predicted."""

    clips: int
    motion_epochs: int
    fusion_epochs: int
    width: int
    seeds: int
    in_a_row: int = 12


SIZES: dict[SizeName, Size] = {
    "small": Size(clips=144, motion_epochs=7, fusion_epochs=30, width=128, seeds=1),
    "full": Size(clips=360, motion_epochs=6, fusion_epochs=20, width=128, seeds=5),
}
