"""The benchmark of search, on a store that is small enough for a test: what it measures is what it says."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from rich.console import Console

from benchmarks.speed.search import exact, numbers, of_rivals, of_vectors, recall
from benchmarks.speed.vectors import clusters, index, jittered, make_store
from vimoclip.api import Store
from vimoclip.store import vector_index
from vimoclip.store.verify import verify


def test_truth_and_recall() -> None:
    drawn = jittered(np.eye(512, dtype=np.float32)[:7], 400, 6)
    truth = exact(drawn.stored, drawn.queries)
    assert np.array_equal(truth, np.argsort(-(drawn.queries @ drawn.stored.T), axis=1, kind="stable")[:, :10])
    assert recall([row.tolist() for row in truth], truth) == 1
    assert recall([[*row[:5].tolist(), *[-1] * 5] for row in truth], truth) == 0.5


def test_hits_are_rows(tmp_path: Path) -> None:
    drawn = clusters(1000, 4)
    store = make_store(tmp_path / "store", drawn.stored)
    assert index(store).total == 1000 + 3
    search = Store.open(store.place).search
    found = [numbers(search(vector=query)) for query in drawn.queries]
    assert recall(found, exact(drawn.stored, drawn.queries)) == 1
    assert {fault.table for fault in verify(store.place)} <= {"frames", "flow", "segments"}  # made-up takes lack frames


def test_rivals(capsys: pytest.CaptureFixture[str]) -> None:
    faiss.omp_set_num_threads(1)
    drawn = clusters(300, 3)
    of_rivals(Console(width=200), drawn, exact(drawn.stored, drawn.queries), 1.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0].strip()[:11] for line in lines] == ["numpy fp32", "faiss flat", "faiss IVF-P"]
    assert all("recall@10 1.000" in line for line in lines[:2])


def test_the_whole_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(vector_index, "ROWS_TO_INDEX", 5000)
    monkeypatch.setattr("vimoclip.search.ranking.EXACT_ROWS", 4000)
    monkeypatch.setattr("benchmarks.speed.search.cold_span", lambda *_: None)
    of_vectors(Console(width=200), tmp_path, clusters(6000, 5), rivals=False)
    said = capsys.readouterr().out
    assert "exact searches: False" in said and "by the index" in said
    assert "least hits 10 of 10" in said
    assert "1% more" in said and "6063 rows" in said
