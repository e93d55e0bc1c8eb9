"""Steps: each row of a video's frames goes where `indices` says that it belongs, and nothing else goes anywhere."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vimoclip.steps import Steps

FRAMES = st.lists(st.integers(1, 50), min_size=1, max_size=6).map(np.array)


@given(FRAMES, st.none() | st.integers(1, 60), st.randoms())
def test_rows_are_the_inverse_of_indices(frames: np.ndarray, most: int | None, random: object) -> None:
    takes = np.array([10 * i for i in range(len(frames))])
    random.shuffle(takes)  # type: ignore[attr-defined]
    steps = Steps.of(takes, frames, most)
    expected = {}
    for video, take in enumerate(takes):
        for step, index in enumerate(steps.indices(video)):
            expected[take, index] = int(steps.offsets[video]) + step
    every = [(take, index) for take in [-1, 5, *takes, 999] for index in range(52)]
    found = steps.rows(np.array([take for take, _ in every]), np.array([index for _, index in every]))
    assert found.tolist() == [expected.get(key, -1) for key in every]
    assert sorted(expected.values()) == list(range(int(steps.offsets[-1])))


def test_the_first_frame_is_left_out_unless_it_is_the_only_one() -> None:
    steps = Steps.of(np.array([1, 2, 3]), np.array([5, 1, 2]), None)
    assert [steps.indices(video).tolist() for video in range(3)] == [[1, 2, 3, 4], [0], [1]]
    assert steps.offsets.tolist() == [0, 4, 5, 6]


def test_long_videos_are_thinned_evenly() -> None:
    steps = Steps.of(np.array([1, 2]), np.array([9, 4]), 4)
    assert [steps.indices(video).tolist() for video in range(2)] == [[1, 3, 5, 7], [1, 2, 3]]


def test_no_videos() -> None:
    none = np.array([], np.int64)
    assert Steps.of(none, none, None).rows(np.array([3]), np.array([0])).tolist() == [-1]
