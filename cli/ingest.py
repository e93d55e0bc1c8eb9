"""`vimoclip ingest`: videos into a store."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import options, render
from pipelines.executor import Engine
from vimoclip.config.store import ESTIMATORS, FlowImage, OnCorrupt
from vimoclip.errors import ConfigError, UsageError

if TYPE_CHECKING:
    FlowChoice = str
else:
    FlowChoice = Literal[("auto", *ESTIMATORS)]


@render.handled
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders of videos, or videos.")],
    store: options.Store = options.DEFAULT_STORE,
    prefix: Annotated[str | None, typer.Option("--as", help="Put PREFIX/ before every video's id.")] = None,
    fps: Annotated[float | None, typer.Option(help="Store this many frames a second; all, unless given.")] = None,
    every: Annotated[int | None, typer.Option(help="Store every Nth frame.")] = None,
    clip_model: Annotated[
        str | None, typer.Option(help="open_clip name, hf-hub:…, local-dir:…, vimoclip-tiny", show_default="ViT-B-16")
    ] = None,
    clip_weights: options.Weights = None,
    preprocess: options.Preprocess = None,
    precision: options.Precision = None,
    resize: options.Resize = None,
    batch_size: Annotated[int | None, typer.Option(help="Frames a forward.", show_default="by device")] = None,
    flow: Annotated[
        FlowChoice | None,
        typer.Option(help="Optical flow estimator; auto is raft-large on CUDA, else dis.", show_default="auto"),
    ] = None,
    flow_weights: Annotated[
        str | None,
        typer.Option(help="RAFT's: torchvision tag, path, or none (seeded random).", show_default="torchvision's own"),
    ] = None,
    flow_updates: Annotated[int | None, typer.Option(help="RAFT's passes over the flow.", show_default="12")] = None,
    flow_width: Annotated[
        int | None, typer.Option(help="Flow is computed at up to this width.", show_default="640")
    ] = None,
    flow_image: Annotated[FlowImage | None, typer.Option(help="What the student sees.", show_default="uvm")] = None,
    keep_flow: Annotated[
        bool | None, typer.Option("--keep-flow/--no-keep-flow", help="Keep flow to train on.", show_default="keep")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label file, or none.", show_default="labels.csv in or beside the folder")
    ] = None,
    labels_from_folders: Annotated[
        bool, typer.Option("--labels-from-folders", help="A video's folder is its label.")
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    engine: options.Engine = "auto",
    workers: options.Workers = 0,
    ray_address: options.RayAddress = None,
    on_corrupt: Annotated[
        OnCorrupt, typer.Option(help="A file that breaks midway: fail it, or keep what decodes.")
    ] = "fail",
    timeout: options.Timeout = 60.0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try videos again that failed before.")] = False,
    limit: Annotated[int | None, typer.Option(min=0, help="At most this many new videos.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    config: Annotated[Path | None, typer.Option(help="Settings as TOML; flags win over it.")] = None,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Decode videos, compute optical flow and CLIP and MoCLIP embeddings, and store them, once.

    Run it again at any time: what is known is skipped, and a run that was cut short goes on.
    """
    flags: dict[str, Any] = {
        "sampling": {"fps": fps, "every": every},
        "clip": {
            "model": clip_model,
            "weights": clip_weights,
            "preprocess": preprocess,
            "precision": precision,
            "resize": resize,
            "batch_size": batch_size,
        },
        "flow": {
            "estimator": flow,
            "max_width": flow_width,
            "image": flow_image,
            "weights": flow_weights,
            "updates": flow_updates,
        },
        "keep_flow": keep_flow,
    }
    asked = _merged(_from_file(config), flags)

    from cli.progress import ProgressBar
    from pipelines.ingest import IngestRequest, run
    from vimoclip.config.store import RunConfig, StoreConfig

    StoreConfig.from_dict(asked)  # a value that no store can have is an error even where the store has its own
    request = IngestRequest(
        paths=paths,
        store=store,
        asked=asked,
        run=RunConfig(device=device, threads=threads, on_corrupt=on_corrupt, timeout_s=timeout),
        engine=Engine(engine, workers, ray_address),
        prefix=prefix,
        labels="none" if str(labels) == "none" else labels,
        label_folders=labels_from_folders,
        retry_failed=retry_failed,
        limit=limit,
        dry_run=dry_run,
        wait=not no_wait,
    )
    with ProgressBar() as progress:
        report = run(request, progress)
    if as_json:
        render.print_json(report)
    _print(report, request)
    if report.interrupted:
        raise typer.Exit(render.INTERRUPTED)
    if report.failed:
        raise typer.Exit(render.SOME_FAILED)


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError("The --config file cannot be read.", received=f"{path}: {error}", expected="TOML") from error


def _merged(base: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """`base` with every flag that was given put over it."""
    merged: dict[str, Any] = {name: dict(value) if isinstance(value, dict) else value for name, value in base.items()}
    for name, value in flags.items():
        if isinstance(value, dict):
            given = {key: entry for key, entry in value.items() if entry is not None}
            if given:
                section = merged.setdefault(name, {})
                if not isinstance(section, dict):
                    raise ConfigError(f"{name} is a table of settings.", received=repr(section), expected=f"[{name}]")
                section.update(given)
        elif value is not None:
            merged[name] = value
    return merged


def _print(report: Any, request: Any) -> None:
    skipped = report.known + report.duplicates + len(report.failed_before) + len(report.removed)
    rows = [("ingested", report.ingested, f"{report.frames} frames"), ("skipped", skipped, _skipped(report))]
    if report.moved:
        rows.append(("moved", report.moved, "features and labels followed"))
    rows.append(("failed", len(report.failed), render.listed(sorted({kind for _, kind, _ in report.failed}))))
    if report.left:
        rows.append(("left", report.left, "would be looked into" if request.dry_run else "not reached in this run"))
    title = f"{report.found} videos in {report.seconds:.1f} s"
    render.err.print(render.table(title, ("", "videos", "what"), rows, numbers=("videos",)))
    if report.failed:
        rows = report.failed[:20]
        render.err.print(render.table("Failed", ("video", "kind", "why"), rows))
        if len(report.failed) > 20:
            render.err.print(
                f"… and {len(report.failed) - 20} more: vimoclip errors {render.at(request.store)}", markup=False
            )
    for done in report.labels:
        render.err.print(
            f"Labels of {done.source}: {done.labels} on {done.videos} videos, {done.changed} changed.", markup=False
        )
        for what, names in (
            ("videos it names are not in the store", done.unknown),
            ("names fit several videos", done.ambiguous),
            ("labels end after their video, and were cut or left out", done.past_end),
            ("starts or stops have no other half", done.unpaired),
            ("events are in no known place", done.unplaced),
        ):
            if names:
                render.err.print(f"  {len(names)} {what}: {render.listed(names)}", markup=False)
    if report.relabel:
        names = render.listed(report.relabel)
        render.err.print(
            f"Labelled videos whose files have other content now; check their labels: {names}", markup=False
        )
    if report.interrupted:
        render.err.print("Interrupted. What is complete is stored; the same command goes on from there.")
    elif request.dry_run:
        render.err.print("Nothing was written. Run it without --dry-run to ingest.")
    elif report.failed or report.failed_before:
        render.err.print("Failed videos are skipped from now on; `--retry-failed` tries them again.", markup=False)
    else:
        render.err.print(f"Next: vimoclip status {render.at(request.store)}", markup=False)


def _skipped(report: Any) -> str:
    parts = [
        (report.known, "known"),
        (report.duplicates, "duplicates"),
        (len(report.failed_before), "failed before"),
        (len(report.removed), "removed before"),
    ]
    return ", ".join(f"{count} {what}" for count, what in parts if count)
