"""The console script, and `python -m vimoclip`."""

import os
import sys

from vimoclip.errors import ShadowedError
from vimoclip.import_guard import PACKAGES, check_not_shadowed


def main() -> None:
    """Run the command line. The exit status says how it ended (see cli/render.py)."""
    try:
        check_not_shadowed(*PACKAGES)
    except ShadowedError as error:
        sys.exit(f"Error: {error}")
    from cli import render
    from cli.main import app

    try:
        app()
    except SystemExit as end:
        if end.code != render.INTERRUPTED:
            raise
        # Unloading torch may take Python seconds, and it may then end by the signal rather than with this status.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(render.INTERRUPTED)


if __name__ == "__main__":
    main()
