"""The demo from end to end, short: what its page says is what its files say, and a second run trains nothing."""

import base64
import csv
import functools
import io
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import polars as pl
import pytest

from cli.demo import carry_out
from cli.main import app
from pipelines.demo.report import WITH, WITHOUT
from pipelines.demo.run import DemoReport, DemoRequest, run
from pipelines.demo.steps import DemoPaths, demo_steps
from pipelines.demo.world import Size
from tests.cli.runner import vimoclip
from tests.pipelines.demo.page_reader import Page, read
from vimoclip import open_store
from vimoclip.errors import RunError

SIZE = Size(clips=24, motion_epochs=1, fusion_epochs=2, width=32, seeds=1, in_a_row=2)


def on_one_thread(command: Sequence[str]) -> Any:
    """As the demo does, but that two threads do not wait for each other where other tests have the cores."""
    return carry_out(app, command if command[0] in ("index", "status") else [*command, "--threads", "1"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def report(folder: Path) -> DemoReport:
    return run(DemoRequest(folder, SIZE), on_one_thread)


@pytest.fixture(scope="module")
def page(report: DemoReport) -> Page:
    return read(report.page.read_text(encoding="utf-8"))


def test_the_store_holds_what_was_rendered(report: DemoReport, folder: Path) -> None:
    store = open_store(folder / "store")
    with (folder / "videos" / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert report.rendered and set(store.videos()["video_id"]) == {row["filepath"] for row in rows}
    assert store.labels().height == len(rows)
    assert store.features["moclip"].training != store.features["clip"].training


def test_table_2_is_that_of_the_results(page: Page, folder: Path) -> None:
    results = json.loads((folder / "runs" / "table2" / "results.json").read_text())
    shown = {
        str(cell["data-fusion"]): float(str(cell["data-micro"])) for cell in page.all("td") if "data-micro" in cell
    }
    assert shown == {row["fusion"]: row["last"]["micro"][0] for row in results["rows"]}
    for row in results["rows"]:
        assert f"{100 * row['last']['micro'][0]:.1f}" in page.text and f"{row['paper']:.2f}" in page.text


def test_the_pairs_are_those_that_the_runs_tell_apart(page: Page, folder: Path) -> None:
    store = open_store(folder / "store")
    held_out = store.videos().filter(pl.col("split") != "train")["video_id"].to_list()
    labels = dict(store.labels().group_by("video_id").agg(pl.col("label")).iter_rows())
    shares = []
    for one, other in (("walking", "stalking"), ("flying", "jumping")):
        for fusion in (WITHOUT, WITH):
            right = []
            for each in store.predict(held_out, folder / "runs" / "table2" / f"{fusion}-49"):
                scores = dict(each.labels())
                if (one in labels[each.video]) != (other in labels[each.video]):
                    right.append((scores[one] > scores[other]) == (one in labels[each.video]))
            shares.append(sum(right) / len(right))
    shown = [float(str(cell["data-share"])) for cell in page.all("td") if "data-share" in cell]
    assert shown[:4] == shares


def test_it_stands_alone(page: Page) -> None:
    for tag in ("script", "link", "iframe", "object", "a"):
        assert not page.all(tag)
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "action", "poster"):
            assert str(attributes.get(name, "data:")).startswith("data:"), tag
    assert "{" in page.style and "url(" not in page.style and "@import" not in page.style


def test_every_picture_decodes_and_has_words(page: Page) -> None:
    pictures = page.all("img")
    assert len(pictures) > 4 * (1 + 3 * 1)
    for each in pictures:
        kind, _, data = str(each["src"]).partition(",")
        assert kind == "data:image/jpeg;base64" and each["alt"]
        with PIL.Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
            image.load()
            assert image.size == (int(str(each["width"])), int(str(each["height"])))


def test_it_can_be_read_aloud(page: Page) -> None:
    assert page.all("html") == [{"lang": "en"}]
    assert all(each.get("scope") in ("col", "row") for each in page.all("th"))
    ids = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert {each["aria-labelledby"] for each in page.all("section")} == ids


def test_it_says_what_each_step_cost(page: Page, folder: Path) -> None:
    costs = json.loads((folder / "costs.json").read_text())
    names = {step.name for step in demo_steps(SIZE, DemoPaths(folder))}
    assert costs.keys() == {*names, "render"}
    for name, cost in costs.items():
        assert cost["finished"] and cost["peak_bytes"] > 50e6 and name in page.text
        seconds = cost["seconds"]
        assert (f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min") in page.text


def test_what_it_shows_are_commands_that_anybody_could_type(report: DemoReport, folder: Path) -> None:
    lines = {step.name: step.line for step in demo_steps(SIZE, DemoPaths(folder))}
    _, *words = shlex.split(lines["search by span"])
    result: Any = vimoclip(*words, "--json")
    assert json.loads(result.stdout)["hits"] == report.documents["search by span"]["hits"]


def test_a_second_run_trains_and_renders_nothing(report: DemoReport, folder: Path) -> None:
    costs = (folder / "costs.json").read_text()
    again = run(DemoRequest(folder, SIZE), on_one_thread)
    said = again.documents
    assert not again.rendered and said["ingest"]["known"] == SIZE.clips and said["embed"]["known"] == SIZE.clips
    assert said["train-motion"]["known"] and said["ablate"]["known"] == 5 and said["ablate"]["epochs"] == 0
    assert said["index"]["known"] == SIZE.clips and (folder / "costs.json").read_text() == costs
    assert said["search by label"]["hits"] == report.documents["search by label"]["hits"]


def test_a_folder_of_another_size_is_refused(report: DemoReport, folder: Path) -> None:
    with pytest.raises(RunError, match="24 clips"):
        run(DemoRequest(folder, "small"), functools.partial(carry_out, app))
