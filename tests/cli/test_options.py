"""Times on the command line."""

import pytest

from cli.options import seconds
from vimoclip.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2s", 2),
        ("1.5", 1.5),
        (".5", 0.5),
        ("2.", 2),
        (" 500 ms ", 0.5),
        ("3m", 180),
        ("1:30", 90),
        ("1:02:03.5", 3723.5),
    ],
)
def test_times(text: str, value: float) -> None:
    assert seconds("--from", text) == pytest.approx(value)
    assert seconds("--from", None) is None


@pytest.mark.parametrize("text", ["", "two", "-1", "1e3", "nan", "inf", "1:2:3:4", "3 hours", "1,5", "٣s2"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"--to is a time"):
        seconds("--to", text)
