"""What is written is what users have: videos that decode, and a label file that is read back as it was meant."""

from pathlib import Path

import av
import numpy as np
import pytest

from vimoclip.annotations import read
from vimoclip.errors import ConfigError
from vimoclip.savannah import FPS, SIZE, plan, write_folder


def test_a_folder(tmp_path: Path) -> None:
    behaviours = ("getting up", "following")
    scenes = write_folder(tmp_path / "new" / "clips", 3, seed=4, behaviours=behaviours)
    assert scenes == plan(3, 4, behaviours)
    videos = {video.name: video for video in read(tmp_path / "new" / "clips" / "labels.csv").videos}
    assert list(videos) == [f"{scene.name}.mp4" for scene in scenes]
    for scene in scenes:
        video = videos[f"{scene.name}.mp4"]
        assert [label.label for label in video.labels] == [span.label for span in scene.spans]
        for label, span in zip(video.labels, scene.spans, strict=True):
            assert (label.start_s, label.end_s) == pytest.approx((span.start_s, span.end_s), abs=1e-5)
        assert video.split == scene.split
        assert video.metadata == {
            "species": "; ".join(scene.species),
            "habitat": scene.habitat,
            "light": scene.light,
            "weather": scene.weather,
            "camera": scene.camera,
            "caption": scene.caption,
        }
    with av.open(str(tmp_path / "new" / "clips" / f"{scenes[0].name}.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", *SIZE)
        assert stream.average_rate == FPS
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    drawn = list(scenes[0].frames())
    assert len(decoded) == len(drawn)
    assert np.abs(np.stack(decoded).astype(int) - np.stack(drawn)).mean() < 6


def test_an_unknown_behaviour_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        write_folder(tmp_path / "clips", 2, behaviours=("barking",))
    assert not (tmp_path / "clips").exists()
