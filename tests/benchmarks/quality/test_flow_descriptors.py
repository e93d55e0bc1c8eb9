"""Candidates of vectors of flow: the one that was kept is what the product makes."""

import numpy as np
import pytest

from benchmarks.common import sequence_of
from benchmarks.quality.flow_descriptors import CANDIDATES, REST, unit
from vimoclip.flow.descriptor import STILL, MotionBoundaries
from vimoclip.flow.encoding import from_planes


def test_motion_boundaries_are_the_candidate() -> None:
    planes = np.random.default_rng(1).integers(0, 256, (3, 2, 14, 14), np.uint8).repeat(16, axis=2).repeat(16, axis=3)
    own = MotionBoundaries()(planes).numpy()
    candidate = unit(CANDIDATES["mbh-4"](from_planes(planes)), REST)
    assert STILL == REST
    assert candidate == pytest.approx(own / np.linalg.norm(own, axis=1, keepdims=True), abs=1e-5)


def test_a_clip_of_another_name_is_not_left_out_in_silence() -> None:
    assert sequence_of("clips/10_2_1.avi") == 2
    with pytest.raises(ValueError, match=r"a/b\.avi"):
        sequence_of("a/b.avi")
