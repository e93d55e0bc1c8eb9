"""`vimoclip verify`: does every table agree with every other?"""

import typer

from cli import options, render


@render.handled
def verify(store: options.Store = options.DEFAULT_STORE, as_json: options.Json = False) -> None:
    """Check every table of the store against every other, and name what is wrong."""
    from rich.progress import Progress

    from vimoclip.store.verify import verify as check
    from vimoclip.store.verify_faults import Observer

    class Bar(Observer):
        def table(self, name: str, rows: int) -> None:
            progress.update(task, description=name, total=rows, completed=0)

        def rows(self, count: int) -> None:
            progress.advance(task, count)

    with Progress(console=render.err, transient=True, disable=not render.err.is_terminal) as progress:
        task = progress.add_task("opening")
        faults = check(store, Bar())
    serious = sum(fault.count for fault in faults if not fault.harmless)
    harmless = sum(fault.count for fault in faults if fault.harmless)
    if as_json:
        render.print_json(faults)
    elif faults:
        rows = ((fault.name, fault.table, fault.video_id, fault.detail, fault.remedy) for fault in faults)
        title = f"{serious} faults, {harmless} harmless leftovers"
        render.out.print(render.table(title, ("fault", "table", "video", "what", "what to do"), rows))
    else:
        render.out.print("The store is whole: every table agrees with every other.")
    if serious:
        raise typer.Exit(1)
