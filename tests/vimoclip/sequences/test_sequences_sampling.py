"""Steps: each row of a video's frames goes where `indices` says that it belongs, and nothing else goes anywhere."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vimoclip.sequences.sequences import FrameSampling

FRAMES = st.lists(st.integers(1, 50), min_size=1, max_size=6).map(np.array)


@settings(deadline=None)
@given(FRAMES, st.none() | st.integers(1, 60), st.randoms())
def test_rows_are_the_inverse_of_indices(frames: np.ndarray, most: int | None, random: object) -> None:
    takes = np.array([10 * i for i in range(len(frames))])
    random.shuffle(takes)  # type: ignore[attr-defined]
    steps = FrameSampling.of(takes, frames, most)
    expected = {}
    for video, take in enumerate(takes):
        for step, index in enumerate(steps.indices(video)):
            expected[take, index] = int(steps.offsets[video]) + step
    every = [(take, index) for take in [-1, 5, *takes, 999] for index in range(52)]
    found = steps.rows(np.array([take for take, _ in every]), np.array([index for _, index in every]))
    assert found.tolist() == [expected.get(key, -1) for key in every]
    assert sorted(expected.values()) == list(range(int(steps.offsets[-1])))


@settings(deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=5), min_size=1, max_size=4),
    st.none() | st.integers(1, 12),
    st.data(),
)
def test_stretches_are_videos_of_their_frames_alone(
    lengths: list[list[int]], most: int | None, data: st.DataObject
) -> None:
    """Against a plain loop; stretches in any order, with frames before, between and after them that are in none."""
    base = 1_700_000_000_000_000_000  # takes are times in nanoseconds
    every: list[tuple[int, int, int]] = []
    for video, own in enumerate(lengths):
        first = 0
        for length in own:
            first += data.draw(st.integers(0, 3))
            every.append((base + 10 * video, first, length))
            first += length
    every = data.draw(st.permutations(every))
    takes, firsts, frames = (np.array([stretch[i] for stretch in every], np.int64) for i in range(3))
    steps = FrameSampling.of(takes, frames, most, firsts)
    expected: dict[tuple[int, int], int] = {}
    for stretch, (take, first, length) in enumerate(every):
        moments = list(range(first + 1, first + length)) or [first]
        count = min(len(moments), most or len(moments))
        read = [moments[step * len(moments) // count] for step in range(count)]
        assert steps.indices(stretch).tolist() == read
        for index in read:
            expected[take, index] = len(expected)
    asked = [
        (take, index) for take in [base - 5, *sorted({*takes.tolist()}), base + 5, base + 999] for index in range(80)
    ]
    asked = data.draw(st.permutations(asked)) if len(asked) < 200 else asked
    found = steps.rows(np.array([take for take, _ in asked]), np.array([index for _, index in asked]))
    assert found.tolist() == [expected.get(key, -1) for key in asked]
    assert int(steps.offsets[-1]) == len(expected)


def test_the_first_frame_is_left_out_unless_it_is_the_only_one() -> None:
    steps = FrameSampling.of(np.array([1, 2, 3]), np.array([5, 1, 2]), None)
    assert [steps.indices(video).tolist() for video in range(3)] == [[1, 2, 3, 4], [0], [1]]
    assert steps.offsets.tolist() == [0, 4, 5, 6]


def test_long_videos_are_thinned_evenly() -> None:
    steps = FrameSampling.of(np.array([1, 2]), np.array([9, 4]), 4)
    assert [steps.indices(video).tolist() for video in range(2)] == [[1, 3, 5, 7], [1, 2, 3]]


def test_no_videos() -> None:
    none = np.array([], np.int64)
    assert FrameSampling.of(none, none, None).rows(np.array([3]), np.array([0])).tolist() == [-1]
