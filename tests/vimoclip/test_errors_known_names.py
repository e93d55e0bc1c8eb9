"""Names that a store does not have: the nearest are offered, and nothing that is known is refused."""

import pytest

from vimoclip.errors import ExportError, SearchError, require_known

KNOWN = ["grooming", "feeding", "resting", "walking", "running", "flying"]


def test_what_is_known_passes_and_the_first_that_is_not_is_named() -> None:
    require_known("label", KNOWN, KNOWN, SearchError)
    require_known("label", [], [], SearchError)
    with pytest.raises(SearchError, match=r"no such label\. Received: groming\. Expected: grooming"):
        require_known("label", ["feeding", "groming", "x"], KNOWN, SearchError)


def test_with_nothing_near_some_are_listed_and_with_none_that_is_said() -> None:
    with pytest.raises(ExportError, match=r"no such split; nothing was written.*grooming or feeding or .* or running"):
        require_known("split", ["zzz"], KNOWN, ExportError, "; nothing was written")
    with pytest.raises(SearchError, match="Expected: a split, of which the store has none"):
        require_known("split", ["zzz"], [], SearchError)
