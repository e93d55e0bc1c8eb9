"""The demo: every step once, on a rendered world, so that it needs no download."""

from typing import Literal

SizeName = Literal["small", "full"]
"""Names of the sizes of a demo, see `pipelines.demo.world.SIZES`."""
