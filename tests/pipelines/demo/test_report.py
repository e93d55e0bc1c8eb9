"""The page from findings that nobody found: figures where they belong, and whatever a store says as text."""

import pytest

from pipelines.demo.report import _percent, _seconds, _size, page
from tests.pipelines.demo.made_up_report import findings
from tests.pipelines.demo.page_reader import read


def test_what_a_store_says_is_text() -> None:
    hostile = "<script>alert('x')</script> & \" {{ found.clips }}"
    read_back = read(page(findings(hostile)))
    assert not read_back.all("script")
    assert read_back.text.count(hostile) > 10
    assert all(hostile in str(each["alt"]) for each in read_back.all("img"))


def test_several_seeds_have_an_interval_and_one_has_none() -> None:
    one, five = read(page(findings(seeds=1))).text, read(page(findings(seeds=5))).text
    assert "61.2 ± 2.1" in five and "95% interval over 5 seeds" in five and "differences of a few points" not in five
    assert "±" not in one and "differences of a few points are chance" in one


def test_figures_are_those_that_were_found() -> None:
    text = " ".join(read(page(findings())).text.split())
    assert "image alone is right 55% of the time, image and motion together 94%" in text  # 22 and 37.5 of 40
    assert "2.5 points in all" in text  # one of 40
    assert "67%" in text  # 2 + 6 of 12 s are seen
    assert "1.2 GB" in text and "1.3 min" in text and "5,760" in text


def test_a_search_that_finds_nothing_says_so() -> None:
    found = findings()
    found.searches[0].hits.clear()
    assert read(page(found)).text.count("Nothing was found.") == 1


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (31_400_000, "31 MB"), (2.5e9, "2.5 GB")]
)
def test_sizes(count: float, words: str) -> None:
    assert _size(count) == words


@pytest.mark.parametrize(("value", "words"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (60, "1.0 min"), (174, "2.9 min")])
def test_times(value: float, words: str) -> None:
    assert _seconds(value) == words


@pytest.mark.parametrize(
    ("fraction", "digits", "words"),
    [(5 / 8, 0, "63"), (23 / 40, 0, "58"), (0.0, 0, "0"), (1.0, 0, "100"), (0.6125, 1, "61.3")],
)
def test_shares(fraction: float, digits: int, words: str) -> None:
    assert _percent(fraction, digits) == words
