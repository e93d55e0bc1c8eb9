"""Batches of frames: read where they lie, joined and cut; and the stretches that rows fall into."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from schemas.frames import frames_schema
from tests.vimoclip.stores import embedded, frames_of
from vimoclip.frames import Embeddings, FrameBatch, embeddings, frame_columns, runs
from vimoclip.store.rows import frame_rows

BOTH = ["clip", "moclip"]


def stretch(n: int) -> FrameBatch:
    values = {name: np.arange(2 * n, dtype=np.float16).reshape(n, 2) for name in BOTH}
    norms = {name: np.arange(1, n + 1, dtype=np.float32) for name in BOTH}
    return frames_of(np.arange(n) / 25, {name: Embeddings(values[name], norms[name]) for name in BOTH})


def test_stored_ones_are_those_that_were_written_in_the_memory_they_are_in() -> None:
    made = embedded("a.mp4", 0, 9)
    dims = {name: each.values.shape[1] for name, each in made.features.items()}
    rows = frame_rows(frames_schema(dims), 1, made).select(frame_columns(BOTH)).combine_chunks()
    found = FrameBatch.from_arrow("a.mp4", rows, BOTH)
    assert len(found) == len(made) == 9
    assert found.frame_index.tolist() == made.frame_index.tolist() and np.array_equal(found.time_s, made.time_s)
    for name in BOTH:
        own, expected = found.features[name], made.features[name]
        there = expected.present
        assert there.sum() == (9 if name == "clip" else 8)
        assert np.array_equal(own.norm, expected.norm) and own.norm.dtype == np.float32
        assert np.array_equal(own.values[there], expected.values[there]) and np.array_equal(own.present, there)
        memory = np.frombuffer(rows[name].chunk(0).values.buffers()[1], np.float16)
        assert np.shares_memory(own.values, memory)


def test_joined_parts_are_what_was_cut() -> None:
    whole = stretch(9)
    for bounds in ([0, 9], [0, 4, 9], [0, 1, 1, 9]):
        parts = [whole[a:b] for a, b in itertools.pairwise(bounds)]
        found = FrameBatch.concat(parts)
        assert np.array_equal(found.time_s, whole.time_s) and len(found) == 9
        for name in BOTH:
            assert np.array_equal(found.features[name].values, whole.features[name].values)
            assert np.array_equal(found.features[name].norm, whole.features[name].norm)
    assert FrameBatch.concat([whole]) is whole  # a whole video is not copied for nothing
    copy = whole.copy()
    copy.time_s[:], copy.features["clip"].values[:], copy.features["clip"].norm[:] = 0, 0, 0
    assert whole.time_s[1] > 0 and whole.features["clip"].values[1, 0] == 2 and whole.features["clip"].norm[0] == 1


def test_a_table_in_several_chunks() -> None:
    column = pa.array([[1.0, 2.0], None], pa.list_(pa.float16(), 2))
    norm = pa.array([3.0, None], pa.float32())
    table = pa.table({"clip": column, "clip_norm": norm})
    found = embeddings(pa.concat_tables([table, table]), "clip")
    assert found.norm.tolist() == [3, 0, 3, 0] and found.values[::2].tolist() == [[1, 2], [1, 2]]
    assert found.present.tolist() == [True, False] * 2


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=40))
def test_runs_are_the_longest_stretches_in_which_rows_follow_each_other(rows: list[tuple[int, int]]) -> None:
    take, index = (np.array([row[i] for row in rows], np.int64) for i in (0, 1))
    found = runs([take], [index])
    assert [n for run in found for n in range(run.start, run.stop)] == list(range(len(rows)))

    def follows(n: int) -> Any:
        return take[n] == take[n - 1] and index[n] == index[n - 1] + 1

    assert all(follows(n) for run in found for n in range(run.start + 1, run.stop))
    assert not any(follows(run.start) for run in found[1:])
    assert [run.stop - run.start for run in runs([take])] == [len(list(own)) for _, own in itertools.groupby(take)]
