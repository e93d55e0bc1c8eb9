"""Of every page: code has a test, links lead somewhere, commands and options exist."""

import re
import shlex
from importlib.metadata import entry_points

import pytest
import typer

from cli.main import app
from tests.docs.pages import NOT_RUN, PAGES, ROOT, blocks, lines, options, prose, text

COMMANDS = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
TESTED = {"sh": "commands", "python": "code"}  # the function of tests/docs/pages.py that a test calls for them
SAID = {"text", "csv", "toml"}  # what a block prints, what a file holds


@pytest.mark.parametrize("page", PAGES)
def test_a_page_with_code_has_a_test(page: str) -> None:
    languages = {block.language for block in blocks(page)}
    assert languages <= {*TESTED, *SAID}
    outside = re.search(r"^(?: {4,}|\t)(?:\$ )?(?:vimoclip|make|pip|python|ray) .*", prose(page), re.M)
    assert outside is None
    tests = [path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "docs").glob("test_*.py")]
    for language, called in TESTED.items():
        covered = any(f'"{page}"' in test and f"{called}(" in test for test in tests)
        assert covered or language not in languages, f"no test has the {language} of {page}"


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", text(page)):
        assert not target or "://" in target or ((ROOT / page).parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_anchors_are_headings(page: str) -> None:
    for path, anchor in re.findall(r"\]\(([^)#\s:]*)#([^)]*)\)", text(page)):
        linked = ((ROOT / page).parent / path) if path else ROOT / page
        headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.M)
        assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES)
def test_commands_in_a_sentence_exist_and_know_their_options(page: str) -> None:
    known = set().union(*map(options, COMMANDS))
    for code in re.findall(r"`([^`\n]+)`", prose(page)):
        if words := re.match(r"vimoclip ([a-z][a-z-]*)", code):
            assert words[1] in COMMANDS, code
            assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", code)) <= options(words[1]), code
        elif code.startswith("--"):
            assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", code)) <= known, code


def test_what_is_not_run_is_there_to_be_run() -> None:
    assert set(NOT_RUN) <= {line for page in PAGES for line in lines(page)}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (script,) = entry_points(group="console_scripts", name="vimoclip")
    assert callable(script.load())
    for command in NOT_RUN:
        program, *words = shlex.split(command)
        if program == "make":
            assert re.search(rf"^{words[0]}:", makefile, re.M)
        if program == "vimoclip":
            assert {word for word in words if word.startswith("--")} <= options(words[0])
        for word in words:
            assert not word.endswith(".txt") or (ROOT / word).is_file()
