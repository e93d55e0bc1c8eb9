"""The console script, and `python -m vimoclip`."""


def main() -> None:
    """Run the command line; the exit status says how it ended (see cli/main.py)."""
    from cli.main import app

    app()


if __name__ == "__main__":
    main()
