"""The command line, whose Nth call of one of Table's methods is cut short by a real SIGKILL to itself.

    python -m benchmarks.reliability.victim CALL:WHEN N -- ARGUMENTS

WHEN: before, after or within it. `count` in the place of CALL:WHEN kills nothing and counts the calls, into the file
VIMOCLIP_CALLS; `none` does neither.
"""

import collections
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

GRACE = timedelta(seconds=6)
"""In place of ten minutes, so that old versions are really dropped beside the reader."""


def victim_program(how: str, number: int) -> tuple[str, ...]:
    """What runs the command line as a victim."""
    return "benchmarks.reliability.victim", how, str(number), "--"


def victim(how: str, number: int, arguments: list[str]) -> None:
    """Run the command line and die at the chosen call. how: `count` only counts them, into the file VIMOCLIP_CALLS."""
    import lance

    from vimoclip.store import features, table, writer
    from vimoclip.store.table import Table

    features.FLUSH_BYTES = 500  # of some 50 a row
    writer.FLUSH_ROWS, writer.FLUSH_S = 12, 1e9  # many commits, and always at the same rows
    writer.COMPACT_EVERY_COMMITS = 10
    writer.GRACE = GRACE  # type: ignore[attr-defined]  # which it has from table.py
    table.ROWS_TO_INDEX = 20
    call, _, when = how.partition(":")
    calls: collections.Counter[str] = collections.Counter()
    places: dict[str, tuple[type, str]] = {
        name: (Table, name)
        for name in ("create", "append", "upsert", "replace", "delete", "index", "tidy", "add_columns", "fill")
    }
    places["cleanup"] = (lance.LanceDataset, "cleanup_old_versions")  # the part of tidy that deletes files

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def stand_in(*args: Any, **kwargs: Any) -> Any:
            calls[name] += 1
            if (name, calls[name]) != (call, number):
                return real(*args, **kwargs)
            if when == "before":
                die()
            if when == "within":
                threading.Timer(0.001 * (number % 5), die).start()
            result = real(*args, **kwargs)
            die()
            return result

        return stand_in

    for name, (owner, attribute) in places.items():
        made = wrapped(name, getattr(owner, attribute))
        setattr(owner, attribute, staticmethod(made) if name == "create" else made)
    from cli.main import app

    try:
        app(arguments)
    finally:
        if call == "count":
            Path(os.environ["VIMOCLIP_CALLS"]).write_text(json.dumps(calls))


if __name__ == "__main__":
    how, number, _, *rest = sys.argv[1:]
    sys.argv[1:] = rest  # the lock names its holder by it
    victim(how, int(number), rest)
