"""A trained student over the stored flow: beside moclip and in its place, whatever is killed, and ever after."""

import pickle
import queue
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.compute as pc
import pytest

from pipelines import embed, features
from pipelines import ingest as ingesting
from pipelines.backfill import EmbedReport
from pipelines.embed import EmbedRequest
from pipelines.executor import Engine
from pipelines.index import IndexRequest
from pipelines.index import run as index
from pipelines.ingest import IngestRequest
from tests.clusters import cluster
from tests.models import write_tiny_clip
from tests.pipelines.runs import contents, ingest
from tests.pipelines.test_train_motion import CONFIG, ONE, train
from vimoclip.api import Store
from vimoclip.embedding.embedder import StoredFlowEmbedder, StoredFlowJob
from vimoclip.embedding.feature_models import ExtraFeatures
from vimoclip.embedding.worker import make_worker
from vimoclip.errors import CheckpointError, FeatureError, RunError, SettingsError, StoreError
from vimoclip.frames import FrameBatch, Idle, VideoDone
from vimoclip.models.motion_student import read_student
from vimoclip.progress import NO_PROGRESS, Progress
from vimoclip.store.features import promote_feature as real_promote
from vimoclip.store.lock import writer_lock
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """Four clips, one of a single frame, and labels. Not to be written to."""
    folder = tmp_path_factory.mktemp("videos")
    for n, clip in enumerate(sorted(clips.rglob("*.mp4"))[::2][:4]):
        shutil.copy2(clip, folder / f"{n}.mp4")
    (folder / "labels.csv").write_text("filepath,label\n" + "".join(f"{n}.mp4,{'ab'[n % 2]}\n" for n in range(4)))
    return folder


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    """A fifth clip."""
    folder = tmp_path_factory.mktemp("more")
    shutil.copy2(sorted(clips.rglob("*.mp4"))[1], folder / "fifth.mp4")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, videos: Path, tiny_model: str) -> Path:
    where = tmp_path_factory.mktemp("made") / "store"
    ingest(videos, store=where, model=tiny_model)
    return where


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, made: Path, one_thread: None) -> dict[str, Path]:
    """Two students, of either image."""
    folder = tmp_path_factory.mktemp("runs")
    for encoding in ("uvm", "wheel"):
        train(made, folder / encoding, config=replace(CONFIG, encoding=encoding))
    return {encoding: folder / encoding for encoding in ("uvm", "wheel")}


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def add(
    store: Path, run: Path | Literal["mbh"] | None, name: str = "moclip", progress: Progress = NO_PROGRESS
) -> EmbedReport:
    return embed.run(EmbedRequest(store, name, motion=run, run=ONE), progress)


def matrix(store: Path, video_id: str, name: str) -> np.ndarray:
    vectors = Store.open(store).sequence(video_id, [name])[name].to_pylist()
    assert vectors[0] is None
    return np.array(vectors[1:], np.float16)


@pytest.mark.parametrize("encoding", ["uvm", "wheel"])
def test_beside_moclip_and_for_videos_that_come_later(
    store: Path, videos: Path, more: Path, runs: dict[str, Path], encoding: str
) -> None:
    report = add(store, runs[encoding], "trained")
    assert (report.embedded, report.frames, report.failed, report.complete) == (4, 40, [], True)
    assert ingesting.run(IngestRequest([more], store, run=ONE)).ingested == 1
    assert ingesting.run(IngestRequest([videos], store, run=ONE)).known == 4
    served = matrix(store, "fifth.mp4", "trained")
    assert served.tobytes() != matrix(store, "fifth.mp4", "moclip").tobytes()
    assert add(store, runs[encoding], "again").embedded == 5  # from the flow that the ingest stored
    for video_id in ("0.mp4", "3.mp4", "fifth.mp4"):
        assert matrix(store, video_id, "again").tobytes() == matrix(store, video_id, "trained").tobytes()
    opened = Store.open(store)
    feature = opened.features["trained"]
    assert (feature.kind, feature.training, feature.added) == ("motion", "trained", True)
    assert feature.fingerprint == opened.features["again"].fingerprint != opened.features["moclip"].fingerprint
    assert verify(store) == []


def test_the_files_need_not_be_there_nor_the_run(
    tmp_path: Path, videos: Path, more: Path, tiny_model: str, runs: dict[str, Path]
) -> None:
    own = Path(shutil.copytree(videos, tmp_path / "videos"))
    ingest(own, store=tmp_path / "store", model=tiny_model)
    shutil.rmtree(own)
    run = Path(shutil.copytree(runs["uvm"], tmp_path / "run"))
    assert add(tmp_path / "store", run, "trained").complete
    shutil.rmtree(run)
    (tmp_path / "store").rename(tmp_path / "moved")
    assert ingesting.run(IngestRequest([more], tmp_path / "moved", run=ONE)).ingested == 1
    assert matrix(tmp_path / "moved", "fifth.mp4", "trained").shape == (9, 16)
    assert add(tmp_path / "moved", None, "trained").known == 5


def test_motion_boundaries_stay_at_hand_when_a_student_takes_its_place(
    store: Path, more: Path, runs: dict[str, Path]
) -> None:
    before = Store.open(store)
    boundaries = matrix(store, "3.mp4", "moclip")
    assert add(store, runs["uvm"]).embedded == 4
    assert add(store, "mbh", "mbh").embedded == 4
    assert add(store, "mbh", "mbh").known == 4
    assert matrix(store, "3.mp4", "mbh").tobytes() == boundaries.tobytes()
    assert ingesting.run(IngestRequest([more], store, run=ONE)).ingested == 1
    later = matrix(store, "fifth.mp4", "mbh")
    assert later.shape == (9, before.features["moclip"].dim)
    opened = Store.open(store)
    kept, moclip = opened.features["mbh"], opened.features["moclip"]
    assert (kept.kind, kept.training, kept.added) == ("motion", "fixed", True)
    assert kept.fingerprint == before.features["moclip"].fingerprint != moclip.fingerprint
    assert opened.config.flow.motion == "mbh" and moclip.training == "trained"
    assert add(store, "mbh").embedded == 5  # and back again
    assert matrix(store, "fifth.mp4", "moclip").tobytes() == later.tobytes()
    assert Store.open(store).features["moclip"].fingerprint == kept.fingerprint
    assert verify(store) == []


def test_a_store_that_began_with_the_tower_gets_motion_boundaries_too(
    videos: Path, more: Path, made: Path, tiny_model: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    ingest(videos, store=store, model=tiny_model, asked={"flow": {"motion": "tower"}})
    assert Store.open(store).features["moclip"].training == "starting"
    assert add(store, "mbh").embedded == 4
    assert ingesting.run(IngestRequest([more], store, run=ONE)).ingested == 1
    assert matrix(store, "3.mp4", "moclip").tobytes() == matrix(made, "3.mp4", "moclip").tobytes()
    assert matrix(store, "fifth.mp4", "moclip").shape[1] == Store.open(store).features["moclip"].dim
    assert verify(store) == []


class Stop(Progress):
    """Interrupts after a number of videos."""

    def __init__(self, after: int) -> None:
        self.left = after

    def advance(self, n: int = 1, note: str | None = None) -> None:
        self.left -= n
        if n and self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["trained", "moclip"])
def test_an_interruption_keeps_what_is_done(store: Path, runs: dict[str, Path], name: str) -> None:
    before = contents(store)
    report = add(store, runs["uvm"], name, Stop(2))
    assert (report.interrupted, report.embedded, report.left, report.complete) == (True, 2, 2, False)
    assert contents(store) == before
    assert not [fault for fault in verify(store) if not fault.harmless]
    report = add(store, runs["uvm"] if name == "moclip" else None, name)
    assert (report.known, report.embedded, report.complete) == (2, 2, True)
    assert verify(store) == []


def test_in_the_place_of_moclip_and_ever_after(
    store: Path, videos: Path, more: Path, runs: dict[str, Path], tiny_model: str
) -> None:
    before = Store.open(store)
    old = before.sequence("0.mp4", ["moclip"])
    assert add(store, runs["wheel"]).complete
    assert before.sequence("0.mp4", ["moclip"]).equals(old)  # a snapshot stays what it was
    opened = Store.open(store)
    assert list(opened.features) == ["clip", "moclip"] and not opened.unfinished
    feature = opened.features["moclip"]
    assert (
        feature.training == "trained"
        and not feature.added
        and feature.fingerprint != before.features["moclip"].fingerprint
    )
    assert {row.fingerprint for row in opened.rows()} == {opened.fingerprint}
    assert verify(store) == []
    report = ingesting.run(IngestRequest([videos], store, run=ONE))
    assert (report.known, report.ingested) == (4, 0)
    assert ingesting.run(IngestRequest([more], store, run=ONE)).ingested == 1
    assert add(store, runs["wheel"]).known == 5
    assert add(store, runs["wheel"], "beside").embedded == 5
    for video_id in ("0.mp4", "fifth.mp4"):
        assert matrix(store, video_id, "beside").tobytes() == matrix(store, video_id, "moclip").tobytes()
    assert add(store, runs["uvm"]).complete  # and another student after it
    assert matrix(store, "0.mp4", "beside").tobytes() != matrix(store, "0.mp4", "moclip").tobytes()
    assert verify(store) == []


CALLS = ("tag", "upsert", "drop_columns", "copy_columns", "replace", "untag")


class Killed(BaseException):
    """As if the process had ended."""


def test_killed_before_any_commit_of_the_switch_readers_see_the_old_and_the_same_command_goes_on(
    made: Path, tmp_path: Path, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    old, expected = contents(made), None
    for kill in range(100):
        store = Path(shutil.copytree(made, tmp_path / str(kill)))
        left = [kill]

        def counted(call: Any, left: list[int] = left) -> Any:
            def made(*arguments: Any, **named: Any) -> Any:
                if left[0] == 0:
                    raise Killed
                left[0] -= 1
                return call(*arguments, **named)

            return made

        def promote(*arguments: Any) -> Any:
            with pytest.MonkeyPatch.context() as patch:
                for name in CALLS:
                    patch.setattr(Table, name, counted(getattr(Table, name)))
                return real_promote(*arguments)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("pipelines.embed.promote_feature", promote)
            try:
                add(store, runs["uvm"])
                done = True
            except Killed:
                done = False
        expected = expected or contents_after(made, tmp_path / "whole", runs["uvm"])
        found = Store.open(store)
        if done:
            assert contents(store) == expected and verify(store) == []
            break
        assert contents(store) in (old, expected)
        # The store reads as it was, or as it will be, and so it is whole, before anything is run again.
        assert not [fault for fault in verify(store) if not fault.harmless]
        if found.promoting is not None:
            assert contents(store) == old
            with pytest.raises(StoreError, match=r"was stopped.*`vimoclip embed --motion RUN` finishes it"):
                features.drop(store, "moclip-next")
            with pytest.raises(StoreError, match="was stopped"):
                write_to(store)
        assert add(store, runs["uvm"]).complete
        assert contents(store) == expected and Store.open(store).promoting is None
        assert not [fault for fault in verify(store) if not fault.harmless]
    assert kill > 10


def contents_after(made: Path, where: Path, run: Path) -> dict[str, Any]:
    shutil.copytree(made, where)
    add(where, run)
    return contents(where)


def write_to(store: Path) -> None:
    with writer_lock(store):
        StoreWriter(Store.open(store))


def test_a_search_by_a_clip_uses_the_student(store: Path, videos: Path, runs: dict[str, Path]) -> None:
    add(store, runs["uvm"], "trained")
    index(IndexRequest(store, features={"motion": "trained"}))
    hits = Store.open(store).search(clip=str(videos / "2.mp4"), by="motion", run=ONE)
    assert hits[0].video_id == "2.mp4" and hits[0].score == pytest.approx(1, abs=1e-2)


def test_what_cannot_be_embedded_is_refused(
    store: Path, tmp_path: Path, videos: Path, runs: dict[str, Path], tiny_model: str, clips: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be read.*finished run of `vimoclip train-motion`"):
        add(store, tmp_path / "nothing", "trained")
    ingest(videos, store=tmp_path / "flowless", model=tiny_model, asked={"keep_flow": False})
    with pytest.raises(RunError, match=r"keeps no flow.*without --no-keep-flow"):
        add(tmp_path / "flowless", runs["uvm"])
    ingest(videos, store=tmp_path / "other", model=write_tiny_clip(tmp_path / "model", seed=9))
    with pytest.raises(CheckpointError, match="another teacher than the store has"):
        add(tmp_path / "other", runs["uvm"])
    with pytest.raises(FeatureError):
        add(store, runs["uvm"], "clip")
    add(store, runs["uvm"], "trained")
    with pytest.raises(SettingsError, match="weights_sha256"):
        add(store, runs["wheel"], "trained")
    shutil.rmtree(store / "models")
    with pytest.raises(CheckpointError, match=r"models/.* cannot be read"):
        ingesting.run(IngestRequest([clips], store, run=ONE))


def test_moclip_stays_where_flow_is_lost(store: Path, runs: dict[str, Path]) -> None:
    (take,) = [row.take for row in Store.open(store).rows() if row.video_id == "2.mp4"]
    flow = Store.open(store).tables["flow"]
    flow.delete((pc.field("take") == take) & (pc.field("frame_index") == 3))
    old = contents(store)
    with pytest.raises(FeatureError, match=r"1 video cannot be embedded, and moclip stays.*2\.mp4.*frame 3"):
        add(store, runs["uvm"])
    assert contents(store) == old
    report = add(store, runs["uvm"], "beside")
    assert report.complete and [video_id for video_id, _, _ in report.failed] == ["2.mp4"]


@pytest.mark.ray
def test_workers_of_a_cluster_give_the_same_bits_and_need_no_store(store: Path, runs: dict[str, Path]) -> None:
    assert add(store, runs["uvm"], "alone").embedded == 4
    with cluster(num_cpus=2, num_gpus=0) as made:
        engine = Engine("ray", 2, str(made.address))
        report = embed.run(EmbedRequest(store, "shared", motion=runs["uvm"], run=ONE, engine=engine))
    assert (report.embedded, report.frames, report.failed, report.complete) == (4, 40, [], True)
    for video_id in ("0.mp4", "3.mp4"):
        assert matrix(store, video_id, "shared").tobytes() == matrix(store, video_id, "alone").tobytes()
    assert verify(store) == []


def test_the_engine_of_a_student_is_that_of_an_ingest(
    store: Path, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def executor(config: Any, run: Any, engine: Engine, added: Any) -> Any:
        asked.append((engine, added))
        raise RuntimeError("asked for")

    monkeypatch.setattr(embed, "executor", executor)
    with pytest.raises(RuntimeError, match="asked for"):
        embed.run(EmbedRequest(store, "shared", motion=runs["uvm"], run=ONE, engine=Engine("ray", 2)))
    ((engine, added),) = asked
    assert engine == Engine("ray", 2) and list(added.students) == ["shared"] and added.stored_flow.name == "moclip"


def test_a_job_for_another_machine_holds_the_flow(store: Path, runs: dict[str, Path]) -> None:
    opened = Store.open(store)
    row = next(row for row in opened.live_videos() if row.frames and row.frames > 1)
    here, there = (StoredFlowJob.of(opened, row, held=held) for held in (False, True))
    student, base = read_student(runs["uvm"]), opened.features["moclip"]
    worker = StoredFlowEmbedder(opened.config, base, "trained", student, ONE)
    expected = [event for event in worker.embed([here]) if not isinstance(event, Idle)]
    sent = pickle.dumps(there)
    shutil.rmtree(store)
    found = [event for event in worker.embed([pickle.loads(sent)]) if not isinstance(event, Idle)]
    assert isinstance(found[-1], VideoDone) and len(found) == len(expected) > 1
    for one, other in zip(found[:-1], expected[:-1], strict=True):
        assert isinstance(one, FrameBatch) and isinstance(other, FrameBatch)
        assert one.features["trained"].values.tobytes() == other.features["trained"].values.tobytes()


def test_a_student_without_work_says_that_it_lives(
    store: Path, runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vimoclip.embedding.embedder.IDLE_S", 0.05)
    opened, jobs = Store.open(store), queue.SimpleQueue[Any]()
    students = {"trained": read_student(runs["uvm"])}
    added = ExtraFeatures(alone=True, students=students, stored_flow=opened.features["moclip"])
    worker = make_worker(opened.config, ONE, added)
    outcomes = worker.embed(iter(jobs.get, None))
    assert next(outcomes) == Idle()
    jobs.put(None)
    assert set(outcomes) <= {Idle()}
