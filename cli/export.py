"""`vimoclip export`: a store, or a part of it, as files for other programs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli import options, render
from pipelines.export import Format


@render.handled
def export(
    out: Annotated[Path, typer.Argument(help="A new or empty folder.")],
    form: Annotated[Format, typer.Option("--format", help="Format of the files.")] = "parquet",
    split: Annotated[list[str] | None, typer.Option(help="Videos of this split; repeat it for several.")] = None,
    label: Annotated[list[str] | None, typer.Option(help="Videos with this label; repeat it for several.")] = None,
    feature: Annotated[
        list[str] | None, typer.Option(help="This feature; repeat it for several.", show_default="all")
    ] = None,
    store: options.Store = options.DEFAULT_STORE,
    as_json: options.Json = False,
) -> None:
    """Write videos, labels and features as Parquet, Arrow, npz or a Hugging Face dataset.

    With both --split and --label a video must match both. The folder appears once it is complete. The store is not
    locked.
    """
    from cli.progress import ProgressBar
    from pipelines.export.run import run
    from pipelines.export.selection import Query

    query = Query(tuple(split or ()), tuple(label or ()), tuple(feature or ()))
    with ProgressBar() as progress:
        report = run(store, out, form, query, progress)
    if as_json:
        render.print_json(report)
    rows = [
        ("videos", report.videos),
        ("frames", report.frames),
        ("labels", report.labels),
        ("features", ", ".join(report.features)),
        ("on disk", render.size(report.bytes)),
    ]
    render.print_table(render.err, f"Exported to {out}", ("", ""), rows)
    for stored, name in report.split_names.items():
        if stored != name:
            what = f"The split {stored!r} is" if stored else "The videos without a split are"
            render.err.print(f"{what} called {name} there.", markup=False)
    render.err.print(f"Next, in Python: {_next(report)}", markup=False, highlight=False)


def _next(report: Any) -> str:
    """The line of Python that reads the export."""
    if report.format == "datasets":
        return f"datasets.load_dataset({report.out!r})"
    if report.format == "npz":
        return f"for path in pathlib.Path({report.out!r}).rglob('*.npz'): arrays = numpy.load(path)"
    read = {"parquet": "polars.read_parquet", "arrow": "polars.read_ipc"}[report.format]
    file = repr(f"{report.out}/frames.{report.format}")
    if set("*?[") & set(file):  # polars would read it as a pattern
        file = f"pathlib.Path({file}).read_bytes()"
    return f"{read}({file})"
