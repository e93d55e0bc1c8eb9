"""What every command shares in speaking to people and programs: tables, JSON, errors and exit codes.

Exit codes: 0 done; 1 an error; 2 wrong usage; 3 finished, but something in it failed; 130 interrupted.
"""

import dataclasses
import functools
import json
import os
import shlex
import signal
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from typer.core import TyperCommand

from vimoclip.errors import VimoclipError

SOME_FAILED = 3
INTERRUPTED = 130


def _console(stderr: bool) -> Console:
    console = Console(stderr=stderr, soft_wrap=True, emoji=False)  # `:dog:` in an id is no dog
    if not console.is_terminal:
        console.width = 1000  # whoever greps through it must find an id in one piece
    return console


out, err = _console(stderr=False), _console(stderr=True)

P = ParamSpec("P")
R = TypeVar("R")


def handled(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors become a message and an exit code, never a traceback. VIMOCLIP_DEBUG=1 shows
    tracebacks."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return command(*args, **kwargs)
        except VimoclipError as error:
            _fail(error, error.exit_code, str(error), bool(kwargs.get("as_json")))
        except KeyboardInterrupt as error:
            message = "Interrupted. Everything committed is safe; the same command goes on from there."
            if kwargs.get("as_json"):
                print_json({"error": {"kind": type(error).__name__, "message": message}})
            err.print(message)
            raise typer.Exit(INTERRUPTED) from None
        except typer.Exit:
            raise
        except Exception as error:
            if os.environ.get("VIMOCLIP_DEBUG"):
                raise
            message = (
                f"A defect in ViMoCLIP: {type(error).__name__}: {error}. Everything committed is safe. "
                "Run it again with VIMOCLIP_DEBUG=1 and report what it prints."
            )
            _fail(error, 1, message, bool(kwargs.get("as_json")))

    return run


OLD_SPELLINGS = {"--segments": "--class-groups", "--least-videos": "--min-videos"}
"""Options that were renamed, and work under their old names too, which help does not show."""


class Command(TyperCommand):
    """A command that says in JSON, where it was asked for JSON, that it was called wrongly, and that takes the old
    spellings of its options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As typer does, which also shows the error on stderr, with exit code 2."""
        as_json = "--json" in args
        known = {name for each in self.params for name in each.opts}
        for at, argument in enumerate(args):
            old, equals, value = argument.partition("=")
            if (new := OLD_SPELLINGS.get(old)) in known:
                args[at] = f"{new}{equals}{value}"
        try:
            return super().parse_args(ctx, args)
        except Exception as error:  # typer's UsageError is in a private module; what it says of itself is not
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
    """The one JSON document of a run, on stdout."""
    typer.echo(json.dumps(document, default=_plain, ensure_ascii=False, indent=2, allow_nan=False))


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        if hasattr(value, "to_dict"):
            return value.to_dict()
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


def table(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]], numbers: Iterable[str] = ()) -> Table:
    """A table of plain values: title and cells are shown as they are, never read as markup.

    numbers: columns aligned right.
    """
    made = Table(title=escape(title), title_justify="left", header_style="bold")
    right = set(numbers)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(escape("" if cell is None else str(cell)) for cell in row))
    return made


def line(text: str) -> None:
    """A line on stderr, as it is."""
    err.print(text, markup=False, highlight=False)


def at(where: object) -> str:
    """The option that names a store once more, to be pasted into a shell."""
    return f"--store {shlex.quote(str(where))}"


def size(count: float) -> str:
    """Bytes for people, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def listed(names: list[str], most: int = 5) -> str:
    """The first few names, and how many more."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
