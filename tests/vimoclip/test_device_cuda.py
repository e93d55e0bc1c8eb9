"""Forward paths on a CUDA device that is not there: towers, the student, RAFT, resizing, losses.

Nothing meets a tensor of another device, and no step waits for the card by copying to the host. That this would be
noticed is shown by leaving out each move to the device in turn.
"""

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from benchmarks.speed.gpu import made_up, made_up_clips
from tests.fake_cuda import CUDA, AtOnce, HostCopyError, fake_cuda, on_cuda, plants, real_copy, step, without_fp64
from tests.models import MODEL, PREPROCESS
from tests.vimoclip.made_up_sequences import CONFIG, D, sequences
from vimoclip.config.fusion import HEADS, Loss
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import ClipConfig, FlowConfig, FlowImage
from vimoclip.flow import raft
from vimoclip.flow.raft import Raft
from vimoclip.flow.raft_weights import load, raft_name
from vimoclip.models import clip, clip_text
from vimoclip.models.backbones import TINY, resolve_weights
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.clip_text import TextTower
from vimoclip.models.heads import build_head
from vimoclip.models.heads.closed_form import ClosedFormHead
from vimoclip.models.motion_student import MotionStudent
from vimoclip.search.behaviour_space import BehaviourModel
from vimoclip.sequences.sequences import Sequences
from vimoclip.training.fusion import FusionTask, scores
from vimoclip.training.loop import EpochLosses
from vimoclip.training.motion import MotionTask
from vimoclip.training.optimizer import WeightAverage

pytestmark = pytest.mark.slow

FRAMES = np.zeros((3, 40, 60, 3), np.uint8)
PLANES = np.full((3, 2, 224, 224), 128, np.uint8)
VISIONS: dict[str, dict[str, Any]] = {
    "vit": MODEL["vision_cfg"],
    "resnet": {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64, "patch_size": None},
    "timm-cnn": {"timm_model_name": "test_efficientnet", "timm_pool": "avg", "timm_proj": "linear", "image_size": 64},
    "timm-vit": {"timm_model_name": "test_vit", "timm_pool": "token", "timm_proj": "none", "image_size": 160},
}


@pytest.fixture(params=[*VISIONS, TINY])
def model(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The name of a model: open_clip's transformer and ResNet, two of timm's, and ours."""
    return TINY if request.param == TINY else write(tmp_path, request.param)


def write(folder: Path, kind: str) -> str:
    """A model without weights; its name."""
    body = {"model_cfg": MODEL | {"vision_cfg": VISIONS[kind]}, "preprocess_cfg": PREPROCESS}
    if kind == "timm-vit":
        body["model_cfg"]["embed_dim"] = 64
    (folder / "open_clip_config.json").write_text(json.dumps(body))
    return f"local-dir:{folder}"


Make = Callable[[], Any]


def teachers(model: str, monkeypatch: pytest.MonkeyPatch, precision: str = "bf16", resize: str = "own") -> Make:
    """Makes the teacher on the device, time and again. What reads weights is done once, and before all is fake."""
    config = ClipConfig(model, "none", precision=precision, resize=resize)  # type: ignore[arg-type]
    read, architecture = clip.load_model(replace(config, weights=resolve_weights(config)))
    monkeypatch.setattr(clip, "load_model", lambda _: (real_copy(read), architecture))
    monkeypatch.setattr(clip, "sha256", lambda *_: "0" * 64)
    return lambda: ClipTeacher(config, CUDA)


INDICES = ("as_tensor of sequences.py", "torch.from_numpy(rows).to(", "arange of clip_text.py")
"""Moves of indices: torch takes them from the CPU too, where a card would wait for them."""


def check(path: Callable[[], None], unnoticed: tuple[str, ...] = ()) -> None:
    """The path runs, and every move to the device that is left out is noticed, but for those of these lines."""
    unnoticed = (*unnoticed, *INDICES)
    path()
    noticed, passed = plants(path)
    assert noticed
    assert [each for each in passed if not any(line in each for line in unnoticed)] == []


def test_a_host_copy_and_a_mixture_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        there, here = torch.ones(3, device=CUDA), torch.ones(3)
        with pytest.raises(RuntimeError, match=r"two (different )?devices"):
            there + here
        for copied in (torch.Tensor.cpu, torch.Tensor.item, torch.Tensor.tolist, lambda own: own.to("cpu")):
            with pytest.raises(HostCopyError), step():
                copied(there[:1])
        for copied in (bool, float, int, here[:1].copy_, lambda own: own.cpu().numpy()):
            with pytest.raises(HostCopyError), step():
                copied(there[:1])
        with pytest.raises(TypeError, match="no numpy array"):
            there.numpy()
        with step():
            assert on_cuda(here.to(CUDA) + there)


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_towers(model: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = teachers(model, monkeypatch, precision)

    def path() -> None:
        teacher = made()
        with step():
            z = teacher(teacher.resize(FRAMES, 1.0))
        assert on_cuda(z) and z.shape == (3, teacher.dim) and z.dtype == torch.float32

    with fake_cuda(monkeypatch):
        check(path, RESIZED_ALREADY)


RESIZED_ALREADY = ("torch.from_numpy(frames).to(",)
"""A frame is moved to be resized, and once more into the tower, which makes up for the first."""


@pytest.mark.parametrize("geometry", ["squash", "crop", "letterbox"])
def test_resizing(geometry: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = teachers(write(tmp_path, "vit"), monkeypatch, resize=geometry)
    with fake_cuda(monkeypatch):
        teacher = made()

        def path() -> None:
            with step():
                images = teacher.resize(FRAMES, 1.5)
            assert on_cuda(images) and images.shape == (3, 3, 32, 32) and images.dtype == torch.uint8

        check(path)


def test_the_student_that_serves(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = teachers(model, monkeypatch)
    with fake_cuda(monkeypatch):
        teacher = made()

        def path() -> None:
            images: tuple[FlowImage, ...] = ("uvm", "wheel")
            for image in images:
                with step():
                    z = MotionStudent(teacher, image)(PLANES)
                assert on_cuda(z)

        check(path)


@pytest.mark.parametrize("checkpointing", ["off", "on"])
def test_a_step_of_the_student_in_training(checkpointing: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = teachers(write(tmp_path, "vit"), monkeypatch, "fp32")
    clips = made_up_clips(16, 3, 2)
    monkeypatch.setattr("vimoclip.training.motion.Prefetcher", AtOnce)
    monkeypatch.setattr("torch.utils.checkpoint.get_device_states", lambda *_: ([], []))  # asks the card
    config = MotionConfig(hidden=8, checkpointing=checkpointing)
    config = replace(config, training=replace(config.training, batch_size=3))

    with fake_cuda(monkeypatch):
        task = MotionTask(config, made(), clips, held_out=clips)
        assert task.checkpointing is (checkpointing == "on") and on_cuda(*task.model.parameters())
        (batch,) = task.plan(0)

        def path() -> None:
            with step(), torch.autocast("cuda", torch.bfloat16):
                loss = task.loss(batch)
            assert on_cuda(loss)

        check(path, ("torch.split(images.to(",))  # moved once more into the tower
        with without_fp64(), torch.no_grad():  # inference_mode, entered in here, would not see the fake device
            scored, _ = MotionTask._scores.__wrapped__(task, clips)  # type: ignore[attr-defined]
        assert scored.shape == (3, 8) and scored.device.type == "cpu"


@pytest.mark.parametrize("name", ["raft-small", "raft-large"])
@pytest.mark.parametrize("precision", ["bf16", "fp16", "fp32"])
def test_raft(name: Any, precision: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network = load(raft_name(name), "none")
    monkeypatch.setattr(raft, "load", lambda *_: real_copy(network))
    monkeypatch.setattr(raft, "sha256", lambda *_: "0" * 64)
    config = FlowConfig(estimator=name, weights="none", updates=1, batch_size=2)
    frames = np.zeros((3, 128, 136, 3), np.uint8)

    def path() -> None:
        estimator = Raft(config, CUDA, precision)
        prepared = [estimator.prepare(frame) for frame in frames]
        pairs = list(itertools.pairwise(prepared))
        with torch.inference_mode(), step():
            estimator._encode(prepared, 2)
            before, after = (raft._features(each) for each in zip(*pairs, strict=True))
            flow = estimator._last_flow(estimator._images(prepared[:2]), before, after)
        assert on_cuda(flow) and flow.shape == (2, 2, 128, 136) and flow.dtype == torch.float32
        if precision == "bf16":
            assert [each.shape for each in estimator.flows(pairs)] == [(128, 136, 2)] * 2

    with fake_cuda(monkeypatch):
        path()
        if precision == "fp32":  # the moves are the same in each
            check(path)


LOSSES: tuple[Loss, ...] = ("bce", "asymmetric", "cross-entropy")


def only(videos: Sequences, head: str) -> Sequences:
    """The sequences of the features that a head reads."""
    roles = HEADS[head].roles
    places = [list(videos.dims).index(role) for role in roles]
    rows, norms = type(videos.rows)([videos.rows.parts[i] for i in places], videos.offsets), videos._norms.parts[0]  # type: ignore
    dims = {role: videos.dims[role] for role in roles}
    return Sequences(
        videos.video_ids, videos.offsets, rows, norms[:, places], dims, "raw", videos.classes, videos.targets
    )


def tokens(texts: list[str]) -> torch.Tensor:
    return torch.zeros(len(texts), 16, dtype=torch.int64)


def test_the_text_tower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ClipConfig(write(tmp_path, "vit"), "none", precision="fp32")
    read, architecture = clip.load_model(config)
    monkeypatch.setattr(clip_text, "load_model", lambda _: (real_copy(read), architecture))
    monkeypatch.setattr(clip_text, "sha256", lambda *_: "0" * 64)
    monkeypatch.setattr(TextTower, "_short", lambda self, tokens: tokens)
    monkeypatch.setattr("open_clip.get_tokenizer", lambda _: tokens)

    def path() -> None:
        tower = TextTower(config, CUDA)
        with step():
            z = tower.encode(["a", "b"])
        assert on_cuda(z) and z.shape == (2, 16)
        assert tower(["a"]).shape == (1, 16)

    with fake_cuda(monkeypatch):
        check(path)


def test_losses_are_looked_at_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        losses = EpochLosses(lambda batch: [], 3, [])
        with step():
            for _ in range(2):
                losses.add(np.arange(2), torch.zeros((), device=CUDA))
        with pytest.raises(HostCopyError), step():
            losses.add(np.arange(2), torch.zeros((), device=CUDA))


def test_what_a_step_does_to_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    videos = only(sequences(4, seed=1), "cross")
    with fake_cuda(monkeypatch):
        model = build_head(CONFIG, videos.dims, 3).to(CUDA)
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        average = WeightAverage(model, 0.9)
        with step():
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            average.update()
            average.swap()
        assert on_cuda(norm, *model.parameters(), *average.state()["averages"])


def test_sequences_of_the_benchmark_lie_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_cuda(monkeypatch):
        made = made_up("cross", np.array([4, 7]), CUDA).to(CUDA)
        with step():
            assert on_cuda(*made.batch(np.array([0, 1])).vectors.values())


@pytest.mark.parametrize("head", [name for name, head in HEADS.items() if head.closed_form])
def test_a_head_of_closed_form(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = sequences(3, seed=1)
    with fake_cuda(monkeypatch):
        task = FusionTask(CONFIG.with_head(head), videos, None, CUDA)
        batch = task.batch(np.arange(3))
        assert isinstance(task.model, ClosedFormHead)
        with torch.no_grad():
            found = (*task.model.means(batch.vectors, batch.present), task.model(batch.vectors, batch.present))
        assert on_cuda(*task.model.buffers(), *found)


@pytest.mark.parametrize("head", [name for name, head in HEADS.items() if not head.closed_form])
def test_a_step_of_a_head_in_training(head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    videos = only(sequences(3, seed=1), head)
    monkeypatch.setattr("vimoclip.training.fusion.check_labels", lambda *_: None)  # looks at them before they are moved
    with fake_cuda(monkeypatch):
        for name in LOSSES if head == "cross" else LOSSES[:1]:
            config = replace(CONFIG.with_head(head), loss=replace(CONFIG.loss, name=name))
            task = FusionTask(config, videos, videos, CUDA)
            assert on_cuda(*task.model.parameters())

            def path(task: FusionTask = task) -> None:
                with step(), torch.autocast("cuda", torch.bfloat16):
                    loss = task.loss(np.arange(3))
                assert on_cuda(loss)

            path()
        if head == "cross":  # the moves are the same in each
            check(path)
            with torch.no_grad():  # inference_mode, entered in here, would not see the fake device
                found = scores.__wrapped__(task.model, task.train)  # type: ignore[attr-defined]
            assert found.shape == (3, 3) and found.device.type == "cpu"


def test_the_behaviour_space(monkeypatch: pytest.MonkeyPatch) -> None:
    def packed(*_: object) -> Sequences:  # anew each time: what was made fake once cannot be moved again
        with unset_fake_temporarily():
            return only(sequences(3, seed=1), "cross")

    monkeypatch.setattr("vimoclip.search.behaviour_space.pack_windows", packed)

    def path() -> None:
        model = build_head(CONFIG, {"image": D, "motion": D}, 3)
        space = BehaviourModel(model, None, CUDA)  # type: ignore[arg-type]
        with torch.no_grad():  # inference_mode, entered in here, would not see the fake device
            found = BehaviourModel._pooled.__wrapped__(space, [None] * 3)  # type: ignore[attr-defined]
        assert found.shape == (3, model.width)

    with fake_cuda(monkeypatch):
        check(path)
