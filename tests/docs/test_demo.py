"""docs/demo.md: none of its commands can be run here, where a smaller demo is (tests/pipelines/demo); and the page's
script, which is the same demo with its figures printed, knows the option that the page gives it."""

import re

from benchmarks.worlds import demo_world
from pipelines.demo.world import SIZES
from tests.docs.pages import commands, lines, text

PAGE = "docs/demo.md"


def test_its_commands_are_those_that_are_not_run() -> None:
    assert commands(PAGE) == []
    sizes = [line.split("--size ")[1] for line in lines(PAGE) if "--size" in line]
    assert set(sizes) <= set(SIZES)


def test_the_size_on_the_page_is_the_full_one() -> None:
    assert f"{SIZES['full'].clips} clips" in text(PAGE)
    assert re.search(r"python -m benchmarks\.worlds\.demo_world FOLDER --size full", text(PAGE))
    assert "--size" in (demo_world.__doc__ or "")
