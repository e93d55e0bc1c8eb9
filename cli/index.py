"""`vimoclip index`: the segments that search looks through."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli import options, render


@render.handled
def index(
    window: Annotated[str | None, typer.Option(help="Length of a segment.", show_default="2s")] = None,
    stride: Annotated[
        str | None, typer.Option(help="Time from the start of one segment to the next.", show_default="1s")
    ] = None,
    appearance: Annotated[
        str | None, typer.Option(metavar="FEATURE", help="Feature to make appearance from.", show_default="clip")
    ] = None,
    motion: Annotated[
        str | None, typer.Option(metavar="FEATURE", help="Feature to make motion from.", show_default="moclip")
    ] = None,
    behaviour: Annotated[
        str | None,
        typer.Option(metavar="RUN", help="Make behaviour with this finished run of train-fusion; none: without."),
    ] = None,
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Make the segments that `vimoclip search` looks through: windows over the stored frames.

    Run the command again after an ingest: videos that have segments are skipped. Options that are not given stay as
    they are in the index. When one differs, or a feature has changed, all segments are made anew.
    """
    from cli.options import seconds
    from cli.progress import ProgressBar
    from pipelines.index import IndexRequest, run
    from schemas.segments import Space
    from vimoclip.config.store import RunConfig

    model: Path | Literal["none"] | None = "none" if behaviour == "none" else Path(behaviour) if behaviour else None
    given: dict[Space, str | None] = {"appearance": appearance, "motion": motion}
    request = IndexRequest(
        store=store,
        window_s=seconds("--window", window),
        stride_s=seconds("--stride", stride),
        features={space: name for space, name in given.items() if name is not None},
        behaviour=model,
        run=RunConfig(device=device, threads=threads),
        wait=not no_wait,
    )
    with ProgressBar() as progress:
        report = run(request, progress)
    if as_json:
        render.print_json(report)
    _print(report, store)


def _print(report: Any, store: str) -> None:
    made_from = {space: f"made from {made.feature}" for space, made in report.settings.spaces.items()}
    if (model := report.settings.behaviour) is not None:
        made_from["behaviour"] = f"made by the model {model.id}"
    rows = [
        ("indexed", report.videos, f"{render.count(report.segments, 'segment')} of {report.settings.window_s:g} s"),
        ("skipped", report.known, "already have segments" if report.known else ""),
        ("total", report.videos + report.known, render.count(report.total, "segment")),
    ]
    render.print_table(render.err, f"Index in {report.seconds:.1f} s", ("", "videos", "what"), rows, ("videos",))
    for space, how in made_from.items():
        added = report.vectors.get(space)
        what = f"; {render.count(added, 'row')} added to its vector index" if added else ""
        render.err.print(f"{space} is {how}{what}.", markup=False, highlight=False)
    if report.rebuilt:
        render.err.print(f"All segments were made anew: {'; '.join(report.rebuilt)}.", markup=False, highlight=False)
    if report.exact:
        render.err.print("A search compares its query with every segment.", markup=False)
    if not report.total:
        render.err.print(f"The store {store} has no videos yet: `vimoclip ingest` adds some.", markup=False)
        return
    render.err.print(f"Next: vimoclip search VIDEO --from 1.5 --to 3 --store {store}", markup=False, highlight=False)
