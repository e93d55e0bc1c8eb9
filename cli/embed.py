"""`vimoclip embed`: another feature for the stored videos, by a further model or by a trained motion student."""

from pathlib import Path
from typing import Annotated, Any

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
    moclip unless --as names another feature.

    Run the command again at any time: it continues where it stopped. Readers see the feature once it is complete; from
    then on every ingest fills it too.
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
    request = EmbedRequest(
        store=store,
        feature=feature or MOCLIP,
        asked=asked,
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
    if report.left:
        rows.append(("left", report.left, "not reached in this run"))
    title = f"{report.feature} in {report.seconds:.1f} s"
    render.print_table(render.err, title, ("", "videos", "what"), rows, numbers=("videos",))
    if report.failed:
        render.print_failures(report.failed, "--json lists them all")
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
