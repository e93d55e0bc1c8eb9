"""Vectors of frames: read where they lie, joined and cut; and what a model reads of a stretch."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

from schemas.frames import frames_schema
from tests.vimoclip.stores import embedded
from vimoclip.embedding.events import Vectors
from vimoclip.frames import FrameRows, FrameVectors, columns_of
from vimoclip.store.rows import frame_rows

BOTH = ["clip", "moclip"]


def stretch(n: int) -> FrameVectors:
    values = {name: np.arange(2 * n, dtype=np.float16).reshape(n, 2) for name in BOTH}
    return FrameVectors(values, {name: np.arange(1, n + 1, dtype=np.float32) for name in BOTH})


def test_stored_ones_are_those_that_were_written_in_the_memory_they_are_in() -> None:
    made = embedded("a.mp4", 0, 9)
    dims = {name: each.values.shape[1] for name, each in made.features.items()}
    rows = frame_rows(frames_schema(dims), 1, made).select(columns_of(BOTH)).combine_chunks()
    expected, found = FrameVectors.made(made.features, BOTH), FrameVectors.stored(rows, BOTH)
    assert len(found) == len(expected) == 9
    for name in BOTH:
        there = made.features[name].present
        assert there.sum() == (9 if name == "clip" else 8)
        assert np.array_equal(found.norms[name], np.where(there, made.features[name].norm, 0))
        assert np.array_equal(found.norms[name], expected.norms[name]) and found.norms[name].dtype == np.float32
        assert np.array_equal(found.values[name][there], expected.values[name][there])
        memory = np.frombuffer(rows[name].chunk(0).values.buffers()[1], np.float16)
        assert np.shares_memory(found.values[name], memory)


def test_those_of_a_worker_have_no_length_where_there_is_no_vector() -> None:
    made = Vectors(np.ones((2, 3), np.float16), np.array([7, 5], np.float32), np.array([False, True]))
    found = FrameVectors.made({"moclip": made, "clip": made}, ["moclip"])
    assert found.norms["moclip"].tolist() == [0, 5] and list(found.values) == ["moclip"]
    assert found.values["moclip"] is made.values


def test_joined_parts_are_what_was_cut() -> None:
    whole = stretch(9)
    rows = FrameRows(np.arange(9) / 25, whole)
    for bounds in ([0, 9], [0, 4, 9], [0, 1, 1, 9]):
        parts = [rows.at(slice(a, b)) for a, b in itertools.pairwise(bounds)]
        found = FrameRows.joined(parts)
        assert np.array_equal(found.time_s, rows.time_s) and len(found) == 9
        for name in BOTH:
            assert np.array_equal(found.vectors.values[name], whole.values[name])
            assert np.array_equal(found.vectors.norms[name], whole.norms[name])
    assert FrameRows.joined([rows]) is rows  # a whole video is not copied for nothing
    copy = rows.copy()
    copy.time_s[:], copy.vectors.values["clip"][:], copy.vectors.norms["clip"][:] = 0, 0, 0
    assert rows.time_s[1] > 0 and whole.values["clip"][1, 0] == 2 and whole.norms["clip"][0] == 1


@pytest.mark.parametrize(("most", "expected"), [(None, list(range(1, 9))), (3, [1, 3, 6]), (8, list(range(1, 9)))])
def test_steps_are_those_of_a_video_of_these_frames(most: int | None, expected: list[int]) -> None:
    read = stretch(9).steps(most, "moclip")
    assert read.values["clip"][:, 0].tolist() == [2 * n for n in expected]
    assert read.norms["moclip"].tolist() == [n + 1 for n in expected]


def test_of_a_single_frame_the_image_is_read() -> None:
    made = stretch(9)
    one = made.at(slice(4, 5))
    read = one.steps(None, "moclip")
    assert (read.norms["clip"].tolist(), read.norms["moclip"].tolist()) == ([5], [0])
    assert read.values["clip"].tolist() == one.values["clip"].tolist()
    assert made.norms["moclip"][4] == 5  # what came in is as it was
    assert one.steps(None, None).norms["moclip"].tolist() == [5]


def test_a_table_in_several_chunks() -> None:
    column = pa.array([[1.0, 2.0], None], pa.list_(pa.float16(), 2))
    norm = pa.array([3.0, None], pa.float32())
    table = pa.table({"clip": column, "clip_norm": norm})
    found = FrameVectors.stored(pa.concat_tables([table, table]), ["clip"])
    assert found.norms["clip"].tolist() == [3, 0, 3, 0] and found.values["clip"][::2].tolist() == [[1, 2], [1, 2]]
