"""The demo: everything once, on a world that is rendered, so that nothing needs to be downloaded for it."""

from typing import Literal

SizeName = Literal["small", "full"]
