"""The worker: what it embeds, in which order, and that one video's trouble is its own."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import av
import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import raft_small

from tests.clips import render, velocity
from tests.vimoclip import awkward
from vimoclip.config.store import ClipConfig, FlowConfig, RunConfig, Sampling, StartingMotion, StoreConfig
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.errors import VideoError
from vimoclip.flow import make_estimator
from vimoclip.flow.descriptor import MotionBoundaries
from vimoclip.flow.encoding import decode_flow, encode_flow, flow_image, mean_speed, to_planes
from vimoclip.flow.raft import Raft, RaftFrame
from vimoclip.frames import FrameBatch, FrameEvent, Idle, VideoDone, VideoFailed, VideoJob
from vimoclip.models.clip import ClipTeacher
from vimoclip.video.decode import DecodeEvent, FrameChunk
from vimoclip.video.decoder_process import DecoderProcess
from vimoclip.video.encode import write_clip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def worker(tiny_model: str) -> EmbedWorker:
    return EmbedWorker(StoreConfig(clip=ClipConfig(tiny_model, precision="fp32")), RunConfig())


def embedded(outcomes: list[FrameEvent], video_id: str) -> list[FrameBatch]:
    return [x for x in outcomes if isinstance(x, FrameBatch) and x.video_id == video_id]


def column(parts: list[FrameBatch], feature: str) -> np.ndarray:
    return np.concatenate([part.features[feature].values for part in parts])


@pytest.mark.parametrize("motion", get_args(StartingMotion))
def test_every_frame_against_the_steps_done_one_by_one(motion: StartingMotion, tiny_model: str, clips: Path) -> None:
    clip = ClipConfig(tiny_model, precision="fp32")
    worker = EmbedWorker(StoreConfig(clip=clip, flow=FlowConfig(motion=motion)), RunConfig())
    path = clips / "drifting" / "000.mp4"
    outcomes = list(worker.embed([VideoJob("a", str(path))]))
    parts = embedded(outcomes, "a")
    teacher = ClipTeacher(worker.config.clip, torch.device("cpu"))
    estimator = make_estimator(FlowConfig("dis"), torch.device("cpu"), "fp32")
    with av.open(str(path)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    padded = torch.zeros((8, 3, 32, 32), dtype=torch.uint8)
    rest = np.full((8, 2, 224, 224), 128, np.uint8)
    prepared = [estimator.prepare(frame) for frame in frames]
    for t, frame in enumerate(frames):
        images = padded.clone()
        images[0] = teacher.resize(frame[None], 1.0)[0]
        z = teacher(images)[0].numpy()
        expected = (z / np.linalg.norm(z)).astype(np.float16)
        part, row = parts[t // 8], t % 8
        assert np.array_equal(part.features["clip"].values[row], expected)
        assert part.features["clip"].norm[row] == pytest.approx(np.linalg.norm(z), rel=1e-6)
        assert part.features["moclip"].present[row] == (t > 0)
        if t > 0:
            flow = estimator.flow(prepared[t - 1], prepared[t])
            data = encode_flow(to_planes(flow, 1 / 24, "squash"))
            assert part.flow[row] == data
            assert part.flow_speed[row] == pytest.approx(mean_speed(flow, 1 / 24), rel=1e-5)
            planes = rest.copy()
            planes[0] = decode_flow(data)
            if motion == "mbh":
                z = MotionBoundaries()(planes)[0].numpy()
            else:
                z = teacher(torch.from_numpy(flow_image(planes, "uvm")))[0].numpy()
            length = np.linalg.norm(z[None], axis=1)  # summed as that of a batch
            assert np.array_equal(part.features["moclip"].values[row], (z / length).astype(np.float16))
    assert parts[0].flow[0] is None
    assert [part.frame_index.tolist() for part in parts] == [list(range(8)), [8, 9]]
    assert isinstance(outcomes[-1], VideoDone)
    assert outcomes[-1].info.decoded_frames == 10


def test_flow_points_from_the_frame_before_to_this_one(worker: EmbedWorker, tmp_path: Path) -> None:
    size, fps = (192, 128), 25.0
    write_clip(tmp_path / "drift.mp4", render("drifting", 7, 6, size, fps), fps)
    (part,) = embedded(list(worker.embed([VideoJob("a", str(tmp_path / "drift.mp4"))])), "a")
    codes = np.stack([decode_flow(data)[0] for data in part.flow[1:] if data is not None]).astype(float)
    moving = np.abs(codes - 128) > 8
    assert np.sign((codes - 128)[moving]).mean() * np.sign(velocity(7, size, fps)) > 0.8


def test_sampling_stores_a_subset_of_the_same_bits(worker: EmbedWorker, tiny_model: str, clips: Path) -> None:
    job = VideoJob("a", str(clips / "circling" / "000.mp4"))
    full = embedded(list(worker.embed([job])), "a")
    every = EmbedWorker(StoreConfig(Sampling(every=3), ClipConfig(tiny_model, precision="fp32")), RunConfig())
    some = embedded(list(every.embed([job])), "a")
    assert np.concatenate([part.source_frame for part in some]).tolist() == [0, 3, 6, 9]
    for feature in ("clip", "moclip"):
        wanted = column(full, feature)[::3]
        assert np.array_equal(column(some, feature)[1:], wanted[1:])
    assert np.array_equal(column(some, "clip")[0], column(full, "clip")[0])
    assert [part for x in some for part in x.flow][1:] == [part for x in full for part in x.flow][3::3]


def test_one_bad_video_is_named_and_the_others_go_on(worker: EmbedWorker, clips: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(b"not a video")
    good = str(clips / "still" / "000.mp4")
    outcomes = list(worker.embed([VideoJob("a", good), VideoJob("bad", str(bad)), VideoJob("b", good)]))
    kinds = {x.video_id: x for x in outcomes if not isinstance(x, FrameBatch | Idle)}
    assert isinstance(kinds["bad"], VideoFailed)
    assert kinds["bad"].kind == "unreadable"
    assert isinstance(kinds["a"], VideoDone)
    assert isinstance(kinds["b"], VideoDone)
    assert np.array_equal(column(embedded(outcomes, "a"), "clip"), column(embedded(outcomes, "b"), "clip"))


def test_memory_that_runs_out_halves_the_batch_and_says_so(
    worker: EmbedWorker, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ClipTeacher.__call__

    def small(self: ClipTeacher, batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > 3:
            raise torch.OutOfMemoryError("too large a batch")
        return whole(self, batch)

    job = VideoJob("a", str(clips / "still" / "000.mp4"))
    full = list(worker.embed([job]))
    monkeypatch.setattr(ClipTeacher, "__call__", small)
    halved = list(worker.embed([job]))
    assert isinstance(halved[-1], VideoDone)
    assert halved[-1].reduced_batch
    assert isinstance(full[-1], VideoDone)
    assert not full[-1].reduced_batch
    same = column(embedded(full, "a"), "clip").astype(np.float32) * column(embedded(halved, "a"), "clip")
    assert same.sum(1).min() > 0.999


def test_memory_that_runs_out_while_resizing_changes_nothing(
    worker: EmbedWorker, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ClipTeacher.resize

    def small(self: ClipTeacher, frames: np.ndarray, pixel_aspect: float) -> torch.Tensor:
        if len(frames) > 3:
            raise torch.OutOfMemoryError("too many frames")
        return whole(self, frames, pixel_aspect)

    job = VideoJob("a", str(clips / "still" / "000.mp4"))
    full = list(worker.embed([job]))
    monkeypatch.setattr(ClipTeacher, "resize", small)
    halved = list(worker.embed([job]))
    assert halved[-1] == full[-1]
    assert np.array_equal(column(embedded(halved, "a"), "clip"), column(embedded(full, "a"), "clip"))


def test_the_rest_of_a_failed_video_is_not_decoded(
    worker: EmbedWorker, clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward.repeat(tmp_path / "long.mkv", 3000, (320, 240))
    whole, decoded = ClipTeacher.__call__, 0
    calls = iter([True])

    def once(self: ClipTeacher, batch: torch.Tensor) -> torch.Tensor:
        return whole(self, batch) * (torch.nan if next(calls, False) else 1)

    receive = DecoderProcess._events

    def counted(self: DecoderProcess, path: str) -> Iterator[DecodeEvent | VideoError]:
        nonlocal decoded
        for event in receive(self, path):
            decoded += len(event.frames) if isinstance(event, FrameChunk) else 0
            yield event

    monkeypatch.setattr(ClipTeacher, "__call__", once)
    monkeypatch.setattr(DecoderProcess, "_events", counted)
    good = str(clips / "still" / "000.mp4")
    outcomes = worker.embed([VideoJob("long", str(tmp_path / "long.mkv")), VideoJob("b", good)])
    ends = [(type(x), x.video_id) for x in outcomes if isinstance(x, VideoDone | VideoFailed)]
    assert ends == [(VideoFailed, "long"), (VideoDone, "b")]
    assert decoded < 500


def test_vectors_that_are_not_finite_fail_the_video(
    worker: EmbedWorker, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClipTeacher, "__call__", lambda self, batch: torch.full((len(batch), 16), torch.nan))
    outcomes = worker.embed([VideoJob("a", str(clips / "still" / "000.mp4"))])
    (outcome,) = [x for x in outcomes if not isinstance(x, Idle)]
    assert isinstance(outcome, VideoFailed)
    assert outcome.kind == "not-finite"


def raft(model: str, batch: int, sampling: Sampling | None = None, **clip: Any) -> EmbedWorker:
    flow = FlowConfig("raft-small", weights="none", updates=2, batch_size=batch)
    return EmbedWorker(StoreConfig(sampling or Sampling(), ClipConfig(model, **clip), flow), RunConfig())


@pytest.mark.parametrize("batch", [1, 4])
def test_raft_in_batches_against_its_pairs_one_by_one(tiny_model: str, clips: Path, batch: int) -> None:
    worker = raft(tiny_model, batch, precision="fp32", batch_size=3)
    jobs = [VideoJob(name, str(clips / name / "000.mp4")) for name in ("drifting", "circling")]
    outcomes = list(worker.embed(jobs))
    assert worker.models.motion is not None
    estimator = worker.models.motion.estimator
    assert isinstance(estimator, Raft)
    for job in jobs:
        parts = embedded(outcomes, job.video_id)
        assert [part.frame_index.tolist() for part in parts] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
        with av.open(job.path) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        prepared = [estimator.prepare(frame.astype(np.uint8)) for frame in frames]
        stored = [data for part in parts for data in part.flow]
        assert stored[0] is None
        for t in range(1, 10):
            flow = estimator.flows([(prepared[t - 1], prepared[t])] * batch)[0]
            assert stored[t] == encode_flow(to_planes(flow, 1 / 24, "squash"))


def test_raft_stores_a_subset_of_the_same_bits_when_sampling(tiny_model: str, clips: Path) -> None:
    job = VideoJob("a", str(clips / "circling" / "000.mp4"))
    full = embedded(list(raft(tiny_model, 4).embed([job])), "a")
    some = embedded(list(raft(tiny_model, 4, Sampling(every=3)).embed([job])), "a")
    assert np.concatenate([part.source_frame for part in some]).tolist() == [0, 3, 6, 9]
    assert np.array_equal(column(some, "moclip")[1:], column(full, "moclip")[3::3])
    assert [part for x in some for part in x.flow][1:] == [part for x in full for part in x.flow][3::3]


def test_memory_that_runs_out_for_flow_halves_its_batch_and_says_so(
    tiny_model: str, clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = VideoJob("a", str(clips / "circling" / "000.mp4"))
    full = list(raft(tiny_model, 4).embed([job]))
    whole = Raft.flows

    def small(self: Raft, pairs: list[tuple[RaftFrame, RaftFrame]]) -> list[np.ndarray]:
        if len(pairs) > 2:
            raise torch.OutOfMemoryError("too large a batch")
        return whole(self, pairs)

    monkeypatch.setattr(Raft, "flows", small)
    halved = list(raft(tiny_model, 4).embed([job]))
    assert isinstance(full[-1], VideoDone) and not full[-1].reduced_batch
    assert isinstance(halved[-1], VideoDone) and halved[-1].reduced_batch
    same = column(embedded(full, "a"), "moclip").astype(np.float32) * column(embedded(halved, "a"), "moclip")
    assert same[1:].sum(1).min() > 0.999


def test_features_say_which_network_made_the_flow(tiny_model: str, worker: EmbedWorker, tmp_path: Path) -> None:
    random = raft(tiny_model, 0)
    assert random.config.flow == FlowConfig("raft-small", weights="none", updates=2, batch_size=2)
    described = json.loads(random.features[1].preprocessing)["flow"]
    assert (described["estimator"], described["updates"], described["training"]) == ("raft-small", 2, "random")
    assert len(described["weights_sha256"]) == 64
    assert set(json.loads(worker.features[1].preprocessing)["flow"]) == {"estimator", "max_width"}

    def fingerprints(**flow: Any) -> tuple[str, str]:
        settings = {"estimator": "raft-small", "weights": str(tmp_path / "a.pth")} | flow
        config = StoreConfig(clip=ClipConfig(tiny_model), flow=FlowConfig(**settings))
        clip, moclip = EmbedWorker(config, RunConfig()).features
        return clip.fingerprint, moclip.fingerprint

    torch.manual_seed(1)
    torch.save(raft_small().state_dict(), tmp_path / "a.pth")
    shutil.copy(tmp_path / "a.pth", tmp_path / "b.pth")
    torch.save(raft_small().state_dict(), tmp_path / "c.pth")
    asked: list[dict[str, Any]] = [
        {},
        {"weights": str(tmp_path / "b.pth")},
        {"weights": str(tmp_path / "c.pth")},
        {"updates": 5},
    ]
    images, motions = zip(*(fingerprints(**flow) for flow in asked), strict=True)
    assert len(set(images)) == 1
    assert motions[0] == motions[1]  # the same weights at another place
    assert len(set(motions[1:])) == 3


def test_features_say_what_made_them(worker: EmbedWorker, tiny_model: str) -> None:
    clip, moclip = worker.features
    assert (clip.name, clip.kind, clip.training, clip.dim) == ("clip", "image", "pretrained", 16)
    assert (moclip.name, moclip.kind, moclip.model) == ("moclip", "motion", "motion-boundaries")
    assert moclip.dim == MotionBoundaries.dim
    assert (moclip.weights, moclip.training, moclip.settings) == ("fixed", "fixed", None)
    config = StoreConfig(clip=ClipConfig(tiny_model, precision="fp32"), flow=FlowConfig(motion="tower"))
    same, tower = EmbedWorker(config, RunConfig()).features
    assert same.fingerprint == clip.fingerprint
    assert (tower.kind, tower.training, tower.weights_sha256) == ("motion", "starting", clip.weights_sha256)
    assert set(json.loads(tower.preprocessing)["flow"]) == {"estimator", "max_width", "image"}
    assert len({clip.fingerprint, moclip.fingerprint, tower.fingerprint}) == 3


def test_the_memory_format_counts_where_it_is_not_the_usual_one() -> None:
    flow = FlowConfig("dis", motion="tower")

    def made(**clip: Any) -> list[Any]:
        config = StoreConfig(clip=ClipConfig("vimoclip-tiny", "none", precision="fp32", **clip), flow=flow)
        return EmbedWorker(config, RunConfig()).features

    usual, contiguous, last = made(), made(memory_format="contiguous"), made(memory_format="channels_last")
    for one, other, third in zip(usual, contiguous, last, strict=True):
        assert one.fingerprint == other.fingerprint != third.fingerprint
        assert "memory_format" not in one.preprocessing and third.memory_format == "channels_last"
