"""The real app, called in this process: what it prints on either stream, and its exit code."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from cli.main import app


def vimoclip(*arguments: str | Path) -> Result:
    """Run a command; whatever it does, it must not end in a traceback."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def document(*arguments: str | Path) -> Any:
    """Run a command with --json; the one document it prints on stdout."""
    return json.loads(vimoclip(arguments[0], "--json", *arguments[1:]).stdout)
