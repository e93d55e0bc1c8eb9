"""The actor without Ray: jobs one by one, and what goes wrong at the start is said when it is asked."""

import os
from pathlib import Path

import pytest

from pipelines.ray_executor import Actor, ActorInfo
from vimoclip.config.store import ClipConfig, RunConfig, StoreConfig
from vimoclip.errors import ModelError
from vimoclip.frames import Idle, VideoDone, VideoJob

pytestmark = pytest.mark.ray


def test_jobs_are_embedded_in_the_order_they_were_given(
    savannah: Path, tiny_model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    actor = Actor(StoreConfig(clip=ClipConfig(tiny_model)), RunConfig())
    described = actor.describe()
    assert (described.gpus, described.pid, described.config.clip.batch_size) == ("3", os.getpid(), 8)
    assert [feature.name for feature in described.features] == ["clip", "moclip"]
    jobs = [VideoJob(name, str(savannah / name)) for name in ("resting/000.mp4", "walking/000.mp4")]
    for job in (*jobs, None):
        actor.give(job)
    ends = [outcome for outcome in actor.embed() if isinstance(outcome, VideoDone)]
    assert [end.video_id for end in ends] == [job.video_id for job in jobs]


def test_one_without_jobs_says_that_it_lives(tiny_model: str) -> None:
    actor = Actor(StoreConfig(clip=ClipConfig(tiny_model)), RunConfig())
    outcomes = actor.embed()
    assert next(outcomes) == Idle()
    actor.give(None)
    assert list(outcomes) == []


def test_a_model_that_cannot_be_had_is_said_when_asked() -> None:
    actor = Actor(StoreConfig(clip=ClipConfig("no-such-model")), RunConfig())
    with pytest.raises(ModelError, match="no such model"):
        actor.describe()


@pytest.mark.parametrize(("gpus", "name"), [("1", "GPU 1 of node7"), ("", "process 42 of node7")])
def test_its_name_is_for_people(gpus: str, name: str) -> None:
    assert ActorInfo(StoreConfig(), [], "cuda:0", gpus, "node7", 42).name == name
