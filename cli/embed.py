"""`vimoclip embed`: another feature for the stored videos: by a model, a motion student, or another tool."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli import options, render
from pipelines.executor import Engine
from vimoclip.errors import UsageError

MOCLIP = "moclip"  # as in schemas/features.py, which --help must not load


@render.handled
def embed(
    feature: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="FEATURE",
            help="Name of the feature: bioclip, siglip, …",
            show_default="moclip with --motion, which it replaces",
        ),
    ] = None,
    motion: Annotated[
        str | None,
        typer.Option(
            "--motion",
            metavar="RUN|mbh",
            help="Embed with the student of this run of train-motion, or with motion boundaries (untrained).",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="An open_clip name, hf-hub:…, local-dir:…, timm:… or vimoclip-tiny.")
    ] = None,
    vectors: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="Add vectors that another tool made: a folder or pattern of .npy or .npz, a Parquet or HDF5 file.",
        ),
    ] = None,
    kind: Annotated[
        Literal["image", "motion"] | None,
        typer.Option(help="What --vectors are used as.", show_default="image", rich_help_panel=options.ADVANCED),
    ] = None,
    weights: options.Weights = None,
    preprocess: options.Preprocess = None,
    precision: options.Precision = None,
    resize: options.Resize = None,
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    engine: options.Engine = "auto",
    workers: options.Workers = 0,
    ray_address: options.RayAddress = None,
    timeout: options.Timeout = 60.0,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Add a feature: the vectors of another model for every stored frame, beside the existing ones.

    With --motion they are made from the stored flow, by a trained motion student or as motion boundaries, and replace
    moclip unless --as names another feature. With --vectors they are read from files of another tool, by the names of
    videos and the times or frames in them: docs/ingest.md says how.

    Run the command again at any time: it continues where it stopped. Readers see the feature once it is complete; from
    then on every ingest fills it too, except with --vectors.
    """
    from cli.progress import ProgressBar
    from pipelines.embed import MBH, EmbedRequest, run
    from vimoclip.config.store import RunConfig

    asked: dict[str, Any] = {
        "model": model,
        "weights": weights,
        "preprocess": preprocess,
        "precision": precision,
        "resize": resize,
    }
    asked = {name: value for name, value in asked.items() if value is not None}
    if motion is not None and asked:
        raise UsageError(
            "Vectors of stored flow take no settings of a model.", received=", ".join(f"--{name}" for name in asked)
        )
    if motion == MBH and Path(MBH).is_dir():
        raise UsageError(
            f"{MBH} is a folder here, and the name of motion boundaries.",
            expected=f"./{MBH} for the run in that folder; motion boundaries from another folder than this",
        )
    if motion is None and feature is None:
        raise UsageError("No feature was named.", expected="--as FEATURE, or --motion RUN or --motion mbh")
    if vectors is not None and (motion is not None or asked):
        given = ", ".join(f"--{name}" for name in (*asked, *(["motion"] if motion is not None else [])))
        raise UsageError("Vectors that another tool made take no model.", received=f"--vectors and {given}")
    request = EmbedRequest(
        store=store,
        feature=feature or MOCLIP,
        asked=asked,
        vectors=vectors,
        kind=kind,
        motion=MBH if motion == MBH else None if motion is None else Path(motion),
        run=RunConfig(device=device, threads=threads, timeout_s=timeout),
        engine=Engine(engine, workers, ray_address),
        wait=not no_wait,
    )
    with ProgressBar() as progress:
        report = run(request, progress)
    if as_json:
        render.print_json(report)
    _print(report, store, motion)
    if report.interrupted:
        raise typer.Exit(render.INTERRUPTED)
    if report.failed:
        raise typer.Exit(render.SOME_FAILED)


def _print(report: Any, store: str, motion: str | None) -> None:
    rows = [
        ("embedded", report.embedded, render.count(report.frames, "frame")),
        ("skipped", report.known, "already have it" if report.known else ""),
        ("failed", len(report.failed), render.failure_kinds(report.failed)),
    ]
    if report.bare:
        rows.append(("", "", f"{render.count(report.bare, 'frame')} without a vector"))
    if report.unnamed:
        rows.append(("not named", report.unnamed, "by the files"))
    if report.left:
        rows.append(("left", report.left, "not reached in this run"))
    title = f"{report.feature} in {report.seconds:.1f} s"
    render.print_table(render.err, title, ("", "videos", "what"), rows, numbers=("videos",))
    if report.failed:
        render.print_failures(report.failed, "--json lists them all")
    for names, why in ((report.unknown, "of no stored video"), (report.ambiguous, "that may mean several videos")):
        if names:
            more = f", and {len(names) - 1} more" if len(names) > 1 else ""
            render.line(f"{render.count(len(names), 'name')} {why}: {names[0]}{more}")
    what = f"--as {report.feature}" if report.feature != MOCLIP else f"--motion {motion}"
    command = f"vimoclip embed {what} {render.at(store)}"
    if report.interrupted:
        render.err.print(f"Interrupted. What is done is kept; {command} continues from there.", markup=False)
    elif not report.complete:
        render.err.print(f"No video could be embedded; readers do not see the new {report.feature} yet.", markup=False)
    elif report.failed:
        render.err.print(f"These videos have no {report.feature}; {command} retries them.", markup=False)
    else:
        render.err.print(f"Next: vimoclip features {render.at(store)}", markup=False)
