"""What the benchmark of real clips takes for a site and a camera, and its share of right answers."""

from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.quality.search_real import camera, like, of_index, share, site
from pipelines.index import IndexRequest, run
from tests.vimoclip.stores import make_store
from vimoclip.search import ranking
from vimoclip.store import vector_index


def test_sites_and_cameras() -> None:
    assert site("lope/a b/c.AVI") == "lope"
    same = [f"goualougo/gorillas/FID_20/{day}/FID_20_{n}.AVI" for n, day in enumerate(("14-Jun-2013", "15-Jun-2013"))]
    assert camera(same[0]) == camera(same[1]) == "goualougo/gorillas/FID_20"
    assert camera("benjamin/1.MP4") != camera("benjamin/2.MP4")  # a site's folder is no camera's


def test_a_share_beside_chance(tmp_path: Path) -> None:
    store = make_store(tmp_path / "store", {"x/a.mp4": 40, "x/b.mp4": 40, "y/c.mp4": 40})
    run(IndexRequest(store.place, window_s=0.4, stride_s=0.4))
    hits = store.refresh().search(video="x/a.mp4", exclude="video", top=5)
    precision, chance = share(store.refresh(), hits, like(site, "x/a.mp4"))
    assert chance == 0.5
    assert precision == sum(hit.video_id == "x/b.mp4" for hit in hits) / 5


def test_by_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(vector_index, "ROWS_TO_INDEX", 0)  # put back afterwards, as is this
    monkeypatch.setattr(ranking, "EXACT_ROWS", 1)
    monkeypatch.setattr(vector_index, "REFINE", 50)
    of_index(Console(width=200), make_store(tmp_path / "store", {f"{n}.mp4": 400 for n in range(6)}))
    said = capsys.readouterr().out
    assert "18 queries, of which 18 by the index: the same ten bouts 18, the same scores 18" in said.replace("\n", " ")
