"""The tree of errors, and what their messages say."""

import copy
import doctest
import pickle

import pytest

from vimoclip import errors
from vimoclip.errors import StoreError, UsageError, VideoError, VimoclipError, split_hint

ALL = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VimoclipError)]


def make(kind: type[VimoclipError], what: str, hint: str = "") -> VimoclipError:
    if issubclass(kind, VideoError):
        return kind("too-small", what, received="1×1", expected="8×8", hint=hint)
    return kind(what, received="1×1", expected="8×8", hint=hint)


def test_the_module_draws_its_own_tree() -> None:
    drawn = {}
    above: list[tuple[int, str]] = [(-1, "Exception")]
    for line in (errors.__doc__ or "").splitlines():
        name = line.lstrip("│├└─ ").split(" ")[0]
        if not name.endswith("Error"):
            continue
        depth = len(line) - len(line.lstrip("│├└─ "))
        while above[-1][0] >= depth:
            above.pop()
        drawn[name] = above[-1][1]
        above.append((depth, name))
    assert drawn == {kind.__name__: kind.__bases__[0].__name__ for kind in ALL}


@pytest.mark.parametrize("kind", ALL)
def test_every_error_says_all_four_things(kind: type[VimoclipError]) -> None:
    error = make(kind, "It is too small.", hint="Take a larger one.")
    assert str(error) == "It is too small. Received: 1×1. Expected: 8×8. Take a larger one."
    assert (error.what, error.received, error.expected, error.hint) == (
        "It is too small.",
        "1×1",
        "8×8",
        "Take a larger one.",
    )


@pytest.mark.parametrize("kind", ALL)
def test_every_error_crosses_a_process_as_it_is(kind: type[VimoclipError]) -> None:
    error = make(kind, "It is too small.", hint="Take a larger one.")
    there = pickle.loads(pickle.dumps(error))
    assert type(there) is kind
    assert (str(there), vars(there), there.args) == (str(error), vars(error), error.args)


def test_what_is_not_given_is_not_said() -> None:
    assert str(StoreError("It is gone.")) == "It is gone."
    assert str(StoreError("It is off.", received=0)) == "It is off. Received: 0."


def test_exit_codes() -> None:
    assert {kind for kind in ALL if kind.exit_code != 1} == {UsageError}
    assert UsageError.exit_code == 2


def test_a_video_error_names_its_kind() -> None:
    assert VideoError("no-frames", "It has no frames.").kind == "no-frames"


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind is not VideoError])
def test_errors_can_be_copied(kind: type[VimoclipError]) -> None:
    error = copy.copy(make(kind, "It is too small."))
    assert (type(error), str(error), error.received) == (kind, "It is too small. Received: 1×1. Expected: 8×8.", "1×1")


@pytest.mark.parametrize("hint", ["", "Take a larger one.", "Is it complete? Copy it again."])
@pytest.mark.parametrize("received", [None, "1x1"])
@pytest.mark.parametrize("expected", [None, "8x8"])
def test_a_text_is_split_from_its_hint(hint: str, received: str | None, expected: str | None) -> None:
    error = StoreError("a.b.mp4 is too small.", received=received, expected=expected, hint=hint)
    without = StoreError("a.b.mp4 is too small.", received=received, expected=expected)
    assert split_hint(str(error)) == (str(without), hint)


def test_examples_in_the_module_are_right() -> None:
    found = doctest.testmod(errors)
    assert found.attempted > 0 and found.failed == 0
