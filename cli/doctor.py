"""`vimoclip doctor`: does this installation work?"""

import typer

from cli import options, render


@render.handled
def doctor(store: options.Store = options.DEFAULT_STORE, as_json: options.Json = False) -> None:
    """Check the installation, the device, the decoder and the store."""
    from pipelines.doctor import run

    checks = run(store)
    if as_json:
        render.print_json(checks)
    else:
        rows = ((check.name, "ok" if check.ok else "WRONG", check.found) for check in checks)
        render.print_table(render.out, "Doctor", ("check", "", "found"), rows)
    for check in checks:
        if not check.ok:
            render.err.print(f"{check.name}: {check.remedy}", markup=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(1)
