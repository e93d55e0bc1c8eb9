"""Vectors of the rows of a corpus: those of the table and fresh ones, however they are read."""

from pathlib import Path

import numpy as np
import pytest

from tests.vimoclip.search.test_search import add
from tests.vimoclip.searches import make


@pytest.mark.parametrize("packed", [0, 1 << 30])
def test_however_vectors_are_read(tmp_path: Path, packed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vimoclip.search.corpus.PACKED_BYTES", packed)
    store = make(tmp_path / "store")
    add(store, "new.mp4", 90)
    corpus = store.refresh().search.corpus
    rows = np.random.default_rng(0).permutation(len(corpus))
    values, lengths = corpus.vectors("motion", rows)
    assert (lengths > 0).sum() == len(rows) - 1
    for n in (0, 5, -1):
        one, length = corpus.vectors("motion", rows[[n]])
        assert np.array_equal(one[0], values[n]) and length[0] == lengths[n]
    assert np.allclose(np.linalg.norm(values.astype(np.float32), axis=1), lengths, atol=1e-6)
