"""Checks that `schemas`, `pipelines` and `cli` are ours: the names are common, and a user's folder may come first."""

import importlib.util
from pathlib import Path

from vimoclip.errors import ShadowedError

PACKAGES = ("schemas", "pipelines", "cli")
HOME = Path(__file__).resolve().parents[1]
"""The folder that holds our four packages, whether they are installed or in a checkout."""


def check_not_shadowed(*names: str) -> None:
    """Check, without importing them, that these packages would be ours.

    Args:
        names: names of PACKAGES.

    Raises:
        ShadowedError: another package would be imported, or none is found.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        places = [spec.origin] if spec and spec.origin else list((spec and spec.submodule_search_locations) or [])
        if [Path(place).resolve() for place in places] != [HOME / name / "__init__.py"]:
            raise ShadowedError(
                f"Another `{name}` would be imported instead of ViMoCLIP's own.",
                received=", ".join(places) or "none",
                expected=HOME / name,
                hint="Start from another folder, or rename that one; the command `vimoclip` works from anywhere.",
            )
