"""Times as people write them on a command line."""

import re

from vimoclip.errors import UsageError

_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "min": 60.0}
_TIME = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+(?:\.\d*)?)")


def seconds(option: str, text: str | None) -> float | None:
    """`2s`, `500ms`, `1.5`, `1:30` or `1:02:03.5`, in seconds; None where nothing was given.

    Raises:
        UsageError: it is no time.
    """
    if text is None:
        return None
    plain = text.strip().lower()
    if (found := _TIME.fullmatch(plain)) and found[2] in _UNITS:
        return float(found[1]) * _UNITS[found[2]]
    if found := _CLOCK.fullmatch(plain):
        return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])
    raise UsageError(f"{option} is a time.", received=text, expected="2s, 1.5, 500ms or 1:30")
