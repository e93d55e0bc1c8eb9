"""The page of a demo: its data, gathered from the store, the runs and the steps' documents, and its HTML."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from pipelines.demo.costs import Cost, Costs
from pipelines.demo.hard_pairs import HardPair, PairAccuracy, hard_pairs, overall
from pipelines.demo.steps import FUSED, SEED, DemoPaths, SearchTarget, Step
from pipelines.demo.world import TEST, Size, film_of, spans_of
from schemas.labels import Span
from vimoclip.api import Store
from vimoclip.config.fusion import HEADS, Fusion
from vimoclip.device import cores
from vimoclip.savannah import FPS
from vimoclip.search.results import Hit, data_uris
from vimoclip.training.splits import videos_of_split
from vimoclip.video.contact_sheet import frames_at, spread

# The predicted film against what it shows: bouts beside spans, and how far they agree.


@dataclass(frozen=True)
class TimelineRow:
    """A label in the timeline of the film.

    Attributes:
        label: the behaviour.
        spans: where the film shows it.
        bouts: where it was predicted.
    """

    label: str
    spans: tuple[Span, ...]
    bouts: tuple[Span, ...]


@dataclass(frozen=True)
class Film:
    """The film, as it is and as it was predicted.

    Attributes:
        duration_s: in s.
        lanes: rows by when the film first shows their label; labels that were only predicted come last.
        recall: share of the true pairs of frame and label that were predicted.
        precision: share of the predicted pairs that are true; None where nothing was predicted.
    """

    duration_s: float
    lanes: tuple[TimelineRow, ...]
    recall: float
    precision: float | None


def compared(duration_s: float, spans: Sequence[Span], predicted: dict[str, Any]) -> Film:
    """Compare a prediction with the truth.

    Args:
        duration_s: of the film, in s.
        spans: what it shows; at least one.
        predicted: its entry in `Predictions.to_dict`.
    """
    bouts = [Span(bout["label"], bout["start_s"], bout["end_s"]) for bout in predicted["bouts"]]
    labels = list(dict.fromkeys(span.label for span in (*spans, *bouts)))
    lanes = tuple(TimelineRow(label, _of(label, spans), _of(label, bouts)) for label in labels)
    times = (np.arange(round(duration_s * FPS)) + 0.5) / FPS
    true, seen, both = 0, 0, 0
    for lane in lanes:
        to_be_seen, was_seen = _at(times, lane.spans), _at(times, lane.bouts)
        true, seen = true + int(to_be_seen.sum()), seen + int(was_seen.sum())
        both += int((to_be_seen & was_seen).sum())
    return Film(duration_s, lanes, both / true, both / seen if seen else None)


def _of(label: str, spans: Sequence[Span]) -> tuple[Span, ...]:
    return tuple(span for span in spans if span.label == label)


def _at(times: NDArray[np.float64], spans: Sequence[Span]) -> NDArray[np.bool_]:
    """Which of the times lie in one of the spans."""
    inside = np.zeros(len(times), bool)
    for span in spans:
        inside |= (times >= span.start_s) & (times < span.end_s)
    return inside


# Strips of frames: small pictures inside the page, each with a text for readers who cannot see it.


FRAMES = 4
"""Frames of a strip: as many as a phone shows side by side."""


@dataclass(frozen=True)
class Picture:
    """A picture inside the page.

    Attributes:
        uri: a data URI.
        alt: what it shows, in words.
        width: in px.
        height: in px.
    """

    uri: str
    alt: str
    width: int
    height: int


@dataclass(frozen=True)
class HitStrip:
    """A hit of a search, with frames of it.

    Attributes:
        hit: the hit.
        caption: of its video, from the store's metadata.
        pictures: evenly spread over the hit.
    """

    hit: Hit
    caption: str
    pictures: list[Picture]


@dataclass(frozen=True)
class SearchShown:
    """A search, as the page shows it.

    Attributes:
        sought: what was searched for.
        line: its command line.
        asked: pictures of the query; empty for words and labels.
        hits: best first.
        searched: how many segments were searched.
    """

    sought: SearchTarget
    line: str
    asked: list[Picture]
    hits: list[HitStrip]
    searched: int


def pictures(path: str, times_s: Sequence[float], what: str) -> list[Picture]:
    """Cut frames out of a video.

    Args:
        path: of the video.
        times_s: of the frames, in s.
        what: they show, for their `alt`.

    Raises:
        VideoError: the video cannot be decoded.
    """
    frames = frames_at(path, times_s)
    return [
        Picture(uri, f"{what}, at {time_s:.1f} s", frame.shape[1], frame.shape[0])
        for uri, frame, time_s in zip(data_uris(frames), frames, times_s, strict=True)
    ]


def strip(path: str, start_s: float, end_s: float, what: str, count: int = FRAMES) -> list[Picture]:
    """Cut `count` frames out of a span, evenly spread; see `pictures`."""
    return pictures(path, spread(start_s, end_s, count), what)


def hit_strips(document: dict[str, Any], captions: dict[str, str]) -> list[HitStrip]:
    """Read the hits of a search's document. captions: by video id."""
    shown = []
    for each in document["hits"]:
        hit = Hit(**each | {"labels": tuple(each["labels"]), "best_s": tuple(each["best_s"])})
        caption = captions[hit.video_id]
        shown.append(HitStrip(hit, caption, strip(hit.path, hit.start_s, hit.end_s, caption.rstrip("."))))
    return shown


# The data of the page.


HELD_OUT = ("val", TEST)
"""The splits that were not trained on."""

WITHOUT: Fusion = "image"
WITH: Fusion = FUSED
"""The fusions whose hard pairs are compared: without motion, and with it."""

PACKAGES = ("vimoclip", "torch", "open_clip_torch", "pylance", "lancedb", "av", "opencv-python-headless")


@dataclass(frozen=True)
class Row:
    """A row of Table 2.

    Attributes:
        fusion: its name on the command line.
        name: its title.
        micro: mean micro mAP over the seeds, a fraction.
        low: lower end of the 95% interval; None for one seed.
        high: upper end of it.
        seeds: how many.
        paper: the paper's figure, in percent.
    """

    fusion: str
    name: str
    micro: float
    low: float | None
    high: float | None
    seeds: int
    paper: float


@dataclass(frozen=True)
class StepCost:
    """A step, what it does in a few words, and its cost."""

    name: str
    about: str
    cost: Cost


@dataclass(frozen=True)
class ReportData:
    """Everything that the page shows.

    Attributes:
        clips: how many were rendered.
        minutes: that all steps took.
        peak_bytes: of the step that needed most memory.
        world: pictures of clips, each with its caption.
        train_clips: how many were trained on.
        held_out: the split that Table 2 is measured on.
        held_out_clips: of that split.
        rows: of Table 2.
        pairs: hard pairs, on the splits HELD_OUT.
        told: the accuracy over all of them, by fusion.
        searches: in the order of the steps.
        film: that was predicted.
        film_pictures: frames of it.
        film_line: the command line of the prediction.
        steps: with their costs.
        status: the document of `vimoclip status`.
        versions: of packages, by name.
        machine: in words.
        cores: of the machine.
        at: when the page was made, UTC.
    """

    clips: int
    minutes: float
    peak_bytes: int
    world: list[Picture]
    train_clips: int
    held_out: str
    held_out_clips: int
    rows: list[Row]
    pairs: list[HardPair]
    told: dict[Fusion, PairAccuracy]
    searches: list[SearchShown]
    film: Film
    film_pictures: list[Picture]
    film_line: str
    steps: list[StepCost]
    status: dict[str, Any]
    versions: dict[str, str]
    machine: str
    cores: int
    at: str


def gather(
    places: DemoPaths, size: Size, steps: Sequence[Step], documents: Mapping[str, Any], costs: Costs
) -> ReportData:
    """Read the results of a demo, score the hard pairs, and cut out pictures.

    Args:
        places: where the demo keeps everything.
        size: of the demo.
        steps: that were carried out.
        documents: what each step printed with --json, by name.
        costs: of the steps.

    Raises:
        CheckpointError: a run was changed since.
        StoreError: the store was changed since.
        VideoError: a video was changed since.
    """
    store = Store.open(places.store)
    videos = store.videos()
    captions, paths = (dict(videos.select("video_id", column).iter_rows()) for column in ("caption", "path"))
    runs: dict[Fusion, list[Any]] = {
        fusion: [places.run(fusion, SEED + n) for n in range(size.seeds)] for fusion in (WITHOUT, WITH)
    }
    held_out = [row for split in HELD_OUT for row in videos_of_split(store, split)]
    pairs = hard_pairs(store, held_out, runs)
    results = json.loads((places.ablation / "results.json").read_text(encoding="utf-8"))
    film = film_of(size)
    (predicted,) = documents["predict"]["videos"]
    spent = [StepCost("render", "the world: clips with their labels", costs["render"])]
    spent += [StepCost(step.name, step.about, costs[step.name]) for step in steps]
    lines = {step.name: step.line for step in steps}
    split = results["held_out"].removeprefix("split ")
    return ReportData(
        clips=size.clips,
        minutes=sum(each.cost.seconds for each in spent) / 60,
        peak_bytes=max(each.cost.peak_bytes for each in spent),
        world=_world(videos, captions),
        train_clips=videos.filter(pl.col("split") == "train").height,
        held_out=split,
        held_out_clips=videos.filter(pl.col("split") == split).height,
        rows=[_row(row) for row in results["rows"]],
        pairs=pairs,
        told=overall(pairs),
        searches=[_search(step, documents[step.name], captions, paths) for step in steps if step.sought],
        film=compared(predicted["duration_s"], spans_of(film), predicted),
        film_pictures=strip(str(places.film), 0, predicted["duration_s"], "The film", len(film)),
        film_line=lines["predict"],
        steps=spent,
        status=documents["status"],
        versions={name: importlib.metadata.version(name) for name in PACKAGES},
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        cores=cores(),
        at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def _row(row: dict[str, Any]) -> Row:
    """A row of results.json."""
    found = row["interval"]["micro"]
    fusion: str = row["fusion"]
    return Row(fusion, HEADS[fusion].title, found["mean"], found["low"], found["high"], len(row["seeds"]), row["paper"])


def _world(videos: pl.DataFrame, captions: dict[str, str]) -> list[Picture]:
    """One frame of each habitat, from its first clip by id."""
    first = videos.sort("video_id").unique("habitat", keep="first", maintain_order=True)
    return [
        picture
        for row in first.to_dicts()
        for picture in strip(row["path"], 0, row["duration_s"], captions[row["video_id"]].rstrip("."), 1)
    ]


def _search(step: Step, document: dict[str, Any], captions: dict[str, str], paths: dict[str, str]) -> SearchShown:
    sought = step.sought
    assert sought is not None
    asked: list[Picture] = []
    if (video_id := sought.video_id) is not None:
        asked = strip(paths[video_id], sought.start_s, sought.end_s, captions[video_id].rstrip("."))
    return SearchShown(sought, step.line, asked, hit_strips(document, captions), document["searched"])


# The page: page.html.jinja, filled with the data. Everything from a store is text in it, never markup.


HERE = Path(__file__).parent


def page(found: ReportData) -> str:
    """The page as HTML, in a single file."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": _percent, "size": _size, "seconds": _seconds, "day": _day}
    return environment.get_template("page.html.jinja").render(found=found, without=WITHOUT, with_motion=WITH)


def _percent(fraction: float, digits: int = 0) -> str:
    """Format in percent, rounding halves up: 5 of 8 is 63%, not 62%."""
    return f"{100 * fraction + 1e-9:.{digits}f}"


def _size(count: float) -> str:
    """Format bytes, in powers of 1000."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"


def _day(iso: str) -> str:
    return datetime.fromisoformat(iso).strftime("%Y-%m-%d %H:%M")
