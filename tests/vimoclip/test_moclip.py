"""The starting student: the teacher's tower on the flow image."""

import numpy as np
import pytest
import torch

from vimoclip.clip import ClipTeacher
from vimoclip.config import ClipConfig, FlowImage
from vimoclip.flow.encoding import flow_image
from vimoclip.moclip import MotionStudent


@pytest.mark.parametrize("image", ["uvm", "wheel"])
def test_the_starting_student_is_the_teacher_on_the_flow_image(tiny_model: str, image: FlowImage) -> None:
    teacher = ClipTeacher(ClipConfig(tiny_model, precision="fp32"), torch.device("cpu"))
    planes = np.random.default_rng(0).integers(1, 256, (2, 2, 224, 224), np.uint8)
    z = MotionStudent(teacher, image)(planes)
    pixels = torch.from_numpy(flow_image(planes, image)).float()
    small = torch.nn.functional.interpolate(pixels, (32, 32), mode="bilinear", align_corners=False, antialias=True)
    mean, std = (
        torch.tensor(values).view(1, 3, 1, 1) for values in (teacher.preprocessing.mean, teacher.preprocessing.std)
    )
    with torch.inference_mode():
        expected = teacher.tower((small / 255 - mean) / std)
    torch.testing.assert_close(z, expected, rtol=1e-4, atol=1e-5)
    assert z.shape == (2, teacher.dim)
