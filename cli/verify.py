"""`vimoclip verify`: check that the tables of a store agree."""

import typer

from cli import options, render


@render.handled
def verify(store: options.Store = options.DEFAULT_STORE, as_json: options.Json = False) -> None:
    """Check every table of the store against the others, and name what is wrong."""
    from cli.progress import ProgressBar
    from vimoclip.store.verify import verify as check

    with ProgressBar() as progress:
        faults = check(store, progress)
    serious = sum(fault.count for fault in faults if not fault.harmless)
    harmless = sum(fault.count for fault in faults if fault.harmless)
    if as_json:
        render.print_json(faults)
    elif faults:
        rows = ((fault.name, fault.table, fault.video_id, fault.detail, fault.remedy) for fault in faults)
        title = f"{render.count(serious, 'fault')}, {harmless} harmless"
        render.print_table(render.out, title, ("fault", "table", "video", "what", "what to do"), rows)
    else:
        render.out.print("The store is whole: every table agrees with every other.")
    if serious:
        raise typer.Exit(1)
