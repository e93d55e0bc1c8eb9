"""The console script, and `python -m vimoclip`."""

import sys

from vimoclip.errors import ShadowedError
from vimoclip.own import PACKAGES, check_found


def main() -> None:
    """Run the command line; the exit status says how it ended (see cli/render.py)."""
    try:
        check_found(*PACKAGES)
    except ShadowedError as error:
        sys.exit(f"Error: {error}")
    from cli.main import app

    app()


if __name__ == "__main__":
    main()
