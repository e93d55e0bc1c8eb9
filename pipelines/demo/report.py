"""All that a demo's page shows, gathered from what the demo left: its store, its runs, and what each step said."""

import importlib.metadata
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from pipelines.ablation_files import NAMES
from pipelines.demo.costs import Cost, Costs
from pipelines.demo.film import Film, compared
from pipelines.demo.hard_pairs import HardPair, Told, hard_pairs, in_all
from pipelines.demo.size import Size
from pipelines.demo.steps import FUSED, SEED, Places, Step
from pipelines.demo.strips import Picture, SearchShown, hit_strips, strip
from pipelines.demo.world import TEST, film_of, spans_of
from vimoclip.config.fusion import Fusion
from vimoclip.device import cores
from vimoclip.store.feature_store import FeatureStore
from vimoclip.training.splits import of_split

HELD_OUT = ("val", TEST)
"""The splits that no model was trained on."""

WITHOUT: Fusion = "image"
WITH: Fusion = FUSED
"""The fusions that the hard pairs are compared by."""

PACKAGES = ("vimoclip", "torch", "open_clip_torch", "pylance", "lancedb", "av", "opencv-python-headless")


@dataclass(frozen=True)
class Row:
    """A row of Table 2. micro, low, high: mAP over the seeds, a fraction, and its 95% interval, None for one seed.
    paper: in percent."""

    fusion: Fusion
    name: str
    micro: float
    low: float | None
    high: float | None
    seeds: int
    paper: float


@dataclass(frozen=True)
class Spent:
    """A step and what it cost."""

    name: str
    about: str
    cost: Cost


@dataclass(frozen=True)
class Findings:
    """world: pictures of clips, each with its caption. rows: of Table 2, on the split `held_out`. pairs, told: on the
    splits HELD_OUT. status: the document of `vimoclip status`. versions: by package."""

    clips: int
    minutes: float
    peak_bytes: int
    world: list[Picture]
    train_clips: int
    held_out: str
    held_out_clips: int
    rows: list[Row]
    pairs: list[HardPair]
    told: dict[Fusion, Told]
    searches: list[SearchShown]
    film: Film
    film_pictures: list[Picture]
    film_line: str
    steps: list[Spent]
    status: dict[str, Any]
    versions: dict[str, str]
    machine: str
    cores: int
    at: str


def gather(places: Places, size: Size, steps: Sequence[Step], documents: Mapping[str, Any], costs: Costs) -> Findings:
    """Read, score the hard pairs, and cut out pictures.

    Raises:
        CheckpointError, StoreError, VideoError: what the demo left was changed since.
    """
    store = FeatureStore.open(places.store)
    videos = store.videos()
    captions, paths = (dict(videos.select("video_id", column).iter_rows()) for column in ("caption", "path"))
    runs: dict[Fusion, list[Any]] = {
        fusion: [places.run(fusion, SEED + n) for n in range(size.seeds)] for fusion in (WITHOUT, WITH)
    }
    held_out = [row for split in HELD_OUT for row in of_split(store, split)]
    pairs = hard_pairs(store, held_out, runs)
    results = json.loads((places.ablation / "results.json").read_text(encoding="utf-8"))
    film = film_of(size)
    (predicted,) = documents["predict"]["videos"]
    spent = [Spent("render", "the world: clips with their labels", costs["render"])]
    spent += [Spent(step.name, step.about, costs[step.name]) for step in steps]
    lines = {step.name: step.line for step in steps}
    split = results["held_out"].removeprefix("split ")
    return Findings(
        clips=size.clips,
        minutes=sum(each.cost.seconds for each in spent) / 60,
        peak_bytes=max(each.cost.peak_bytes for each in spent),
        world=_world(videos, captions),
        train_clips=videos.filter(pl.col("split") == "train").height,
        held_out=split,
        held_out_clips=videos.filter(pl.col("split") == split).height,
        rows=[_row(row) for row in results["rows"]],
        pairs=pairs,
        told=in_all(pairs),
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
    """Of results.json."""
    found = row["interval"]["micro"]
    fusion: Fusion = row["fusion"]
    return Row(fusion, NAMES[fusion], found["mean"], found["low"], found["high"], len(row["seeds"]), row["paper"])


def _world(videos: pl.DataFrame, captions: dict[str, str]) -> list[Picture]:
    """One frame of a clip of each habitat, the first of each by id."""
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
