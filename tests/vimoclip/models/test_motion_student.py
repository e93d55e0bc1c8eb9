"""The starting student: the teacher's tower on the flow image; and the one that is trained, by its equations."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.vimoclip.stores import features
from vimoclip.config.motion import PRESETS, MotionConfig
from vimoclip.config.store import ClipConfig, FlowImage
from vimoclip.flow.encoding import flow_image
from vimoclip.models.checkpoint import META, Source
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import MoClip, MotionStudent, StudentMeta, read_student_meta, write_student


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


def moclip(tiny_model: str, classes: int = 3) -> MoClip:
    torch.manual_seed(0)
    teacher = ClipTeacher(ClipConfig(tiny_model, precision="fp32"), torch.device("cpu"))
    return MoClip.of(teacher, classes, alpha=0.1, hidden=6)


def test_a_student_starts_as_its_teacher_and_unrefined(tiny_model: str) -> None:
    teacher = ClipTeacher(ClipConfig(tiny_model, precision="fp32"), torch.device("cpu"))
    model = MoClip.of(teacher, 3, alpha=0.1, hidden=6)
    images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
    z = model(teacher.pixels(images))
    torch.testing.assert_close(z, teacher(images), rtol=1e-4, atol=1e-4)
    assert torch.equal(model.refined(z), z)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.requires_grad for parameter in teacher.tower.parameters())


def test_refining_is_equation_3(tiny_model: str) -> None:
    model = moclip(tiny_model)
    for parameter in model.h.parameters():
        torch.nn.init.normal_(parameter)
    z = torch.randn(5, 16)
    x = z.double().numpy()
    weights = [tensor.double().numpy() for tensor in model.h.state_dict().values()]
    hidden = x @ weights[0].T + weights[1]
    hidden = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    expected = x + 0.1 * (hidden @ weights[2].T + weights[3])
    np.testing.assert_allclose(model.refined(z).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_accessory_head_is_on_the_mean_of_z_over_each_segment(tiny_model: str) -> None:
    model = moclip(tiny_model)
    z = torch.randn(7, 16)
    found = model.logits(z, torch.tensor([3, 1, 3]))
    means = np.stack([z[:3].double().mean(0), z[3].double(), z[4:].double().mean(0)])
    assert isinstance(model.head, torch.nn.Linear)
    expected = means @ model.head.weight.detach().double().numpy().T + model.head.bias.detach().double().numpy()
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_the_published_head_has_a_hidden_layer(tiny_model: str) -> None:
    """512 to 256 to ReLU to 140: 167,308 parameters."""
    hidden = PRESETS["paper"].head_hidden
    model = MoClip(torch.nn.Linear(2, 512), 512, 140, 0.1, 6, hidden)
    assert sum(parameter.numel() for parameter in model.head.parameters()) == 167_308
    weights = [tensor.detach().double().numpy() for tensor in model.head.parameters()]
    z = torch.randn(4, 512)
    mean = z.double().mean(0).numpy()
    expected = np.maximum(mean @ weights[0].T + weights[1], 0) @ weights[2].T + weights[3]
    found = model.logits(z, torch.tensor([4]))[0]
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    assert MotionConfig().head_hidden is None and set(moclip(tiny_model).head.state_dict()) == {"weight", "bias"}


def test_batch_norms_keep_the_teacher_s_statistics_while_their_gains_learn() -> None:
    tower = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.AdaptiveAvgPool2d(1))
    model = MoClip(torch.nn.Sequential(tower, torch.nn.Flatten()), 4, 2, 0.1, 3).train()
    images = torch.randn(3, 3, 8, 8) * 9
    together, alone = model(images), model(images[:1])
    torch.testing.assert_close(together[:1], alone)
    together.sum().backward()
    norm = tower[1]
    assert isinstance(norm, torch.nn.BatchNorm2d) and norm.running_mean is not None
    assert model.training and norm.running_mean.eq(0).all() and norm.weight.grad is not None


def test_a_student_of_a_loss_that_was_removed_is_read(tmp_path: Path, tiny_model: str) -> None:
    (feature,) = features({"clip": 16})
    meta = StudentMeta(MotionConfig(), ["runs"], [1], Source.of(feature), "/a/store", {"frames": 1}, {"epoch": 1})
    write_student(tmp_path, moclip(tiny_model).state_dict(), meta)
    body = json.loads((tmp_path / META).read_text())
    assert body["config"]["loss"] == "bce"
    body["config"]["loss"] = "positives-only"
    (tmp_path / META).write_text(json.dumps(body))
    assert read_student_meta(tmp_path) == meta
