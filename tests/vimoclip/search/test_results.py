"""Hits in a notebook and on a sheet: frames of each, and nothing that an id or a label could break."""

import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.vimoclip.awkward import write
from vimoclip.errors import ConfigError
from vimoclip.search.results import Hit, Hits, cannot_be_shown, export_clips, sheet, strip
from vimoclip.video.contact_sheet import FRAME_HEIGHT
from vimoclip.video.files import StoredFile, content_hash


@pytest.fixture
def hits(tmp_path: Path) -> Hits:
    write(tmp_path / "a.mp4")
    bad = '<script>alert("x")</script> & \'.mp4'
    found = (
        Hit(bad, 0.2, 1.4, 0.9, 99.5, ("<i>run</i>", "zebra"), (0.2, 1.2), None, str(tmp_path / "a.mp4")),
        Hit("gone.mp4", 0.0, 2.0, 0.8, None, (), (0.0, 2.0), "val", str(tmp_path / "gone.mp4")),
    )
    return Hits('"<b>"', {"appearance": 1.0}, found, 7, True, (0.9, 99.5), ("run `vimoclip index` & so on",))


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_html_shows_frames_and_reads_no_id_as_markup(hits: Hits) -> None:
    page = hits._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert set(tags.found) == {"p", "table", "tr", "td", "b", "br", "img"}
    assert tags.found.count("img") == 6 and tags.found.count("tr") == 2
    assert hits[0].video_id in tags.text and "<i>run</i>" in tags.text and "vimoclip index" in tags.text
    assert "its file is gone" in tags.text
    (first, *_) = re.findall(r"base64,([^\"]+)\"", page)
    assert PIL.Image.open(io.BytesIO(base64.b64decode(first))).size == (FRAME_HEIGHT * 64 // 48, FRAME_HEIGHT)


def test_a_hit_whose_file_has_other_content_is_not_shown(tmp_path: Path) -> None:
    """Another card was put where the file lay: its pictures are not what was found."""
    write(tmp_path / "a.mp4")
    status = (tmp_path / "a.mp4").stat()
    digest = content_hash(str(tmp_path / "a.mp4"))
    file = StoredFile(str(tmp_path / "a.mp4"), status.st_size, status.st_mtime_ns, digest)
    hit = Hit("a.mp4", 0.2, 1.4, 0.9, 99.5, (), (0.2, 1.2), None, file.path, file)
    hits = Hits("x", {}, (hit, hit), 7, True, None, ())
    assert cannot_be_shown(hits) == []
    assert len(strip(hit).frames) == 6
    write(tmp_path / "a.mp4", 20)
    assert cannot_be_shown(hits) == [("a.mp4", "The file has changed since it was stored; ingest its folder first.")]
    made = strip(hit)
    assert (made.frames, made.note) == ([], "0.900, above 99.50% of random pairs; its file has other content now")
    written, without = export_clips(hits, tmp_path / "clips")
    assert written == [] and [video_id for video_id, _ in without] == ["a.mp4", "a.mp4"]
    assert set(hits.to_dict()["hits"][0]) == {
        *("video_id", "start_s", "end_s", "score", "percentile", "labels", "best_s", "split", "path")
    }


def test_a_strip_and_a_sheet(hits: Hits) -> None:
    made = strip(hits[0])
    assert len(made.frames) == 6
    assert made.title.endswith("0.20 s to 1.40 s")
    assert made.note == "0.900, above 99.50% of random pairs, <i>run</i>, zebra"
    assert strip(hits[1]).frames == []
    drawn = sheet(hits)
    assert drawn.dtype == np.uint8 and drawn.shape[2] == 3
    with pytest.raises(ConfigError):
        sheet(Hits("x", {}, (), 0, True, None, ()))
