"""Every command of docs/animal-kingdom.md, in order, on a few clips named and labelled as the data set's are."""

import json
from pathlib import Path

import openpyxl
import pytest

from pipelines.ablate import PAPER
from tests.clips import render
from tests.docs.pages import commands, run, small, text
from vimoclip.annotations import read
from vimoclip.store.feature_store import FeatureStore
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.usefixtures("one_thread")

PAGE = "docs/animal-kingdom.md"
CLASSES = {2: "Attending", 4: "Being carried", 40: "Eating"}
LISTS = {
    "train_multi.txt": {"AAACXZTV": (2, 40), "AABCQPTK": (2,), "AABKMGHE": (4,), "AACGLWEV": (40, 4)},
    "val_multi.txt": {"AAAUILHH": (2, 4), "AAMFAANS": (40,), "AAQNNZGK": (4, 2)},
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "ak" / "videos").mkdir(parents=True)
    annotations = tmp_path / "ak" / "annotations"
    annotations.mkdir()
    (annotations / "ak_action.csv").write_text("id,name\n" + "".join(f"{n},{name}\n" for n, name in CLASSES.items()))
    for file, clips in LISTS.items():
        lines = (f" {clip}.mp4 {' '.join(map(str, ids)):>40}\n" for clip, ids in clips.items())
        (annotations / file).write_text("".join(lines))
        for seed, clip in enumerate(clips):
            frames = render("drifting", seed + 10 * len(clips), 4, (64, 48))
            write_clip(tmp_path / "ak" / "videos" / f"{clip}.mp4", frames, 24.0)
    book = openpyxl.Workbook()
    for row in (["action", "segment"], *([name.title(), "tail"] for name in CLASSES.values())):
        book.active.append(row)
    book.save(annotations / "df_action.xlsx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands(here: Path, tiny_model: str) -> None:
    more = small(tiny_model)
    more["ingest"] += ["--clip-weights", "default", "--flow-weights", "none", "--flow-updates", "1"]
    lines = commands(PAGE)
    begin = [line.split()[1] for line in lines].index("train-motion")
    said = run(lines[:begin], more)
    assert "fixed" in said["status"] and "raft-large, random" in said["status"]
    store = FeatureStore.open("vimoclip-store")
    assert dict(store.videos()["split"].value_counts().iter_rows()) == {"train": 4, "val": 3}
    wanted = {(f"{clip}.mp4", CLASSES[n]) for clips in LISTS.values() for clip, ids in clips.items() for n in ids}
    assert set(store.labels().select("video_id", "label").iter_rows()) == wanted
    said = run(lines[begin:], more)
    assert "trained" in said["status"]
    evaluated = next(said[words] for words in said if words.startswith("evaluate"))
    assert "mAP, micro" in evaluated and "tail" in evaluated
    (ablation,) = Path("runs").glob("ablation-*")
    results = json.loads((ablation / "results.json").read_text())
    assert [(row["paper"], row["seeds"]) for row in results["rows"]] == [
        (paper, [49, 50, 51]) for paper in PAPER.values()
    ]


def test_the_page_has_the_paper_s_figures() -> None:
    shown = text(PAGE)
    assert all(f"| {paper} |" in shown for paper in PAPER.values())


def test_the_page_counts_what_the_published_lists_hold(shared_annotations: Path) -> None:
    shown = text(PAGE)
    for name, count in (("train_multi.txt", "24,004"), ("val_multi.txt", "6,096")):
        found = read(shared_annotations / "animal_kingdom" / name)
        assert f"{len(found.videos):,}" == count and count in shown
