"""`vimoclip demo`: every step once, on a rendered world."""

import contextlib
import io
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options, render
from pipelines.demo import SizeName


@render.handled
def demo(
    ctx: typer.Context,
    folder: Annotated[
        Path | None, typer.Argument(help="Where to put everything.", show_default="demo, or demo-full")
    ] = None,
    size: Annotated[
        SizeName, typer.Option(help="small: one seed, minutes; full: five seeds, up to an hour.")
    ] = "small",
    as_json: options.Json = False,
) -> None:
    """Render a savannah, ingest it, train on it, search it, predict on it, and write a page with the results.

    Needs no network. Run the command again at any time: finished steps are kept.
    """
    from cli.progress import ProgressBar
    from pipelines.demo.run import DemoRequest, run

    where = folder or Path("demo" if size == "small" else f"demo-{size}")
    with ProgressBar() as progress:

        def step(command: Sequence[str]) -> Any:
            progress.stop()  # each step shows its own
            return carry_out(ctx.find_root().command, command)

        report = run(DemoRequest(where, size), step, progress)
    if as_json:
        render.print_json(report)
    made = f"Finished in {report.seconds:.1f} s. Open {report.page} in a browser."
    render.err.print(f"\n{made}", markup=False, highlight=False)
    following = f"vimoclip search --text 'a zebra in the desert' --store {shlex.quote(str(where / 'store'))}"
    render.err.print(f"Next: {following}", markup=False, highlight=False)


def carry_out(app: Any, command: Sequence[str]) -> Any:
    """Run a command in this process, with its progress on stderr.

    Args:
        app: the Typer app or its Click command.
        command: its words, without `vimoclip`.

    Returns:
        The parsed document that the command prints with --json.

    Raises:
        typer.Exit: the command failed, and has printed why.
    """
    name, *words = command
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = app([name, "--json", *words], standalone_mode=False)
    if status:
        raise typer.Exit(status)
    return json.loads(printed.getvalue())
