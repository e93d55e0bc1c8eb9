"""The benchmark of changed files: what it changes, and that it ranks."""

from pathlib import Path

from benchmarks.quality.file_query import change, chosen, found
from tests.vimoclip.awkward import write
from vimoclip.config.store import RunConfig, Sampling
from vimoclip.frames import VideoDone
from vimoclip.video.decode import decode


def test_three_fifths_half_as_large(tmp_path: Path) -> None:
    write(tmp_path / "a.mp4")
    change(tmp_path / "a.mp4", tmp_path / "b.mp4")
    (info,) = (event.info for event in decode(tmp_path / "b.mp4", Sampling()) if isinstance(event, VideoDone))
    assert (info.width, info.height, info.decoded_frames) == (32, 24, 15)


def test_it_ranks_every_clip(tmp_path: Path, clips: Path, tiny_model: str) -> None:
    files = chosen(clips, 3)
    assert len(files) == 3 and chosen(clips, 3) == files
    settings = {"clip": {"model": tiny_model, "precision": "fp32"}, "flow": {"estimator": "frame-difference"}}
    ranks = found(tmp_path, files, settings, RunConfig(threads=1))
    assert len(ranks) == 3 and all(0 <= rank <= 3 for rank in ranks)
    assert 1 in ranks
