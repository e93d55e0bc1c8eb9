"""`vimoclip features`: what each vector column of a store is; renaming and dropping those that were added."""

from typing import Annotated

import typer

from cli import options, render

features = typer.Typer(help="List, rename and drop features.", invoke_without_command=True)


@features.callback()
@render.handled
def listing(
    ctx: typer.Context,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
) -> None:
    """List the features of a store; those that `vimoclip embed` added can be renamed and dropped."""
    if ctx.invoked_subcommand is not None:
        ctx.obj = store
        return
    from pipelines.features import listed

    found = listed(store)
    if as_json:
        render.print_json(found)
        return
    columns = ("name", "kind", "dim", "model", "weights", "training", "precision", "state", "videos without")
    rows = [[getattr(feature, name) for name in columns[:-1]] + [feature.lacking or ""] for feature in found]
    render.out.print(render.table("Features", columns, rows, numbers=("dim", "videos without")))
    for feature in found:
        if feature.state == "unfinished" or feature.lacking:
            render.err.print(f"Next: vimoclip embed --as {feature.name} --store {store}", markup=False)


@features.command(cls=render.Command)
@render.handled
def drop(
    name: Annotated[str, typer.Argument(help="Of the feature.")],
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Take an added feature out of the store; `optimize` takes it off the disk."""
    from pipelines import features

    features.drop(store, name, not no_wait, render.waiting)
    if as_json:
        render.print_json({"dropped": name})
    render.err.print(f"{name} is dropped. Its room on the disk is freed by `vimoclip optimize`.", markup=False)


@features.command(cls=render.Command)
@render.handled
def rename(
    old: Annotated[str, typer.Argument(help="Its name.")],
    new: Annotated[str, typer.Argument(help="What it shall be called.")],
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Give an added feature another name."""
    from pipelines import features

    features.rename(store, old, new, not no_wait, render.waiting)
    if as_json:
        render.print_json({"renamed": old, "to": new})
    render.err.print(f"{old} is called {new} now.", markup=False)
