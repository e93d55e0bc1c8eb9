"""`vimoclip search`: bouts in the store that are like a span, a clip, an image, a text or a label."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from cli import options, render
from vimoclip.errors import UsageError
from vimoclip.search.options import By, Exclude, Space, Unit

if TYPE_CHECKING:
    from vimoclip.search.results import Hits

FILTERS = "Filters"
"""The panel of `--help` for the options that say where to search."""


@render.handled
def search(
    video: Annotated[str | None, typer.Argument(help="Id of a stored video: all of it, or a span.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="Start of the span: 1.5, 1:30.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="End of the span.")] = None,
    clip: Annotated[Path | None, typer.Option(help="Search by a video file that is not in the store.")] = None,
    image: Annotated[Path | None, typer.Option(help="Search by an image file.")] = None,
    text: Annotated[str | None, typer.Option(help="Search by a description in words.")] = None,
    label: Annotated[str | None, typer.Option(help="Search by the mean of all that has this label.")] = None,
    by: Annotated[By, typer.Option(help="The space to compare in; mix: several of them.")] = "appearance",
    top: Annotated[int, typer.Option(help="How many bouts to find.")] = 10,
    labelled: Annotated[
        list[str] | None,
        typer.Option(help="Only bouts with this label; repeat it for any of several.", rich_help_panel=FILTERS),
    ] = None,
    not_labelled: Annotated[
        list[str] | None, typer.Option(help="Only bouts without this label.", rich_help_panel=FILTERS)
    ] = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="Only videos of this split; repeat it for any of several.", rich_help_panel=FILTERS),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only videos with this metadata; several values of a column: any of them.",
            rich_help_panel=FILTERS,
        ),
    ] = None,
    videos: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Only videos whose id matches: site/*.MP4.", rich_help_panel=FILTERS),
    ] = None,
    contact_sheet: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Draw a strip of frames for each hit.")
    ] = None,
    clips: Annotated[Path | None, typer.Option(metavar="FOLDER", help="Cut each hit out as an mp4.")] = None,
    store: options.Store = options.DEFAULT_STORE,
    device: options.Device = "auto",
    weights: Annotated[
        str | None,
        typer.Option(
            help="Weights for --by mix: appearance=1,motion=2.",
            show_default="even",
            rich_help_panel=options.ADVANCED,
        ),
    ] = None,
    min_percentile: Annotated[
        float,
        typer.Option(
            help="Only bouts more alike than this many of 100 random pairs.", rich_help_panel=options.ADVANCED
        ),
    ] = 0.0,
    exclude: Annotated[
        Exclude,
        typer.Option(
            help="Leave out the query's own span, all of its video, or nothing.", rich_help_panel=options.ADVANCED
        ),
    ] = "span",
    unit: Annotated[
        Unit, typer.Option(help="Search segments or single frames.", rich_help_panel=options.ADVANCED)
    ] = "segments",
    threads: options.Threads = 0,
    as_json: options.Json = False,
) -> None:
    """Find the bouts that are most like a span of a video, a clip, an image, a text or a label.

    Scores are cosines; the percentile says how many of 100 random pairs, a query of the same kind and a segment each,
    are less alike. The store is not locked.
    """
    from cli.options import seconds
    from vimoclip.api import Store
    from vimoclip.config.store import RunConfig
    from vimoclip.search.filters import Filters

    if (start is not None or end is not None) and video is None:
        raise UsageError(
            "A span needs a stored video.", received="--from or --to alone", expected="VIDEO --from 1.5 --to 3"
        )
    hits = Store.open(store).search(
        video=video,
        start_s=seconds("--from", start),
        end_s=seconds("--to", end),
        clip=clip,
        image=image,
        text=text,
        label=label,
        by=by,
        weights=_weights(weights),
        top=top,
        min_percentile=min_percentile,
        exclude=exclude,
        unit=unit,
        filters=Filters(
            tuple(labelled or ()), tuple(not_labelled or ()), tuple(split or ()), _where(where), tuple(videos or ())
        ),
        run=RunConfig(device=device, threads=threads),
    )
    made = _make(hits, contact_sheet, clips)
    if as_json:
        render.print_json(hits.to_dict() | made)
    else:
        _print(hits)
    _print_rest(hits, made, store)


def _weights(text: str | None) -> Any:
    """Parse `appearance=1,motion=2`."""
    if text is None:
        return None
    found: dict[str, float] = {}
    for part in text.split(","):
        space, _, number = part.partition("=")
        try:
            found[space.strip()] = float(number)
        except ValueError:
            found = {}
            break
    if not found or found.keys() - set(get_args(Space)):
        raise UsageError("--weights gives each space a weight.", received=text, expected="appearance=1,motion=2")
    return found


def _where(given: list[str] | None) -> dict[str, tuple[str, ...]]:
    """Parse `species=otter`, values by column; the column ends at the first `=`."""
    found: dict[str, tuple[str, ...]] = {}
    for part in given or ():
        column, sign, value = part.partition("=")
        if not sign or not column:
            raise UsageError("--where takes a column and its value.", received=part, expected="species=otter")
        found[column] = (*found.get(column, ()), value)
    return found


def _make(hits: "Hits", contact_sheet: Path | None, clips: Path | None) -> dict[str, Any]:
    """Write the files that were asked for; their paths, and as `unwritten` (video, why) of each clip not cut."""
    made: dict[str, Any] = {}
    if contact_sheet is not None and hits:
        from vimoclip.search.results import cannot_be_shown, sheet
        from vimoclip.video.contact_sheet import write

        made["contact_sheet"] = str(write(contact_sheet, sheet(hits)))
        made["undrawn"] = cannot_be_shown(hits)
    if clips is not None and hits:
        from vimoclip.search.results import export_clips

        made["clips"], made["unwritten"] = export_clips(hits, clips)
    return made


def _print(hits: "Hits") -> None:
    """Print the hits as a table to stdout."""
    rows = [
        (
            n,
            hit.video_id,
            f"{hit.start_s:.2f}",
            f"{hit.end_s:.2f}",
            f"{hit.score:.3f}",
            "" if hit.percentile is None else f"{hit.percentile:.2f}",
            ", ".join(hit.labels),
            hit.split,
        )
        for n, hit in enumerate(hits, start=1)
    ]
    if rows:
        columns = ("", "video", "from s", "to s", "score", "percentile", "labels", "split")
        numbers = ("", "from s", "to s", "score", "percentile")
        render.print_table(render.out, f"Like {hits.query}", columns, rows, numbers)
    else:
        render.out.print(hits.summary, markup=False, highlight=False)


def _print_rest(hits: "Hits", made: dict[str, Any], store: str) -> None:
    """Print to stderr what came beside the hits: notes, files, and a next command."""
    for note in hits.notes:
        render.err.print(note, markup=False, highlight=False)
    if "contact_sheet" in made:
        render.err.print(f"Drawn: {made['contact_sheet']}", markup=False, highlight=False)
    for video_id, why in made.get("undrawn", ()):
        render.line(f"No pictures of {video_id}: {why}")
    if made.get("clips"):
        render.err.print(
            f"Cut: {render.count(len(made['clips']), 'clip')}, {made['clips'][0]} …", markup=False, highlight=False
        )
    for video_id, why in made.get("unwritten", ()):
        render.err.print(f"No clip of {video_id}: {why}", markup=False, highlight=False)
    if hits:
        best = hits[0]
        span = f"--from {best.start_s:.2f} --to {best.end_s:.2f}"
        following = f"vimoclip search {span} --store {shlex.quote(store)} -- {shlex.quote(best.video_id)}"
        render.err.print(f"{hits.summary} Next: {following}", markup=False, highlight=False)
