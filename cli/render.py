"""How commands talk to people and programs: the two consoles, tables, JSON, errors and exit codes.

Exit codes: 0 done; 1 an error; 2 wrong usage; 3 finished, but some videos failed; 130 interrupted.
"""

import dataclasses
import functools
import json
import os
import re
import shlex
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperCommand, TyperOption

from vimoclip import progress
from vimoclip.errors import VimoclipError

SOME_FAILED = 3
INTERRUPTED = 130


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, soft_wrap=True, emoji=False)  # `:dog:` in an id must stay text
    if not console.is_terminal:
        console.width = 1000  # grep must find an id in one piece
    return console


out, err = _console(stderr=False), _console(stderr=True)

P = ParamSpec("P")
R = TypeVar("R")


def handled(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command so that its errors become a message and an exit code.

    With VIMOCLIP_DEBUG=1 in the environment they stay tracebacks. SIGTERM counts as Ctrl-C.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return command(*args, **kwargs)
        except VimoclipError as error:
            _fail(error, error.exit_code, str(error), bool(kwargs.get("as_json")))
        except KeyboardInterrupt as error:
            message = "Interrupted. Everything committed is safe; the same command continues from there."
            if kwargs.get("as_json"):
                print_json({"error": {"kind": type(error).__name__, "message": message}})
            err.print(message)
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise
        except BrokenPipeError:  # of `| head`
            out.on_broken_pipe()
            raise
        except Exception as error:
            if os.environ.get("VIMOCLIP_DEBUG"):
                raise
            message = (
                f"A defect in ViMoCLIP: {type(error).__name__}: {error}. Everything committed is safe. "
                "Run the command again with VIMOCLIP_DEBUG=1 and report what it prints."
            )
            _fail(error, 1, message, bool(kwargs.get("as_json")))

    return run


OLD_SPELLINGS = {"--segments": "--class-groups", "--least-videos": "--min-videos"}
"""Renamed options, new name by old. The old names still work; help does not show them."""

ONE_PANEL = 10
"""A command with at most this many options shows them in one panel of `--help`."""


class Command(TyperCommand):
    """A command that reports wrong usage as JSON where --json is given, and takes renamed options by their old names.

    Its help wraps paragraphs at the terminal's width, and shows a few options (`ONE_PANEL`) in one panel.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.help = re.sub(r"(?<!\n)\n(?!\n)", " ", self.help or "")  # Typer would keep the docstring's line breaks
        given = [each for each in self.params if isinstance(each, TyperOption)]
        if len(given) <= ONE_PANEL:
            for each in given:
                each.rich_help_panel = None

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse as Typer does, which shows an error on stderr and exits with code 2."""
        as_json = "--json" in args
        known = {name for each in self.params for name in each.opts}
        for at, argument in enumerate(args):
            old, equals, value = argument.partition("=")
            if (new := OLD_SPELLINGS.get(old)) in known:
                args[at] = f"{new}{equals}{value}"
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # Typer's UsageError is in a private module, its format_message is public
            if as_json and (message := getattr(error, "format_message", None)) is not None:
                print_json({"error": {"kind": type(error).__name__, "message": message()}})
            raise


def _fail(error: Exception, exit_code: int, message: str, as_json: bool) -> NoReturn:
    if os.environ.get("VIMOCLIP_DEBUG"):
        raise error
    if as_json:
        print_json({"error": {"kind": type(error).__name__, "message": message}})
    err.print(f"[bold red]Error:[/] {escape(message)}")
    raise typer.Exit(exit_code) from None


def print_json(document: object) -> None:
    """Print the one JSON document of a run to stdout."""
    typer.echo(json.dumps(document, default=_plain, ensure_ascii=False, indent=2, allow_nan=False))


def _plain(value: object) -> object:
    """Turn what `json` does not know into what it does."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "to_dict"):
            return value.to_dict()
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def print_table(
    console: Console, title: str, columns: Sequence[str], rows: Iterable[Iterable[Any]], numbers: Iterable[str] = ()
) -> None:
    """Print a table of plain values: with borders for people, and as tab-separated lines where stdout is a pipe.

    The lines are the headings, and a row each; the title goes to stderr. A tab or line break in a cell is written as
    `\\t` or `\\n`, everything else as it is.

    Args:
        console: `out` or `err`.
        title: above it.
        columns: their headings.
        rows: cells in the order of the columns; None is an empty cell.
        numbers: the headings of the columns to align right.
    """
    if console is err or console.is_terminal:
        console.print(table(title, columns, rows, numbers))
        return
    line(title)
    print_lines([columns, *rows])


def print_lines(rows: Iterable[Iterable[Any]]) -> None:
    """Print rows to stdout as tab-separated lines; see `print_table`."""
    for row in rows:
        out.file.write("\t".join(map(one_line, row)) + "\n")  # the console's own print() turns tabs into blanks
    out.file.flush()


def one_line(cell: object) -> str:
    """The text of a cell; None is empty."""
    text = "" if cell is None else str(cell)
    return text.replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], numbers: Iterable[str] = ()) -> Table:
    """Lay out a table of plain values. Title and cells are shown as they are, never read as markup.

    Args:
        title: above it.
        columns: their headings.
        rows: cells in the order of the columns; None is an empty cell.
        numbers: the headings of the columns to align right.
    """
    made = Table(title=escape(title), title_justify="left", header_style="bold")
    right = set(numbers)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    return made


def line(text: str) -> None:
    """Print a line to stderr as it is, without markup or highlighting."""
    err.print(text, markup=False, highlight=False)


def at(where: object) -> str:
    """The option that names the store, quoted for a shell: `--store 'my store'`."""
    return f"--store {shlex.quote(str(where))}"


def size(count: float) -> str:
    """Format a number of bytes for people, in powers of 1000: `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


count = progress.count


def listed(names: list[str], most: int = 5) -> str:
    """List the first few names, and how many more there are: `a, b and 3 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


Failure = tuple[str, str, str]
"""A video's id, the kind of its failure and the reason."""


def failure_kind(kind: str) -> str:
    """The kind of a failure without its numbers: `corrupt-after-N-frames`."""
    return re.sub(r"\d+", "N", kind)


def counted_kinds(kinds: Iterable[str]) -> dict[str, int]:
    """Count kinds of failures, the most frequent first."""
    return dict(Counter(map(failure_kind, kinds)).most_common())


def failure_kinds(failed: Iterable[Failure]) -> str:
    """The kinds of failures, counted: `84 unreadable, 17 corrupt-after-N-frames`."""
    return ", ".join(f"{number} {kind}" for kind, number in counted_kinds(kind for _, kind, _ in failed).items())


def print_failures(failed: Sequence[Failure], rest: str, most: int = 20) -> None:
    """Print a table of failures to stderr, grouped by kind; where there are too many, some of every kind.

    Args:
        failed: the failures.
        rest: how to see the others.
        most: how many rows the table has at most.
    """
    groups: dict[str, list[Failure]] = {kind: [] for kind in counted_kinds(kind for _, kind, _ in failed)}
    for each in failed:
        groups[failure_kind(each[1])].append(each)
    places = [(n, group) for group, found in enumerate(groups.values()) for n in range(len(found))]
    shown = sorted(sorted(places)[:most], key=lambda place: place[::-1])
    found = list(groups.values())
    rows = [(kind, video, why) for n, group in shown for video, kind, why in [found[group][n]]]
    print_table(err, "Failed", ("kind", "video", "why"), rows)
    if len(failed) > most:
        line(f"… and {len(failed) - most} more: {rest}")
