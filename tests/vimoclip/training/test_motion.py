"""A step of the student: what it is shown, its loss by hand; neither memory nor company changes the numbers."""

import math
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.vimoclip.stores import label_all, make_store
from vimoclip.config.fusion import TrainingConfig
from vimoclip.config.motion import MotionConfig
from vimoclip.config.store import ClipConfig, FlowImage
from vimoclip.errors import StoreDamagedError
from vimoclip.flow.encoding import flow_image, mirrored
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import MotionStudent
from vimoclip.training.loop import Training
from vimoclip.training.motion import MotionTask
from vimoclip.training.motion_dataset import ClipBatch, MotionClips, read_motion_clips
from vimoclip.training.optimizer import ProcessGroup
from vimoclip.training.splits import list_classes, videos_of_split

CPU = torch.device("cpu")
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]
TRAINING = TrainingConfig(epochs=2, batch_size=3, lr=1e-3, precision="fp32", warmup=0)
CONFIG = MotionConfig(segment=4, flip=0.0, hidden=6, training=TRAINING)


@pytest.fixture(scope="module")
def teacher(tiny_model: str) -> ClipTeacher:
    return ClipTeacher(ClipConfig(tiny_model, precision="fp32"), CPU)


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> MotionClips:
    dims = {"clip": 16, "moclip": 16}
    store = make_store(tmp_path_factory.mktemp("task") / "store", {f"{n}.mp4": 3 + n for n in range(5)}, dims)
    label_all(store, lambda n: "ab"[n % 2])
    store = store.refresh()
    return read_motion_clips(store, "clip", 4, videos_of_split(store), list_classes(store))


def task(teacher: ClipTeacher, segments: MotionClips, config: MotionConfig = CONFIG, **more: object) -> MotionTask:
    return MotionTask(config, teacher, segments, **more)  # type: ignore[arg-type]


class Seen:
    """What a tower is given."""

    def __init__(self, tower: torch.nn.Module) -> None:
        self.pixels: list[Tensor] = []
        tower.register_forward_pre_hook(lambda _, given: self.pixels.append(given[0].detach().clone()))


@pytest.mark.parametrize("encoding", ["uvm", "wheel"])
def test_a_student_is_trained_on_the_very_image_that_it_is_served(
    teacher: ClipTeacher, segments: MotionClips, encoding: FlowImage
) -> None:
    made = task(teacher, segments, replace(CONFIG, encoding=encoding))
    batch = np.array([1, 3])
    trained = Seen(made.model.tower)
    made.loss(batch)
    served_by = teacher.with_weights(made.model.tower.state_dict())
    served = Seen(served_by.tower)
    MotionStudent(served_by, encoding)(segments.batch(batch).planes)
    assert torch.cat(trained.pixels).numpy().tobytes() == torch.cat(served.pixels).numpy().tobytes()


def test_the_loss_is_equations_4_to_6(teacher: ClipTeacher, segments: MotionClips) -> None:
    made = task(teacher, segments)
    torch.nn.init.normal_(made.model.h[2].weight)  # type: ignore[arg-type]
    batch = np.array([0, 2, 4])
    own = segments.batch(batch)
    with torch.no_grad():
        z = made.model(teacher.pixels(torch.from_numpy(flow_image(own.planes, "uvm")))).double().numpy()
        refined = z + 0.1 * made.model.h(torch.from_numpy(z).float()).double().numpy()
        means = np.stack([part.mean(0) for part in np.split(z, np.cumsum(own.counts)[:-1])])
        assert isinstance(made.model.head, torch.nn.Linear)
        logits = means @ made.model.head.weight.double().numpy().T + made.model.head.bias.double().numpy()
    p = 1 / (1 + np.exp(-logits))
    y = own.targets.numpy()
    of_class = -(10 * y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    image = own.images.double().numpy()
    cosine = (refined * image).sum(1) / np.linalg.norm(refined, axis=1) / np.linalg.norm(image, axis=1)
    assert made.loss(batch).item() == pytest.approx(of_class + (1 - cosine).mean(), rel=1e-4)


def gradients(made: MotionTask, batch: np.ndarray) -> list[Tensor]:
    made.model.zero_grad()
    made.loss(batch).backward()  # type: ignore[no-untyped-call]
    return [parameter.grad.clone() for parameter in made.model.parameters() if parameter.grad is not None]


def test_checkpointing_changes_no_number(
    teacher: ClipTeacher, segments: MotionClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vimoclip.training.motion.BATCH", 3)
    batch = np.array([0, 1, 2])
    found = []
    for checkpointing in ("off", "on"):
        made = task(teacher, segments, replace(CONFIG, checkpointing=checkpointing))
        assert made.checkpointing == (checkpointing == "on")
        found.append(gradients(made, batch))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_checkpointing_is_for_want_of_memory(
    teacher: ClipTeacher, segments: MotionClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not task(teacher, segments).checkpointing
    monkeypatch.setattr("vimoclip.training.motion.free_bytes", lambda device: 1 << 18)
    assert task(teacher, segments).checkpointing


def test_the_shares_of_peers_add_up(teacher: ClipTeacher, segments: MotionClips) -> None:
    batch = np.array([0, 3, 1, 4, 2])
    whole = task(teacher, segments)
    expected, loss = gradients(whole, batch), whole.loss(batch).item()
    for world in (2, 3, 7):  # of seven, two have nothing to do
        shares = [task(teacher, segments, peers=ProcessGroup(rank, world)) for rank in range(world)]
        parts = [gradients(share, batch) for share in shares]
        assert math.fsum(share.loss(batch).item() for share in shares) == pytest.approx(loss, rel=1e-5)
        for total, own in zip((sum(part) for part in zip(*parts, strict=True)), expected, strict=True):
            torch.testing.assert_close(total, own, rtol=1e-4, atol=1e-6)


def test_batches_are_equally_large(teacher: ClipTeacher, segments: MotionClips) -> None:
    for size in range(1, 1 + len(segments)):
        plan = task(teacher, segments, replace(CONFIG, training=replace(TRAINING, batch_size=size))).plan(0)
        sizes = [len(batch) for batch in plan]
        assert sorted(np.concatenate(plan).tolist()) == list(range(len(segments)))
        assert len(sizes) == -(-len(segments) // size) and max(sizes) - min(sizes) <= 1 and max(sizes) <= size


def test_about_as_many_segments_are_mirrored_as_asked_other_ones_every_epoch(
    teacher: ClipTeacher, segments: MotionClips
) -> None:
    made = task(teacher, segments, replace(CONFIG, flip=0.5))
    seen = Seen(made.model.tower)
    every = np.arange(len(segments))
    own = segments.batch(every)
    kinds: list[list[bool]] = []
    for epoch in range(12):
        made.plan(epoch)
        made.loss(every)
        shown = torch.cat(seen.pixels)
        seen.pixels.clear()
        ways = [teacher.pixels(torch.from_numpy(flow_image(x, "uvm"))) for x in (own.planes, mirrored(own.planes))]
        first = np.cumsum(own.counts) - own.counts
        of_frame = [[torch.equal(shown[i], way[i]) for way in ways] for i in range(len(shown))]
        assert all(any(each) for each in of_frame)
        kinds.append([of_frame[i][1] for i in first])
    assert len({tuple(kind) for kind in kinds}) > 6 and 0.3 < np.mean(kinds) < 0.7


def test_training_brings_the_student_near_and_is_measured(teacher: ClipTeacher, segments: MotionClips) -> None:
    config = replace(
        CONFIG, training=replace(TRAINING, epochs=12, lr=3e-3, ema=None, clip_gradient=1.0), layer_decay=0.9
    )
    made = task(teacher, segments, config, held_out=segments)
    before = made.evaluate()["held_out"]
    records = Training(made, config.training, CPU, rates=made.rates).run()
    after = records[-1]["held_out"]
    assert records[-1]["loss"] < 0.8 * records[0]["loss"]
    assert after["cosine"] > before["cosine"] + 0.02 and after["macro"] >= before["macro"]
    assert after["videos"] == 5


def test_what_is_measured_is_of_whole_videos(teacher: ClipTeacher, segments: MotionClips) -> None:
    made = task(teacher, segments, select=segments)
    scores, cosine = made._scores(segments)
    whole = read_like(segments)
    with torch.no_grad():
        for video, frames in enumerate(whole):
            batch = segments.batch(frames)
            z = made.model(teacher.pixels(torch.from_numpy(flow_image(batch.planes, "uvm"))))
            torch.testing.assert_close(scores[video], made.model.head(z.mean(0)), rtol=1e-4, atol=1e-4)
    assert made.evaluate()["select"]["cosine"] == pytest.approx(cosine) and -1 <= cosine <= 1


def read_like(segments: MotionClips) -> list[np.ndarray]:
    """The segments of each video."""
    return [np.flatnonzero(segments.video == video) for video in range(len(segments.sequences))]


class Recorded(MotionClips):
    """Clips that note which thread reads them, and can be damaged."""

    readers: list[str]
    damaged = -1

    def batch(self, segments: np.ndarray) -> ClipBatch:
        """See `MotionClips.batch`."""
        if self.damaged in segments:
            raise StoreDamagedError("Stored flow cannot be decoded.")
        self.readers.append(threading.current_thread().name)
        return super().batch(segments)


def recorded(segments: MotionClips) -> Recorded:
    made = Recorded(**vars(segments))
    object.__setattr__(made, "readers", [])
    return made


def test_clips_are_read_while_the_ones_before_them_are_computed(teacher: ClipTeacher, segments: MotionClips) -> None:
    clips = recorded(segments)
    made, plain = (task(teacher, each, replace(CONFIG, flip=0.5)) for each in (clips, segments))
    for epoch in range(2):
        plan = made.plan(epoch)
        plain.plan(epoch)
        for number, batch in enumerate(plan, 1):
            assert torch.equal(made.loss(batch), plain.loss_of(plain.prepare(batch, epoch), batch))
            until = time.monotonic() + 30
            while len(clips.readers) < min(number + 1, len(plan)):  # the next one is read, which nobody has asked for
                assert time.monotonic() < until
                time.sleep(0.01)
        assert clips.readers == ["vimoclip-prefetch"] * len(plan)
        clips.readers.clear()
    plan = made.plan(2)
    assert len(plan) > 2
    made.loss(plan[1])  # as a run that resumes
    made.loss(plan[2])
    assert set(clips.readers) == {"vimoclip-prefetch"}
    made.close()


def test_clips_that_cannot_be_read_are_an_error_of_their_step(teacher: ClipTeacher, segments: MotionClips) -> None:
    clips = recorded(segments)
    made = task(teacher, clips)
    plan = made.plan(0)
    object.__setattr__(clips, "damaged", int(plan[1][0]))
    made.loss(plan[0])
    with pytest.raises(StoreDamagedError, match="cannot be decoded"):
        made.loss(plan[1])
    made.close()


def test_checkpointing_changes_no_number_of_a_tower_with_dropout(
    teacher: ClipTeacher, segments: MotionClips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vimoclip.training.motion.BATCH", 3)
    found = []
    for checkpointing in ("off", "on"):
        made = task(teacher, segments, replace(CONFIG, checkpointing=checkpointing))
        made.model.tower = torch.nn.Sequential(made.model.tower, torch.nn.Dropout(0.5))
        torch.manual_seed(5)
        found.append(gradients(made, np.array([0, 1, 2])))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
