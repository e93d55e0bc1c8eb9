"""`vimoclip ingest`: add videos to a store."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli import options, render
from pipelines.executor import Engine
from vimoclip.config.store import ESTIMATORS, FlowImage, OnCorrupt, StartingMotion
from vimoclip.errors import ConfigError, UsageError

if TYPE_CHECKING:
    FlowChoice = str
else:
    FlowChoice = Literal[("auto", *ESTIMATORS)]


@render.handled
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Folders of videos, or videos.")],
    store: options.Store = options.DEFAULT_STORE,
    prefix: Annotated[
        str | None,
        typer.Option(
            "--as", metavar="PREFIX", help="Put PREFIX/ before every video's id.", rich_help_panel=options.ADVANCED
        ),
    ] = None,
    fps: Annotated[float | None, typer.Option(help="Frames to store per second.", show_default="all")] = None,
    every: Annotated[int | None, typer.Option(help="Store every Nth frame.", show_default="all")] = None,
    clip_model: Annotated[
        str | None,
        typer.Option(
            help="An open_clip name, hf-hub:…, local-dir:…, timm:… or vimoclip-tiny.", show_default="ViT-B-16"
        ),
    ] = None,
    clip_weights: options.Weights = None,
    preprocess: options.Preprocess = None,
    precision: options.Precision = None,
    resize: options.Resize = None,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Frames per forward pass.", show_default="by device", rich_help_panel=options.ADVANCED),
    ] = None,
    flow: Annotated[
        FlowChoice | None,
        typer.Option(help="Optical flow estimator; auto is raft-large on CUDA, else dis.", show_default="auto"),
    ] = None,
    flow_weights: Annotated[
        str | None,
        typer.Option(
            help="RAFT weights: a torchvision tag, a path, or none (seeded random).",
            show_default="torchvision's own",
            rich_help_panel=options.ADVANCED,
        ),
    ] = None,
    flow_updates: Annotated[
        int | None,
        typer.Option(help="Refinement steps of RAFT.", show_default="12", rich_help_panel=options.ADVANCED),
    ] = None,
    flow_width: Annotated[
        int | None,
        typer.Option(
            help="Largest width to compute flow at, in pixels.", show_default="640", rich_help_panel=options.ADVANCED
        ),
    ] = None,
    flow_image: Annotated[
        FlowImage | None,
        typer.Option(
            help="Image of the flow that the motion student sees.",
            show_default="uvm",
            rich_help_panel=options.ADVANCED,
        ),
    ] = None,
    motion: Annotated[
        StartingMotion | None,
        typer.Option(
            help="What makes moclip until a student is trained: motion boundaries, or CLIP's tower on the flow image.",
            show_default="mbh",
            rich_help_panel=options.ADVANCED,
        ),
    ] = None,
    keep_flow: Annotated[
        bool | None,
        typer.Option(
            "--keep-flow/--no-keep-flow",
            help="Keep the flow, to train a motion student on.",
            show_default="keep",
            rich_help_panel=options.ADVANCED,
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Label file, or none.", show_default="labels.csv in or beside the folder")
    ] = None,
    labels_from_folders: Annotated[
        bool, typer.Option("--labels-from-folders", help="Label each video with the name of its folder.")
    ] = False,
    device: options.Device = "auto",
    threads: options.Threads = 0,
    engine: options.Engine = "auto",
    workers: options.Workers = 0,
    ray_address: options.RayAddress = None,
    keep_labels: Annotated[
        bool,
        typer.Option(
            "--keep-labels",
            help="Keep labels and split where a file's content was replaced by other content.",
            rich_help_panel=options.ADVANCED,
        ),
    ] = False,
    on_corrupt: Annotated[
        OnCorrupt,
        typer.Option(
            help="A video that breaks off midway: fail it, or keep the frames before.",
            rich_help_panel=options.ADVANCED,
        ),
    ] = "fail",
    timeout: options.Timeout = 60.0,
    retry_failed: Annotated[
        bool,
        typer.Option("--retry-failed", help="Retry videos that failed before.", rich_help_panel=options.ADVANCED),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help="Ingest at most this many new videos.", rich_help_panel=options.ADVANCED),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")] = False,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings as TOML; flags override them.", rich_help_panel=options.ADVANCED),
    ] = None,
    no_wait: options.NoWait = False,
    as_json: options.Json = False,
) -> None:
    """Decode videos, compute optical flow and CLIP and MoCLIP embeddings, and store them, once.

    Run the command again at any time: known videos are skipped, and an interrupted run continues.
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
            "motion": motion,
            "weights": flow_weights,
            "updates": flow_updates,
        },
        "keep_flow": keep_flow,
    }
    asked = _merged(_from_file(config), flags)

    from cli.progress import ProgressBar
    from pipelines.ingest import IngestRequest, run
    from vimoclip.config.store import RunConfig, StoreConfig

    StoreConfig.from_dict(asked)  # an impossible value is an error even where the store has its own
    request = IngestRequest(
        paths=paths,
        store=store,
        asked=asked,
        run=RunConfig(device=device, threads=threads, on_corrupt=on_corrupt, timeout_s=timeout),
        engine=Engine(engine, workers, ray_address),
        prefix=prefix,
        labels="none" if str(labels) == "none" else labels,
        label_folders=labels_from_folders,
        keep_labels=keep_labels,
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
    """Read the --config file."""
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError("The --config file cannot be read.", received=f"{path}: {error}", expected="TOML") from error


def _merged(base: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    """Merge the flags that were given over `base`."""
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
    rows = [("ingested", report.ingested, render.count(report.frames, "frame")), ("skipped", skipped, _skipped(report))]
    if report.replaced:
        rows.append(
            ("replaced", len(report.replaced), f"other content under a known name: {render.listed(report.replaced)}")
        )
    if report.moved:
        rows.append(("moved", report.moved, "features and labels followed"))
    rows.append(("failed", len(report.failed), render.failure_kinds(report.failed)))
    if report.left:
        rows.append(("left", report.left, "would be looked into" if request.dry_run else "not reached in this run"))
    if report.left_out:
        names = render.listed([f"{name} ({count})" for name, count in sorted(report.left_out.items())])
        rows.append(("left out", sum(report.left_out.values()), f"system folders and hidden files: {names}"))
    if report.unread:
        what = "look like videos under another suffix; name them to ingest them"
        rows.append(("not read", len(report.unread), f"{what}: {render.listed(report.unread)}"))
    title = f"{render.count(report.found, 'video')} in {report.seconds:.1f} s"
    render.print_table(render.err, title, ("", "videos", "what"), rows, numbers=("videos",))
    if report.failed:
        render.print_failures(report.failed, f"vimoclip errors {render.at(request.store)}")
    for done in report.labels:
        on = render.count(done.videos, "video")
        render.line(f"Labels of {done.source}: {done.labels} on {on}, {done.changed} changed.")
        unknown = [_with_reason(done, name) for name in done.unknown]
        for one, many, listed in (
            ("named video is not in the store", "named videos are not in the store", unknown),
            ("name matches several videos", "names match several videos", done.ambiguous),
            (
                "label ends after its video, and was cut or left out",
                "labels end after their video, and were cut or left out",
                done.past_end,
            ),
            ("start or stop has no other half", "starts or stops have no other half", done.unpaired),
            ("event has no known place in a video", "events have no known place in a video", done.unplaced),
            ("label has other times in another source", "labels have other times in another source", done.disagreeing),
            ("copy contradicts the video that it duplicates", "copies contradict what they duplicate", done.copies),
            ("note", "notes", done.notes),
        ):
            if listed:
                render.line(f"  {len(listed)} {one if len(listed) == 1 else many}: {render.listed(listed)}")
    if report.relabel:
        what = "were kept, as asked; check them" if report.labels_kept else "were dropped (--keep-labels keeps them)"
        names = render.listed(report.relabel)
        render.line(f"The files of these labelled videos have new content. Labels, split and metadata {what}: {names}")
    if report.unlabelled and not request.dry_run:
        render.line(f"{render.count(report.unlabelled, 'stored video')} without a label.")
    if report.interrupted:
        render.err.print("Interrupted. Complete videos are stored; the same command continues from there.")
    elif request.dry_run:
        render.err.print("Nothing was written. Run the command without --dry-run to ingest.")
    elif report.failed or report.failed_before:
        render.err.print("Failed videos are skipped from now on; `--retry-failed` retries them.", markup=False)
    else:
        render.err.print(f"Next: vimoclip status {render.at(request.store)}", markup=False)


def _with_reason(done: Any, name: str) -> str:
    return f"{name} ({why})" if (why := done.nearest.get(name)) else name


def _skipped(report: Any) -> str:
    """Why videos were skipped, with counts."""
    parts = [
        (report.known, "known"),
        (report.duplicates, "duplicate" if report.duplicates == 1 else "duplicates"),
        (len(report.failed_before), "failed before"),
        (len(report.removed), "removed before"),
    ]
    return ", ".join(f"{count} {what}" for count, what in parts if count)
