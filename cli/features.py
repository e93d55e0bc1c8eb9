"""`vimoclip features`: list the features of a store; rename or drop added ones."""

from typing import Annotated, Any, Literal

import typer

from cli import options, render
from vimoclip.errors import UsageError

Action = Literal["list", "rename", "drop"]


@render.handled
def features(
    action: Annotated[
        Action, typer.Argument(metavar="list|rename|drop", help="list, rename OLD NEW, or drop NAME.")
    ] = "list",
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Names of features.")] = None,
    store: options.Store = options.DEFAULT_STORE,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """List the features of a store; rename or drop those that `vimoclip embed` added.

    `vimoclip optimize` frees the disk space of a dropped feature.
    """
    names = names or []
    expected = {"list": 0, "rename": 2, "drop": 1}[action]
    if len(names) != expected:
        raise UsageError(
            f"`features {action}` takes {render.count(expected, 'name')}.",
            received=" ".join(names) or "none",
            expected={"list": "features", "rename": "features rename OLD NEW", "drop": "features drop NAME"}[action],
        )
    from pipelines.features import drop, listed, rename

    if action == "list":
        _show(listed(store), store, as_json)
    elif action == "rename":
        old, new = names
        rename(store, old, new, not no_wait, render.line)
        _report(f"{old} is now called {new}.", {"renamed": old, "to": new}, as_json)
    else:
        (name,) = names
        drop(store, name, not no_wait, render.line)
        _report(f"{name} is dropped. `vimoclip optimize` frees its disk space.", {"dropped": name}, as_json)


def _report(what: str, document: dict[str, str], as_json: bool) -> None:
    if as_json:
        render.print_json(document)
    render.err.print(what, markup=False, highlight=False)


def _show(found: list[Any], store: str, as_json: bool) -> None:
    if as_json:
        render.print_json(found)
        return
    from schemas.features import arithmetic

    columns = ("name", "kind", "dim", "model", "weights", "training", "precision", "state", "videos without")
    rows = [
        [getattr(each, name) for name in columns[:-3]]
        + [arithmetic(each.precision, each.memory_format), each.state, each.lacking or ""]
        for each in found
    ]
    render.print_table(render.out, "Features", columns, rows, numbers=("dim", "videos without"))
    for feature in found:
        if feature.state == "unfinished" or feature.lacking:
            render.err.print(f"Next: vimoclip embed --as {feature.name} {render.at(store)}", markup=False)
