"""A video has one set of vectors: alone, among others, after a resume, and whichever of its frames are stored."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.reliability.compare import differences, store_digest
from pipelines.ingest import IngestRequest, run
from pipelines.ingest_recorder import IngestReport
from tests.clips import render, write_folder
from vimoclip.config.store import ClipConfig, Precision, RunConfig, StoreConfig
from vimoclip.embedding.worker import EmbedWorker
from vimoclip.frames import FrameBatch, VideoJob
from vimoclip.store.feature_store import FeatureStore
from vimoclip.video.encode import write_clip

FRAMES = 6  # no multiple of the batch: the last one is padded
BATCH = 4
ONE = "circling/003.mp4"
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")


@pytest.fixture(scope="module")
def forty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty clips."""
    folder = tmp_path_factory.mktemp("forty")
    assert len(write_folder(folder, clips_per_behaviour=8, frames=FRAMES, size=(96, 64))) == 40
    return folder


def ingest(
    paths: list[Path],
    store: Path,
    model: str,
    precision: Precision,
    limit: int | None = None,
    flow: dict[str, Any] | None = None,
    **sampling: Any,
) -> IngestReport:
    clip = {"model": model, "precision": precision, "batch_size": BATCH}
    asked: dict[str, Any] = {"clip": clip, "flow": flow or {}} | ({"sampling": sampling} if sampling else {})
    report = run(IngestRequest(paths, store, asked, limit=limit))
    assert not report.failed
    return report


def rows_of(store: Path, video_id: str) -> dict[int, str]:
    """All that is stored of each frame, floats to the last bit, by the number of the decoded frame."""
    opened = FeatureStore.open(store)
    flow = {row["frame_index"]: row["flow"] for row in opened.flow(video_id).to_pylist()}
    rows = {}
    for row in opened.sequence(video_id).to_pylist():
        what = {name: value for name, value in row.items() if name not in ("take", "video_id", "frame_index")}
        rows[row["source_frame"]] = repr((what, flow.get(row["frame_index"])))
    return rows


def test_alone_in_a_batch_of_forty_and_after_a_resume(tmp_path: Path, forty: Path, tiny_model: str) -> None:
    assert ingest([forty], tmp_path / "many", tiny_model, "bf16").ingested == 40
    assert ingest([forty / ONE], tmp_path / "alone", tiny_model, "bf16").ingested == 1
    many = rows_of(tmp_path / "many", ONE)
    assert len(many) == FRAMES
    assert rows_of(tmp_path / "alone", Path(ONE).name) == many
    others = rows_of(tmp_path / "many", "circling/004.mp4")
    assert all(others[n] != many[n] for n in range(FRAMES))
    for limit, done in ((7, 7), (20, 20), (None, 13)):
        assert ingest([forty], tmp_path / "in parts", tiny_model, "bf16", limit).ingested == done
    assert differences(store_digest(tmp_path / "many"), store_digest(tmp_path / "in parts")) == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_flow_by_a_network_is_the_same_alone_and_in_company(
    tmp_path: Path, forty: Path, tiny_model: str, precision: Precision
) -> None:
    raft = {"estimator": "raft-small", "weights": "none", "updates": 2, "batch_size": 3}
    some = [forty / behaviour / "003.mp4" for behaviour in ("bouncing", "circling", "drifting")]
    ingest(some, tmp_path / "many", tiny_model, precision, flow=raft)
    ingest([forty / ONE], tmp_path / "alone", tiny_model, precision, flow=raft)
    (many,) = (row.video_id for row in FeatureStore.open(tmp_path / "many").rows() if "circling" in row.path)
    alone = rows_of(tmp_path / "alone", Path(ONE).name)
    assert len(alone) == FRAMES
    assert rows_of(tmp_path / "many", many) == alone
    ingest([forty / ONE], tmp_path / "sampled", tiny_model, precision, flow=raft, every=2)
    sampled = rows_of(tmp_path / "sampled", Path(ONE).name)
    assert sampled == {n: alone[n] for n in (0, 2, 4)}


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("sampling", [{"fps": 10.0}, {"every": 3}], ids=["fps", "every"])
def test_fewer_frames_are_the_same_frames(
    tmp_path: Path, tiny_model: str, precision: Precision, sampling: dict[str, Any]
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", render("bouncing", 5, 40, (96, 64)), 24.0)
    ingest([clip], tmp_path / "full", tiny_model, precision)
    ingest([clip], tmp_path / "part", tiny_model, precision, **sampling)
    full, part = rows_of(tmp_path / "full", "clip.mp4"), rows_of(tmp_path / "part", "clip.mp4")
    assert len(full) == 40
    assert 10 < len(part) < 20
    assert part == {n: full[n] for n in part}


def test_content_decides_and_not_the_name(tmp_path: Path, forty: Path, tiny_model: str) -> None:
    other = tmp_path / "elsewhere" / "Ünder ánother näme.mp4"
    other.parent.mkdir()
    shutil.copyfile(forty / ONE, other)
    ingest([forty / ONE], tmp_path / "a", tiny_model, "bf16")
    ingest([other], tmp_path / "b", tiny_model, "bf16")
    assert rows_of(tmp_path / "a", Path(ONE).name) == rows_of(tmp_path / "b", other.name)


def swap(folder: Path) -> None:
    """Two files exchange their names."""
    (folder / "a.mp4").rename(folder / "x")
    (folder / "b.mp4").rename(folder / "a.mp4")
    (folder / "x").rename(folder / "b.mp4")


def shift(folder: Path) -> None:
    """Two files move up by one name."""
    (folder / "b.mp4").rename(folder / "c.mp4")
    (folder / "a.mp4").rename(folder / "b.mp4")


@pytest.mark.parametrize("rename", [swap, shift])
def test_files_that_exchange_names_keep_their_vectors(
    tmp_path: Path, tiny_model: str, rename: Callable[[Path], None]
) -> None:
    folder, store = tmp_path / "clips", tmp_path / "store"
    folder.mkdir()
    for name, frames in (("a.mp4", 5), ("b.mp4", 7)):
        write_clip(folder / name, render("drifting", frames, frames, (96, 64)), 24.0)
    ingest([folder], store, tiny_model, "bf16")
    a, b = rows_of(store, "a.mp4"), rows_of(store, "b.mp4")
    rename(folder)
    ingest([folder], store, tiny_model, "bf16")
    assert {row.video_id: row.status for row in FeatureStore.open(store).rows()} == {
        file.name: "ok" for file in folder.iterdir()
    }
    assert rows_of(store, "b.mp4") == a
    assert rows_of(store, "a.mp4" if rename is swap else "c.mp4") == b


def test_a_duplicate_is_one_only_while_its_original_is_the_same(tmp_path: Path, tiny_model: str) -> None:
    folder, store = tmp_path / "clips", tmp_path / "store"
    folder.mkdir()
    write_clip(folder / "a.mp4", render("drifting", 1, 5, (96, 64)), 24.0)
    shutil.copyfile(folder / "a.mp4", folder / "b.mp4")
    assert ingest([folder], store, tiny_model, "bf16").duplicates == 1
    a = rows_of(store, "a.mp4")
    write_clip(folder / "a.mp4", render("drifting", 2, 7, (96, 64)), 24.0)
    for _ in range(2):
        ingest([folder], store, tiny_model, "bf16")
    assert ingest([folder], store, tiny_model, "bf16").known == 2
    assert len(rows_of(store, "a.mp4")) == 7
    assert rows_of(store, "b.mp4") == a


def test_a_worker_gives_one_clip_the_same_bits_twice(forty: Path, tiny_model: str) -> None:
    worker = EmbedWorker(StoreConfig(clip=ClipConfig(model=tiny_model, batch_size=BATCH)), RunConfig())
    jobs = [VideoJob(name, str(forty / ONE)) for name in ("first", "second")]
    between = VideoJob("between", str(forty / "still/001.mp4"))
    bits: dict[str, list[bytes]] = {}
    for outcome in worker.embed([jobs[0], between, jobs[1]]):
        if isinstance(outcome, FrameBatch):
            arrays: list[np.ndarray] = [outcome.source_frame, outcome.time_s, outcome.flow_speed]
            for vectors in outcome.features.values():
                arrays += [vectors.values, vectors.norm, vectors.present]
            flow = [image or b"" for image in outcome.flow]
            bits.setdefault(outcome.video_id, []).extend([*(array.tobytes() for array in arrays), *flow])
    assert len(bits["first"]) == 9 * 2 + FRAMES
    assert bits["first"] == bits["second"] != bits["between"]
