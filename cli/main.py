"""The Typer app: every command, each from the module of its name, and the groups that `vimoclip --help` shows."""

import typer

from cli import render
from cli.ablate import ablate
from cli.demo import demo
from cli.doctor import doctor
from cli.embed import embed
from cli.errors import errors
from cli.evaluate import evaluate
from cli.export import export
from cli.features import features
from cli.index import index
from cli.ingest import ingest
from cli.label import label
from cli.optimize import optimize
from cli.predict import predict
from cli.remove import remove
from cli.search import search
from cli.status import status
from cli.train_fusion import train_fusion
from cli.train_motion import train_motion
from cli.upgrade import upgrade
from cli.verify import verify

app = typer.Typer(
    name="vimoclip",
    help="Extract features of animal-behaviour video once, and keep them in a store.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

GROUPS = {
    "Start here": (demo,),
    "Fill and inspect a store": (ingest, embed, features, status, errors, label),
    "Search, train, predict": (index, search, train_motion, train_fusion, ablate, evaluate, predict, export),
    "Maintenance": (verify, remove, optimize, upgrade, doctor),
}
"""Commands by the title that `vimoclip --help` shows above them, in the order it shows them."""

for title, commands in GROUPS.items():
    for command in commands:
        app.command(cls=render.Command, rich_help_panel=title)(command)


def _version(show: bool) -> None:
    if show:
        from vimoclip import __version__

        typer.echo(f"vimoclip {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """Extract features of animal-behaviour video once, and keep them in a store."""
