"""`vimoclip index` and `vimoclip search`: tables, JSON, files and errors, on a store with ids that bite."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import PIL.Image
import pytest

import vimoclip as package
from tests.cli.runner import document, vimoclip
from tests.pipelines.runs import ingest
from tests.vimoclip.searches import make_run
from vimoclip.api import Store
from vimoclip.video.contact_sheet import frames_at

HOSTILE = [
    "-dash.mp4",
    "Taï/cafe\u0301 caf\u00e9.mp4",
    "x' OR '1'='1.mp4",
    "a  b %03d [bold]:dog:.mp4",
    "new\nline.mp4",
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for name, source in zip(HOSTILE, sorted(clips.rglob("*.mp4"))[::2], strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, folder / name)
    labels = "moving", "it's [red]"
    rows = [f'"{name}",{labels[n % 2]},Taï {n % 2}' for n, name in enumerate(HOSTILE)]
    (folder / "labels.csv").write_text("\n".join(["video,label,site", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory, videos: Path, tiny_model: str) -> Path:
    where = tmp_path_factory.mktemp("cli") / "store [x]"
    ingest(videos, store=where, model=tiny_model)
    assert vimoclip("index", "--window", "500ms", "--stride", "0.1s", "--store", where).exit_code == 0
    return where


def test_index_says_what_it_did_and_what_comes_next(store: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(store, tmp_path / "store"))
    report = document("index", "--store", own)
    assert (report["known"], report["videos"], report["rebuilt"]) == (5, 0, [])
    result = vimoclip("index", "--stride", "0.2", "--store", own)
    assert result.exit_code == 0 and result.stdout == ""
    assert "the stride was 0.1 s and is 0.2 s" in result.stderr
    assert "vimoclip search" in result.stderr
    result = vimoclip("index", "--stride", "soon", "--store", own)
    assert result.exit_code == 2 and "--stride is a time" in result.stderr
    assert vimoclip("index", "--motion", "clip", "--store", own).exit_code == 1


@pytest.mark.parametrize("video_id", HOSTILE)
def test_a_span_of_every_id(store: Path, video_id: str) -> None:
    found = document("search", "--from", "0.1", "--to", "0.3", "--exclude", "nothing", "--store", store, "--", video_id)
    assert found["hits"][0]["video_id"] == video_id
    assert found["exact"] and found["by"] == {"appearance": 1.0}
    shown = vimoclip("search", "--store", store, "--top", "20", "--", video_id)
    assert shown.exit_code == 0
    for other in set(HOSTILE) - {video_id}:
        assert other.replace("\n", "\\n") in shown.stdout
    assert f"Like {video_id.splitlines()[0]}" in shown.stderr
    assert "Next: vimoclip search --from" in shown.stderr


def test_the_next_command_can_be_given_as_it_is(store: Path) -> None:
    for video_id in HOSTILE:
        said = vimoclip("search", "--label", "moving", "--videos", video_id, "--store", store).stderr
        _, *words = shlex.split(said[said.index("Next: ") + 6 :])
        assert vimoclip(*words).exit_code == 0
        assert words[-1] == video_id


def test_every_query_and_filter(store: Path, videos: Path, tmp_path: Path) -> None:
    path = videos / HOSTILE[2]
    assert document("search", "--clip", path, "--device", "cpu", "--store", store)["hits"][0]["video_id"] == HOSTILE[2]
    PIL.Image.fromarray(frames_at(path, [0.1])[0]).save(tmp_path / "frame.png")
    assert document("search", "--image", tmp_path / "frame.png", "--store", store)["hits"][0]["video_id"] == HOSTILE[2]
    assert len(document("search", "--text", "it's [red]", "--store", store)["hits"]) > 3
    found = document(
        "search", "--label", "it's [red]", "--by", "mix", "--weights", "motion=1,appearance=3", "--store", store
    )
    assert found["by"] == {"appearance": 0.75, "motion": 0.25}
    for filters, expected in (
        (["--labelled", "moving"], HOSTILE[::2]),
        (["--not-labelled", "moving"], HOSTILE[1::2]),
        (["--where", "site=Taï 1"], HOSTILE[1::2]),
        (["--where", "site=Taï 1", "--where", "site=Taï 0", "--videos", "*dash*"], HOSTILE[:1]),
        (["--videos", HOSTILE[2]], [HOSTILE[2]]),
    ):
        found = document("search", "--label", "moving", "--top", "50", *filters, "--store", store)
        assert {hit["video_id"] for hit in found["hits"]} == set(expected)


def test_no_match_is_a_plain_line(store: Path) -> None:
    result = vimoclip("search", "--label", "moving", "--min-percentile", "100", "--store", store)
    assert result.exit_code == 0
    assert result.stdout.startswith("No match for label moving")
    found = document("search", "--label", "moving", "--min-percentile", "100", "--store", store)
    assert found["hits"] == [] and found["closest"]["percentile"] < 100


def test_a_sheet_and_clips(store: Path, tmp_path: Path) -> None:
    files: list[str | Path] = ["--contact-sheet", tmp_path / "a b.png", "--clips", tmp_path / "cut"]
    found = document("search", "--label", "moving", "--top", "3", *files, "--store", store)
    with PIL.Image.open(found["contact_sheet"]) as drawn:
        assert drawn.height > 3 * 108
    assert len(found["clips"]) == len(found["hits"]) == 3
    for path in found["clips"]:
        assert cv2.VideoCapture(path).get(cv2.CAP_PROP_FRAME_COUNT) > 0
    (tmp_path / "file").write_text("")
    result = vimoclip("search", "--label", "moving", "--clips", tmp_path / "file" / "x", "--store", store)
    assert result.exit_code == 1 and "cannot be written" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["nobody.mp4"], 1, "no such video"),
        (["--from", "5", "--to", "6", "--", "-dash.mp4"], 1, "outside of -dash.mp4"),
        (["--from", "1"], 2, "A span needs a stored video"),
        ([], 2, "Nothing to search for"),
        (["--label", "grazing"], 1, "no such label"),
        (["--text", "a zebra", "--by", "motion"], 2, "appearance alone"),
        (["--label", "moving", "--split", "nowhere"], 1, "no such split"),
        (["--label", "moving", "--where", "site"], 2, "a column and its value"),
        (["--label", "moving", "--by", "mix", "--weights", "colour=1"], 2, "gives each space a weight"),
        (["--label", "moving", "--by", "mix", "--weights", "motion=lots"], 2, "gives each space a weight"),
        (["--clip", "nowhere.mp4"], 1, "no such file"),
        (["--image", "nowhere.png"], 1, "cannot be read"),
    ],
)
def test_errors_are_messages(store: Path, words: list[str], code: int, says: str) -> None:
    result = vimoclip("search", "--store", store, *words)
    assert result.exit_code == code
    assert says in result.stderr
    assert json.loads(vimoclip("search", "--json", "--store", store, *words).stdout)["error"]["message"]


def test_a_stale_index_is_said_on_stderr(store: Path, videos: Path, tmp_path: Path, tiny_model: str) -> None:
    own = Path(shutil.copytree(store, tmp_path / "store"))
    more = tmp_path / "more"
    shutil.copytree(videos, more / "again")
    data = (more / "again" / HOSTILE[0]).read_bytes()
    shutil.rmtree(more / "again")
    (more / "again").mkdir()
    (more / "again" / "new.mp4").write_bytes(data + b"\0" * 8)
    ingest(more, store=own, model=tiny_model)
    result = vimoclip("search", "--label", "moving", "--top", "50", "--store", own)
    assert "1 video came after the index was made" in result.stderr
    assert "again/new.mp4" in result.stdout


def test_a_cold_process_loads_no_torch(store: Path) -> None:
    script = f"""
import sys
from cli.main import app
try:
    app(["search", "--store", {str(store)!r}, "--from", "0", "--to", "0.2", "--", "-dash.mp4"])
except SystemExit:
    pass
print(*sys.modules)
"""
    home = Path(package.__file__).parents[1]
    printed = subprocess.run([sys.executable, "-c", script], cwd=home, capture_output=True, text=True, check=True)
    assert "Like -dash.mp4" in printed.stderr
    assert not {"torch", "open_clip", "av", "cv2", "ray", "lancedb"} & set(printed.stdout.splitlines()[-1].split())


@pytest.fixture(scope="module")
def behaved(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store with a behaviour space, of a run that is gone."""
    folder = tmp_path_factory.mktemp("behaved")
    own = Path(shutil.copytree(store, folder / "store [y]"))
    run = make_run(Store.open(own), folder / "run [z]")
    result = vimoclip("index", "--behaviour", run, "--device", "cpu", "--threads", "1", "--store", own)
    assert result.exit_code == 0
    assert "behaviour is made by the model " in result.stderr and "behaviour was not there" in result.stderr
    shutil.rmtree(run)
    return own


@pytest.mark.parametrize("video_id", HOSTILE)
def test_behaviour_and_frames_of_every_id(behaved: Path, videos: Path, video_id: str) -> None:
    own: list[str | Path] = ["--exclude", "nothing", "--store", behaved]
    found = document("search", *own, "--by", "behaviour", "--", video_id)
    assert found["hits"][0]["video_id"] == video_id and found["by"] == {"behaviour": 1.0}
    span: list[str | Path] = [*own, "--from", "0.1", "--to", "0.3"]
    assert document("search", *span, "--by", "behaviour", "--", video_id)["hits"]
    found = document("search", *span, "--unit", "frames", "--", video_id)
    assert found["unit"] == "frames" and video_id in {hit["video_id"] for hit in found["hits"]}
    clip: list[str | Path] = ["--clip", videos / video_id, "--device", "cpu", "--store", behaved]
    found = document("search", *clip, "--by", "behaviour")
    assert found["hits"][0]["video_id"] == video_id
    found = document("search", *clip, "--by", "mix", "--weights", "appearance=1,motion=1,behaviour=2")
    assert found["by"] == {"appearance": 0.25, "motion": 0.25, "behaviour": 0.5}
    assert found["hits"][0]["video_id"] == video_id


def test_errors_of_behaviour_say_what_to_do(store: Path, behaved: Path, tmp_path: Path) -> None:
    result = vimoclip("search", "--label", "moving", "--by", "behaviour", "--store", store)
    assert result.exit_code == 1 and "vimoclip index --behaviour RUN" in result.stderr
    result = vimoclip("search", "--text", "a zebra", "--by", "behaviour", "--store", behaved)
    assert result.exit_code == 2 and "appearance alone" in result.stderr
    result = vimoclip("search", "--label", "moving", "--by", "behaviour", "--unit", "frames", "--store", behaved)
    assert result.exit_code == 1 and "--unit frames" in result.stderr
    result = vimoclip("index", "--behaviour", tmp_path / "nowhere", "--store", behaved)
    assert result.exit_code == 1 and "finished run" in result.stderr
    assert document("index", "--store", behaved)["rebuilt"] == []
