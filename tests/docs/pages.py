"""The pages of the documentation: their blocks, and their commands as a reader types them."""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from cli.main import app
from tests.cli.runner import vimoclip

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))

NOT_RUN = {  # the whole command: why no test runs it
    "git clone <this repository> && cd vimoclip": "where the project lies is not known to it",
    "python3 -m venv .venv && . .venv/bin/activate": "tests/test_wheel.py makes an environment of its own",
    "pip install -c constraints.txt .": "7 GB; tests/test_wheel.py installs the wheel",
    "make demo": "sets .venv up, then runs `vimoclip demo`",
    "vimoclip demo": "minutes; tests/pipelines/demo runs a smaller one",
    "vimoclip demo --size full": "hours",
}

EPOCHS = ["--epochs", "1", "--set", "training.precision=fp32"]
TFAM = [f"--set=tfam.{size}" for size in ("layers=1", "width=8", "heads=2", "feed_forward=8", "hidden=4")]
SHARED = {"--help", "-h", "--store", "--device", "--threads"}  # options of most commands

_EXAMPLE = re.compile(r"(\w+)-1a2b3c4d")  # how pages write the end of a run's name


def small(model: str) -> dict[str, list[str]]:
    """Options by command with which the commands of a page need no download and no hours. model: a tiny one's name."""
    fusion = [*EPOCHS, *TFAM]
    motion = [*EPOCHS, "--set", "segment=5", "--set", "hidden=4"]
    return {"ingest": ["--clip-model", model], "train-fusion": fusion, "ablate": fusion, "train-motion": motion}


@dataclass(frozen=True)
class Block:
    """A fenced block. section: the heading it stands below."""

    language: str
    section: str
    code: str


def text(page: str) -> str:
    """page: its path in the project, `docs/search.md`."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str | None = None) -> list[Block]:
    """Every block of a page, or those in a language, in order."""
    return [block for block in _blocks(text(page)) if language in (None, block.language)]


def _blocks(page: str) -> Iterator[Block]:
    section, block = "", None
    for line in page.splitlines(keepends=True):
        if not line.startswith("```"):
            if block is not None:
                block = replace(block, code=block.code + line)
            elif line.startswith("#"):
                section = line.strip("# \n")
        elif block is None:
            block = Block(line[3:].strip(), section, "")
        else:
            yield block
            block = None


def prose(page: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S)


def commands(page: str, section: str | None = None) -> list[str]:
    """The lines of a page's shell blocks, or of one section's, without those that are NOT_RUN."""
    return [line for line in lines(page, section) if line not in NOT_RUN]


def lines(page: str, section: str | None = None) -> list[str]:
    """All of them, without their comments."""
    found = "".join(block.code for block in blocks(page, "sh") if section in (None, block.section))
    typed = (re.sub(r"\s+#.*", "", line).strip() for line in found.splitlines())
    return [line for line in typed if line]


def code(page: str) -> list[tuple[str, str]]:
    """A page's Python, each block with the output that is given right below it, or none."""
    found = blocks(page)
    after = [*found[1:], Block("", "", "")]
    pairs = zip(found, after, strict=True)
    return [(block.code, next.code * (next.language == "text")) for block, next in pairs if block.language == "python"]


def run(
    commands: Iterable[str],
    more: Mapping[str, list[str]] | None = None,
    instead: Mapping[str, str] | None = None,
    ends: int = 0,
) -> dict[str, str]:
    """Run a page's commands in the folder that one is in, in order: what each says, on both streams.

    A run that a page calls `…/cross-1a2b3c4d` is the newest that is called so up to there. One thread each: more of
    them mostly wait where a model is tiny.

    more: options by the name of a command, as `small` gives them, or by its whole line. instead: words by those of the
    page in whose place they are. ends: with which exit code each does.
    """
    said = {}
    for line in commands:
        program, *words = shlex.split(line)
        assert program == "vimoclip", line
        typed = [_existing((instead or {}).get(word, word)) for word in words]
        threads = ["--threads", "1"] if "--threads" in options(words[0]) else []
        keys = (line,) if "--head" in words else (words[0], line)  # heads of closed form have no epochs to shorten
        added = [option for key in keys for option in (more or {}).get(key, [])]
        result = vimoclip(*typed, *added, *threads)
        assert result.exit_code == ends, (line, result.stdout, result.stderr)
        said[" ".join(words)] = result.stdout + result.stderr
    return said


def options(command: str) -> set[str]:
    """Every option of a command of ours."""
    group = typer.main.get_command(app)
    found = group.commands[command]  # type: ignore[attr-defined]
    named = (option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts))
    return {option for option in named if option.startswith("-")}


def _existing(word: str) -> str:
    """The word with the run that it names by an example put in."""
    path = Path(word)
    for part in (path, *path.parents):
        if example := _EXAMPLE.fullmatch(part.name):
            runs = [found for found in part.parent.glob(f"{example[1]}-*") if found.is_dir()]
            newest = max(runs, key=lambda found: found.stat().st_mtime_ns)
            return str(newest / path.relative_to(part))
    return word
