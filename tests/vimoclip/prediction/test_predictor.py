"""Predictions against the model itself, evaluated on the store; stored videos, files that hold the same; windows."""

import csv
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from pipelines import embed
from tests.clips import render
from tests.models import write_tiny_clip
from tests.pipelines.runs import ingest
from tests.vimoclip.made_up_runs import CONFIG, ONE, VIDEOS, labelled, run_on
from tests.vimoclip.stores import make_store
from vimoclip.api import Store
from vimoclip.config.fusion import Fusion, LossConfig, Modality, SequenceConfig
from vimoclip.errors import CheckpointError, ConfigError, RunError, SettingsError, SourceError, UsageError
from vimoclip.frames import vectors
from vimoclip.models.checkpoint import read_checkpoint
from vimoclip.prediction.export import boris_rows
from vimoclip.prediction.predictor import Predictor, WindowOptions
from vimoclip.progress import Progress
from vimoclip.sequences.reader import read_sequences
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.fusion import scores
from vimoclip.training.loop import STATE
from vimoclip.training.splits import videos_of_split
from vimoclip.video.encode import write_clip

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_thread")]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return labelled(tmp_path_factory.mktemp("made-up"))


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_on(store, tmp_path_factory.mktemp("runs") / "run")


@pytest.mark.parametrize(
    ("fusion", "loss", "sequences"),
    [
        ("cross", "bce", SequenceConfig()),
        ("image", "asymmetric", SequenceConfig(lengths="raw")),
        ("motion", "cross-entropy", SequenceConfig(most_frames=20)),
        ("temporal", "cross-entropy", SequenceConfig(lengths="raw", most_frames=7)),
        ("embedding", "bce", SequenceConfig(most_frames=None)),
    ],
)
def test_a_stored_video_has_the_scores_of_the_model_that_is_evaluated(
    store: Store, tmp_path: Path, fusion: Fusion, loss: str, sequences: SequenceConfig
) -> None:
    folder = run_on(store, tmp_path / "run", fusion, LossConfig(name=loss, of_one=loss), sequences)  # type: ignore[arg-type]
    model, meta = read_checkpoint(folder)
    read = read_sequences(store, meta.config.sequences, fusion, videos_of_split(store), meta.classes)
    logits = scores(model, read).double().numpy()
    exponents = np.exp(logits)
    expected = exponents / exponents.sum(axis=1, keepdims=True) if loss == "cross-entropy" else 1 / (1 + 1 / exponents)
    found = store.predict("*", folder, settings=ONE)
    assert [each.video for each in found] == read.video_ids and not found.failed
    np.testing.assert_allclose([each.probabilities for each in found], expected, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 1e-3  # or everything would be equal
    assert [each.frames for each in found] == [VIDEOS[each.video] for each in found]
    assert all(each.stored for each in found)


def test_windows_are_scored_as_videos_of_their_frames(store: Store, run: Path) -> None:
    """Against the model alone, given the vectors of the store's own rows: no code of the predictor's."""
    model, _ = read_checkpoint(run)
    (found,) = store.predict("long.mp4", run, window_s=0.8, stride_s=0.24, settings=ONE)
    rows = store.sequence("long.mp4")
    assert len(found.starts_s) == 20 and found.ends_s[-1] == pytest.approx(130 / 25)
    for start, end, probabilities in zip(found.starts_s, found.ends_s, found.window_probabilities, strict=True):
        time_s = rows["time_s"].to_numpy()
        inside = rows.filter(pa.array((time_s >= start - 1e-6) & (time_s < end - 1e-6)))[1:]
        z: dict[Modality, torch.Tensor] = {
            "image": torch.from_numpy(vectors(inside["clip"]).astype(np.float32))[None],
            "motion": torch.from_numpy(vectors(inside["moclip"]).astype(np.float32))[None],
        }
        there = torch.ones(z["image"].shape[:2], dtype=torch.bool)
        with torch.inference_mode():
            expected = model(z, {"image": there, "motion": there}).sigmoid()[0]
        np.testing.assert_allclose(probabilities, expected.numpy(), atol=1e-5)
    assert np.ptp(found.window_probabilities, axis=0).max() > 1e-3
    assert (found.probabilities == found.window_probabilities.max(axis=0)).all()


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory, clips: Path, tiny_model: str) -> tuple[Store, Path, Path]:
    """A store of half of the clips, a run on it, and a folder of the other half and of files like the stored ones."""
    folder = tmp_path_factory.mktemp("real")
    shutil.copytree(clips, folder / "clips")
    (folder / "new").mkdir()
    for path in sorted((folder / "clips").rglob("001.mp4")):
        path.rename(folder / "new" / f"{path.parent.name}.mp4")
    for path in sorted((folder / "clips").rglob("000.mp4")):  # other bytes, the same frames
        copy = folder / "new" / f"{path.parent.name} again.mp4"
        copy.write_bytes(path.read_bytes() + b"\0\0\0\x08free")
    write_clip(folder / "clips" / "one.mp4", render("still", 1, 1, (96, 64)), 24.0)
    ingest(folder / "clips", store=folder / "store", model=tiny_model, label_folders=True, run=ONE)
    store = Store.open(folder / "store")
    return store, run_on(store, folder / "run"), folder


def test_a_file_like_a_stored_one_gives_the_same_bits(real: tuple[Store, Path, Path]) -> None:
    store, run, folder = real
    files = sorted((folder / "new").glob("* again.mp4"))
    found = store.predict(files, run, window_s=0.2, stride_s=0.1, settings=ONE)
    ids = [f"{path.name.removesuffix(' again.mp4')}/000.mp4" for path in files]
    stored = store.predict(ids, run, window_s=0.2, stride_s=0.1, settings=ONE)
    assert [each.stored for each in found] == [False] * 5 and [each.stored for each in stored] == [True] * 5
    for file, same in zip(found, stored, strict=True):
        assert np.array_equal(file.window_probabilities, same.window_probabilities)
        assert (file.frames, file.duration_s, file.fps) == (same.frames, same.duration_s, same.fps)
        assert file.bouts == same.bouts


def test_the_cut_of_a_window_alone_is_that_window(real: tuple[Store, Path, Path], tmp_path: Path) -> None:
    """The same pictures in a file of their own, kept without loss, so that decoding gives them again."""
    store, run, _ = real
    frames = list(render("circling", 3, 24, (96, 64)))
    _lossless(tmp_path / "long.mkv", frames)
    _lossless(tmp_path / "cut.mkv", frames[6:18])
    (long,) = store.predict(tmp_path / "long.mkv", run, window_s=0.5, stride_s=0.25, settings=ONE)
    (cut,) = store.predict(tmp_path / "cut.mkv", run, settings=ONE)
    at = long.starts_s.tolist().index(0.25)
    np.testing.assert_allclose(long.window_probabilities[at], cut.probabilities, atol=1e-6)


def _lossless(path: Path, frames: list[np.ndarray]) -> None:
    import av

    with av.open(str(path), "w") as file:
        stream = file.add_stream("ffv1", 24)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "bgr0"
        for frame in frames:
            file.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="bgr0")))
        file.mux(stream.encode(None))


def test_stored_videos_are_never_computed_again(
    real: tuple[Store, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, run, folder = real
    copy = Path(shutil.copy(folder / "clips" / "still" / "000.mp4", tmp_path / "a copy.mp4"))
    monkeypatch.setattr("vimoclip.embedding.worker.worker_for", None)
    monkeypatch.chdir(folder)
    names: list[str | Path] = ["still/000.mp4", "clips/still/000.mp4", folder / "clips" / "still", copy, "s*ll/*"]
    for name in names:
        assert [(each.video, each.stored) for each in store.predict(name, run, settings=ONE)] == [
            ("still/000.mp4", True)
        ]
    assert len(store.predict(names, run, settings=ONE)) == 1


def test_one_bad_file_never_stops_the_rest(real: tuple[Store, Path, Path], tmp_path: Path) -> None:
    store, run, folder = real
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    whole = (folder / "new" / "still.mp4").read_bytes()
    (tmp_path / "cut off.mp4").write_bytes(whole[: len(whole) // 2])
    shutil.copy(folder / "new" / "growing.mp4", tmp_path / "x' OR '1'='1.mp4")
    found = store.predict([tmp_path, "one.mp4", "still/000.mp4"], run, settings=ONE)
    assert [Path(each.video).name for each in found] == ["x' OR '1'='1.mp4", "one.mp4", "000.mp4"]
    assert {Path(each.video_id).name: each.kind for each in found.failed} == {
        "broken.mp4": "unreadable",
        "cut off.mp4": "unreadable",
    }
    assert (found[1].frames, found[1].stored) == (1, True)
    assert np.isfinite(found[1].probabilities).all()


def test_a_motionless_video_and_one_of_one_frame(
    real: tuple[Store, Path, Path], tmp_path: Path, tiny_model: str
) -> None:
    store, run, _ = real
    frame = next(iter(render("still", 5, 1, (96, 64))))
    write_clip(tmp_path / "at rest.mp4", iter([frame] * 12), 24.0)
    write_clip(tmp_path / "single.mp4", iter([frame]), 24.0)
    found = store.predict(tmp_path, run, window_s=0.25, settings=ONE)
    assert [each.frames for each in found] == [12, 1] and not found.failed
    assert all(np.isfinite(each.window_probabilities).all() for each in found)


@pytest.mark.parametrize("fusion", ["image", "cross"])
def test_a_run_on_a_feature_that_was_added(clips: Path, tmp_path: Path, tiny_model: str, fusion: Fusion) -> None:
    ingest(clips, store=tmp_path / "store", model=tiny_model, label_folders=True, run=ONE)
    other = write_tiny_clip(tmp_path / "other", seed=3)
    assert embed.run(embed.EmbedRequest(tmp_path / "store", "other", {"model": other}, run=ONE)).complete
    store = Store.open(tmp_path / "store")
    run = run_on(store, tmp_path / "run", fusion, sequences=SequenceConfig(image="other"))
    path = next((clips / "still").iterdir())
    again = tmp_path / "again.mp4"
    again.write_bytes(path.read_bytes() + b"\0\0\0\x08free")
    stored, file = store.predict([path, again], run, settings=ONE)
    assert (stored.stored, file.stored) == (True, False)
    assert np.array_equal(stored.probabilities, file.probabilities)
    with writer_lock(store.place):  # a video that came since, from whom the feature was taken
        frames = store.tables["frames"]
        where = pc.field("take") == next(row.take for row in store.rows() if row.video_id == stored.video)
        rows = frames.scan_with_row_ids(["other", "other_norm"], where)
        nothing = {name: pa.nulls(len(rows), rows[name].type) for name in ("other", "other_norm")}
        frames.update_rows(pa.table({**nothing, "_rowid": rows["_rowid"]}))
    found = store.refresh().predict("still/*", run, settings=ONE)
    assert [(each.video_id, each.kind) for each in found.failed] == [(stored.video, "not-embedded")] and len(found) == 1


@pytest.mark.parametrize("fusion", ["image", "motion"])
def test_other_weights_at_the_same_place_are_refused(clips: Path, tmp_path: Path, fusion: Fusion) -> None:
    model = write_tiny_clip(tmp_path / "model")
    asked = {"flow": {"motion": "tower"}}  # motion boundaries would not depend on these weights
    ingest(clips, store=tmp_path / "store", model=model, label_folders=True, run=ONE, asked=asked)
    store = Store.open(tmp_path / "store")
    run = run_on(store, tmp_path / "run", fusion)
    write_clip(tmp_path / "new.mp4", render("circling", 9, 5, (96, 64)), 24.0)
    assert len(store.predict(tmp_path / "new.mp4", run, settings=ONE)) == 1
    write_tiny_clip(tmp_path / "model", seed=2)
    with pytest.raises(SettingsError, match="weights"):
        store.predict(tmp_path / "new.mp4", run, settings=ONE)
    assert len(store.predict("*", run, settings=ONE)) == 10


def test_a_run_of_other_features_or_none(store: Store, run: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "other", {"a.mp4": 5}, {"clip": 8, "moclip": 16})
    with pytest.raises(CheckpointError, match="other motion vectors"):
        other.predict("*", run, settings=ONE)
    gone = make_store(tmp_path / "gone", {"a.mp4": 5}, {"clip": 8})
    with pytest.raises(CheckpointError, match="no moclip"):
        gone.predict("*", run, settings=ONE)
    with pytest.raises(CheckpointError, match="Name the folder of a finished run"):
        store.predict("*", tmp_path / "nowhere", settings=ONE)
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / STATE).touch()
    with pytest.raises(RunError, match="is not finished"):
        store.predict("*", tmp_path / "begun", settings=ONE)


def test_what_cannot_be_meant(store: Store, run: Path) -> None:
    with pytest.raises(SourceError, match="no such file, and no such video"):
        store.predict(["long.mp4", "lon.mp4"], run, settings=ONE)
    with pytest.raises(UsageError, match="A stride is of windows"):
        store.predict("*", run, stride_s=1.0, settings=ONE)
    with pytest.raises(UsageError, match="threshold is a probability"):
        store.predict("*", run, threshold=50, settings=ONE)
    with pytest.raises(ConfigError):
        store.predict("*", run, window_s=0.0, settings=ONE)


def test_windows_shorter_than_two_frames_are_refused_with_the_rate(store: Store, run: Path, tmp_path: Path) -> None:
    """They hold one frame or none, of which a model that reads motion sees nothing."""
    with pytest.raises(ConfigError, match=r"shorter than two.*0\.05 s, at 25 stored frames a second.*at least 0\.08 s"):
        store.predict(["long.mp4", "7.mp4"], run, window_s=0.05, stride_s=0.03, settings=ONE)
    assert len(store.predict("long.mp4", run, window_s=0.08, settings=ONE)) == 1
    assert len(store.predict("0.mp4", run, window_s=0.05, settings=ONE)) == 1  # one frame, no longer than a window
    slow = make_store(tmp_path / "slow", VIDEOS)
    with writer_lock(slow.place):
        writer = StoreWriter(slow)
        writer.put(replace(writer.videos["7.mp4"], duration_s=20.0))  # most of it a pause
        writer.flush()
    found = slow.refresh().predict(["long.mp4", "7.mp4"], run, window_s=0.5, settings=ONE)
    assert len(found) == 2 and not found.failed


def test_a_slow_file_among_others_is_refused_by_itself(real: tuple[Store, Path, Path], tmp_path: Path) -> None:
    store, run, folder = real
    write_clip(tmp_path / "slow.mp4", render("still", 1, 6, (96, 64)), 2.0)
    shutil.copy(folder / "new" / "still.mp4", tmp_path / "fast.mp4")
    found = store.predict(tmp_path, run, window_s=0.5, settings=ONE)
    assert [Path(each.video).name for each in found] == ["fast.mp4"]
    (failed,) = found.failed
    assert failed.kind == "window-too-short" and "0.5 s, at 2 stored frames a second" in failed.message


def test_the_clock_of_a_player_is_kept_for_boris(store: Store, run: Path, tmp_path: Path) -> None:
    """A recording whose sound begins 1.5 s before its pictures."""
    late = Store.open(shutil.copytree(str(store.place), tmp_path / "late"))
    with writer_lock(late.place):
        writer = StoreWriter(late)
        writer.put(replace(writer.videos["long.mp4"], container_start_s=-0.5, first_frame_s=1.0))
        writer.flush()
    found = late.refresh().predict(["long.mp4", "7.mp4"], run, window_s=0.4, threshold=0.05, settings=ONE)
    assert [each.clock_offset_s for each in found] == [1.5, 0.0]
    same = store.predict("long.mp4", run, window_s=0.4, threshold=0.05, settings=ONE)
    assert found[0].bouts == same[0].bouts and found[0].bouts
    rows = list(csv.DictReader(io.StringIO(boris_rows(found, "aggregated"))))
    starts = sorted(float(row["Start (s)"]) for row in rows if row["Observation id"] == "long.mp4")
    assert starts == pytest.approx(sorted(1.5 + bout.start_s for bout in found[0].bouts))


def test_an_interruption_keeps_what_is_there_where_that_is_asked_for(
    store: Store, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vimoclip.prediction.predictor.MAX_STEPS", 1)

    class Stops(Progress):
        done = 0

        def advance(self, n: int = 1, note: str | None = None) -> None:
            self.done += n
            if self.done == 3:
                raise KeyboardInterrupt

    predictor = Predictor(store, run, ONE)
    found = predictor.predict(["*"], WindowOptions(), Stops(), keep_partial=True)
    assert (len(found), found.left) == (3, len(VIDEOS) - 3)
    with pytest.raises(KeyboardInterrupt):
        predictor.predict(["*"], WindowOptions(), Stops())


def test_classes_keep_their_order(store: Store, run: Path) -> None:
    (found,) = store.predict("long.mp4", run, settings=ONE)
    assert found.classes == ("a", "b", "c") and CONFIG.loss.name == "asymmetric"
    assert [label for label, _ in found.labels()] == sorted(
        "abc", key=lambda label: -found.probabilities["abc".index(label)]
    )
    assert found.labels(1) == found.labels()[:1]
