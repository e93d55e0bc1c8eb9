"""Where an animal is, and how it holds itself, frame by frame."""

from dataclasses import dataclass

from vimoclip.savannah.skeleton import Pose


@dataclass(frozen=True)
class Moment:
    """One animal in one frame. x, y: of the ground below its middle, in the scene, pixels. scale: pixels per unit.

    facing: +1 to the right, -1 to the left. lift: pixels above the ground. squash: how much of its length is seen.
    """

    x: float
    y: float
    scale: float
    facing: int
    pose: Pose
    lift: float = 0.0
    squash: float = 1.0


@dataclass(frozen=True)
class Track:
    """An animal's way through a clip."""

    species: str
    moments: tuple[Moment, ...]
    flying: bool = False
