"""Predictions as files: what is in them, and what is refused."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.vimoclip.annotations.files import spans
from tests.vimoclip.made_up_predictions import prediction, predictions
from vimoclip.annotations import read
from vimoclip.errors import RunError, UsageError
from vimoclip.prediction.export import write_events, write_table, write_timelines

FOUND = predictions(
    prediction("site/x' OR '1'='1.mp4", [(0, 2), (1, 3), (4, 6)], [[0.9, 0.2], [0.8, 0.6], [0.1, 0.7]]),
    prediction('"b", c.mp4', [(0, 1 / 3)], [[0.1, 0.2]]),
    window_s=2.0,
)


def test_csv(tmp_path: Path) -> None:
    frame = pl.read_csv(write_table(FOUND, tmp_path / "made" / "p.CSV"))
    assert frame.filter(pl.col("level") == "bout").select("video", "label", "start_s", "end_s").rows() == [
        (FOUND[0].video, "walks", 0.0, 3.0),
        (FOUND[0].video, "rests", 1.5, 3.0),
        (FOUND[0].video, "rests", 4.0, 6.0),
    ]
    videos = frame.filter(pl.col("level") == "video")
    assert videos["video"].to_list() == [FOUND[0].video] * 2 + [FOUND[1].video] * 2
    assert videos["label"].to_list() == ["walks", "rests", "rests", "walks"] and videos["start_s"].is_null().all()
    assert len(pl.read_csv(write_table(FOUND, tmp_path / "p.csv", top=1)).filter(pl.col("level") == "video")) == 2


def test_json(tmp_path: Path) -> None:
    assert json.loads(write_table(FOUND, tmp_path / "p.json").read_text()) == json.loads(json.dumps(FOUND.to_dict()))


def test_events(tmp_path: Path) -> None:
    for name in ("e.csv", "e.tsv"):
        for form in ("aggregated", "tabular"):
            path = write_events(FOUND, tmp_path / name, form)
            assert sorted(spans(read(path))[FOUND[0].path]) == [
                ("rests", 1.5, 3.0),
                ("rests", 4.0, 6.0),
                ("walks", 0.0, 3.0),
            ]
    assert "\t" in (tmp_path / "e.tsv").read_text() and "\t" not in (tmp_path / "e.csv").read_text()


def test_timelines(tmp_path: Path) -> None:
    made = write_timelines(FOUND, tmp_path / "drawn")
    assert [path.parent for path in made] == [tmp_path / "drawn"] * 2 and len(set(made)) == 2
    one = predictions(FOUND[0], window_s=2.0)
    assert write_timelines(one, tmp_path / "one.png") == [tmp_path / "one.png"]
    with pytest.raises(UsageError, match="A timeline is of one video"):
        write_timelines(FOUND, tmp_path / "two.png")


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Expected: \.csv or \.json"):
        write_table(FOUND, tmp_path / "p.xlsx")
    with pytest.raises(UsageError, match=r"Expected: \.csv or \.tsv"):
        write_events(FOUND, tmp_path / "p.boris")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        write_table(FOUND, tmp_path / "file" / "p.csv")
