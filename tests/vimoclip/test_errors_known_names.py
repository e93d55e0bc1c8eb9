"""Names that a store does not have: the nearest are offered, and nothing that is known is refused."""

import unicodedata

import pytest

from vimoclip.errors import ExportError, SearchError, names_it, nearest, require_known, spellings

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


COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "Ta\u00ef/caf\u00e9.MP4") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        (COMPOSED, [DECOMPOSED, "b"], [DECOMPOSED]),
        (DECOMPOSED, [COMPOSED, "b"], [COMPOSED]),
        (DECOMPOSED, [COMPOSED, DECOMPOSED], [DECOMPOSED]),  # what is written exactly so is meant
        (DECOMPOSED.lower(), [COMPOSED, "b"], [COMPOSED]),
        (COMPOSED.upper(), [COMPOSED, DECOMPOSED], [COMPOSED, DECOMPOSED]),
        ("GRAZING", ["grazing", "Grazing", "graze"], ["grazing", "Grazing"]),
        ("Grazing", ["grazing", "Grazing"], ["Grazing"]),
        ("STRASSE", ["stra\u00dfe"], ["stra\u00dfe"]),
        ("grazin", ["grazing"], []),
        ("", ["a"], []),
    ],
)
def test_a_name_is_found_in_another_spelling_where_none_is_spelled_so(
    name: str, known: list[str], found: list[str]
) -> None:
    assert spellings(name, known) == found
    if len(found) == 1:
        assert require_known("label", [name], known, SearchError) == tuple(found)
    elif found:
        with pytest.raises(SearchError, match=f"several.*Received: {name}. Expected: {' or '.join(found)}"):
            require_known("label", [name], known, SearchError)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("IMG_0001", "IMG_0001.MP4"),
        ("img_0001", "IMG_0001.MP4"),
        ("IMG_0002", "site/card 1/IMG_0002.MP4"),
        ("IMG_0002.MP4", "site/card 1/IMG_0002.MP4"),
        ("site/card 1/IMG_0002", "site/card 1/IMG_0002.MP4"),
        ("IMG_000", "IMG_0001.MP4"),
    ],
)
def test_a_name_without_its_suffix_or_folders_is_near(name: str, meant: str) -> None:
    known = ["IMG_0001.MP4", "site/card 1/IMG_0002.MP4", "IMG_0011.MP4"]
    assert nearest(name, known).split(" or ")[0] == meant
    assert names_it(name, known) == ([meant] if name != "IMG_000" else [])
