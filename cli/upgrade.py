"""`vimoclip upgrade`: bring a store of an older version to today's format."""

from cli import options, render


@render.handled
def upgrade(
    store: options.Store = options.DEFAULT_STORE, no_wait: options.NoWait = False, as_json: options.Json = False
) -> None:
    """Bring a store of an older version to today's format, in seconds; nothing is computed again. Safe to interrupt."""
    from pipelines.maintain import upgrade

    report = upgrade(store, not no_wait, render.line)
    if as_json:
        render.print_json(report)
    if report.tables:
        render.line(
            f"{report.store}: format {report.before} is now {report.after}; its videos and vectors are as before."
        )
    else:
        render.line(f"{report.store} has format {report.after} already.")
