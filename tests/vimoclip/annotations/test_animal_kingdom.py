"""Animal Kingdom and MammalNet: the published files' counts, names by id and not by row, and their other forms."""

import contextlib
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.labels import Span
from tests.vimoclip.annotations.files import refusal, spans, stored, workbook, write
from vimoclip.annotations import VideoAnnotations, match, read
from vimoclip.errors import LabelError

pytestmark = pytest.mark.slow

NAMES = "id,name\n0,Abseiling\n2,Chirping\n1,Attacking\n"  # not in the order of the ids
WHOLE = (float("-inf"), float("inf"))


@pytest.mark.parametrize(
    ("name", "split", "clips", "labels", "most"),
    [
        ("animal_kingdom/train_multi.txt", "train", 24_004, 51_973, 12),
        ("animal_kingdom/val_multi.txt", "val", 6_096, 12_931, 12),
        ("mammalnet/mn_train.csv", "train", 14_554, 14_554, 1),
        ("mammalnet/mn_val.csv", "val", 1_638, 1_638, 1),
        ("mammalnet/mn_test.csv", "test", 3_841, 3_841, 1),
    ],
)
def test_the_published_lists(
    shared_annotations: Path, name: str, split: str, clips: int, labels: int, most: int
) -> None:
    annotations = read(shared_annotations / name)
    counts = [len(video.labels) for video in annotations.videos]
    assert (len(counts), sum(counts), max(counts)) == (clips, labels, most)
    assert {video.split for video in annotations.videos} == {split}
    classes = {label.label for video in annotations.videos for label in video.labels}
    assert len(classes) == {"mn_": 12, "tra": 140, "val": 127}[name.rpartition("/")[2][:3]]  # 13 have no val positives


def test_published_names_follow_ids_and_not_rows(shared_annotations: Path) -> None:
    folder = shared_annotations / "animal_kingdom"
    rows = (folder / "ak_action.csv").read_text().splitlines()[1:]
    assert [row.split(",")[0] for row in rows[49:51]] == ["50", "49"]
    names = dict(row.split(",", 1) for row in rows)
    read_as = {video.name: [label.label for label in video.labels] for video in read(folder / "train_multi.txt").videos}
    wrong = 0
    for line in (folder / "train_multi.txt").read_text().splitlines():
        clip, *ids = line.split()
        wrong += read_as[clip] != [names[each] for each in ids]
    assert wrong == 0


def test_the_published_workbook(shared_annotations: Path, tmp_path: Path) -> None:
    folder = shared_annotations / "animal_kingdom"
    annotations = read(folder / "AR_metadata.xlsx")
    assert Counter(video.split for video in annotations.videos) == {"train": 24_004, "test": 6_096}
    lists = [video for split in ("train", "val") for video in read(folder / f"{split}_multi.txt").videos]
    assert {video.name: set(video.labels) for video in annotations.videos} == {
        video.name: set(video.labels) for video in lists
    }
    species = {video.name: video.metadata.get("species") for video in annotations.videos}
    assert species["AAACXZTV.mp4"] == "Common Crane"
    assert species["AACJGIQR.mp4"] == "Mongoose; Black Mamba"
    assert species["BEGOPIKV.mp4"] == "Fish; Portugese Man O'War"  # a list of texts that hold lists
    assert sum(value is None for value in species.values()) == 1
    # Alone, it names its classes itself, though one of them has lost its id there.
    (tmp_path / "AR_metadata.xlsx").write_bytes((folder / "AR_metadata.xlsx").read_bytes())
    alone = read(tmp_path / "AR_metadata.xlsx")
    assert alone.videos == annotations.videos
    assert "Yawning" in {label.label for video in alone.videos for label in video.labels}


def test_a_list(tmp_path: Path) -> None:
    write(tmp_path, "ak_action.csv", NAMES)
    path = write(tmp_path, "val_multi.txt", " AAUJMBXG.mp4          1 2\n\n\tAAAUILHH.mp4  2\r\nAAUJMBXG.mp4 0\n")
    assert read(path).videos == (
        VideoAnnotations("AAUJMBXG.mp4", tuple(map(Span, ["Attacking", "Chirping", "Abseiling"])), "val"),
        VideoAnnotations("AAAUILHH.mp4", (Span("Chirping"),), "val"),
    )


def test_folders_of_the_data_set_need_not_be_in_the_store(tmp_path: Path) -> None:
    write(tmp_path, "mn_action.csv", NAMES)
    annotations = read(write(tmp_path, "mn_test.csv", "trimmed_videos/a.mp4 1\ntrimmed_videos/b.mp4 2\n"))
    matched = match(annotations, stored({"a.mp4": "/x/a.mp4", "mammals/trimmed_videos/b.mp4": "/y/b.mp4"}))
    assert [(label.video_id, label.label) for label in matched.labels] == [
        ("a.mp4", "Attacking"),
        ("mammals/trimmed_videos/b.mp4", "Chirping"),
    ]
    assert matched.splits == {"a.mp4": "test", "mammals/trimmed_videos/b.mp4": "test"}
    assert match(annotations, stored({"s/a.mp4": "/x", "t/a.mp4": "/y"})).ambiguous == ["trimmed_videos/a.mp4"]


FULL = (
    'original_vido_id video_id frame_id path labels\nAAUJMBXG 0 0 AAUJMBXG/1.jpg "1,2"\n'
    'AAUJMBXG 0 1 AAUJMBXG/2.jpg "1,2"\nAAAUILHH 1 0 AAAUILHH/1.jpg "0"\nAAUJMBXG 0 2 AAUJMBXG/3.jpg "2,1"\n'
)
LIGHT = "original_vido_id;video_id;labels\nAAUJMBXG;0;1,2\nAAAUILHH;1;0\n"


@pytest.mark.parametrize(
    "text", [FULL, FULL.replace("\n", "\r\n"), "\ufeff" + FULL, "\ufeff \n" + FULL, LIGHT, LIGHT.replace("0;1", "0; 1")]
)
def test_a_row_a_frame_is_folded_to_an_entry_a_clip(tmp_path: Path, text: str) -> None:
    write(tmp_path, "ak_action.csv", NAMES)
    assert read(write(tmp_path, "train.csv", text)).videos == (
        VideoAnnotations("AAUJMBXG.mp4", (Span("Attacking"), Span("Chirping")), "train"),
        VideoAnnotations("AAAUILHH.mp4", (Span("Abseiling"),), "train"),
    )


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "train_multi.txt",
            "a.mp4 1\na.mp4 3\nnonsense\n",
            ["line 2: no class 3 in ak_action.csv", "line 3: 'nonsense'"],
        ),
        ("train.csv", FULL + 'x 2 0 x/1.jpg "1,7"\nx\n', ["line 6: no class '7'", "line 7: 'x'", "problems: 2"]),
        ("train.csv", FULL + 'x 2 0 x/1.jpg "1\n', ["cannot be read", "end of data"]),
    ],
)
def test_refusals_name_the_lines(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    write(tmp_path, "ak_action.csv", NAMES)
    message = refusal(write(tmp_path, name, text))
    assert [part for part in [name, *expected] if part not in message] == []


@pytest.mark.parametrize(
    ("name", "text", "file"),
    [
        ("train_multi.txt", "a.mp4 1\n", "ak_action.csv"),
        ("mn_val.csv", "trimmed_videos/a.mp4 1\n", "mn_action.csv"),
        ("val.csv", FULL, "ak_action.csv"),
    ],
)
def test_missing_class_names_say_where_they_belong(tmp_path: Path, name: str, text: str, file: str) -> None:
    message = refusal(write(tmp_path, name, text))
    assert f"Put it at {tmp_path / file}." in message
    write(tmp_path, file, "id,name\n1,x\n1,y\nz,x\n")
    assert [part for part in ("line 3: class 1 is 'x' and 'y'", "line 4") if part not in refusal(tmp_path / name)] == []
    write(tmp_path, file, "name\nx\n")
    assert "does not hold class names" in refusal(tmp_path / name)
    write(tmp_path, file, "")
    assert "does not hold class names" in refusal(tmp_path / name)


AR = ("S/N", "video_id", "type", "labels", "list_animal_action")


def test_workbooks(tmp_path: Path) -> None:
    rows = [AR, (1, "AAUJMBXG", "test", 1, "[('Crow', 'Attacking')]"), (2, "AAAUILHH", "train", "0,1", None)]
    actions = [("Label", "Category", "Action"), (1, "x", "Attacking"), ("#N/A", "x", "Abseiling"), (2, "y", "Chirping")]
    path = workbook(tmp_path / "AR_metadata.xlsx", AR=rows, Action=actions)
    assert read(path).videos == (
        VideoAnnotations("AAUJMBXG.mp4", (Span("Attacking"),), "test", {"species": "Crow"}),
        VideoAnnotations("AAAUILHH.mp4", (Span("Abseiling"), Span("Attacking")), "train"),
    )
    assert "Put ak_action.csv" in refusal(workbook(path, AR=rows))
    bad = [AR, (1, "a", "train", "9", "[('Crow',"), (2, None, "train", "1", None), (3, "b", "train", "1", "[()]")]
    message = refusal(workbook(path, AR=bad, Action=actions))
    expected = ("line 2: no class '9'", "list_animal_action", "line 3: no video_id", "line 4: list_animal_action")
    assert [part for part in expected if part not in message] == []
    nameless = [*actions[:-1], (2, "y", None)]
    assert "line 2: no class '2'" in refusal(workbook(path, AR=[AR, (1, "a", "train", 2, None)], Action=nameless))
    own = workbook(
        tmp_path / "labels.xlsx", Sheet=[("filepath", "label", "start", "end", "site"), ("a.mp4", "x", 1, 2.5, 7)]
    )
    assert read(own).videos == (VideoAnnotations("a.mp4", (Span("x", 1.0, 2.5),), None, {"site": "7"}),)
    assert "is empty" in refusal(workbook(tmp_path / "empty.xlsx", Sheet=[]))
    assert "is not an Excel workbook" in refusal(write(tmp_path, "text.xlsx", "filepath,label\n"))
    assert "cannot be read" in refusal(tmp_path / "none.xlsx")


@given(
    st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_-]{1,8}", fullmatch=True),
        st.lists(st.integers(0, 2), min_size=1, unique=True),
        min_size=1,
    ),
    st.sampled_from(["list", "full", "light"]),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(tmp_path: Path, clips: dict[str, list[int]], form: str) -> None:
    write(tmp_path, "ak_action.csv", NAMES)
    if form == "list":
        text = "".join(f"{name}.mp4   {' '.join(map(str, ids))}\n" for name, ids in clips.items())
    else:
        between, frames = (" ", 3) if form == "full" else (";", 1)
        rows = [(name, at, f'"{",".join(map(str, ids))}"') for name, ids in clips.items() for at in range(frames)]
        header = ("original_vido_id", "frame_id", "labels")
        text = "".join(between.join(map(str, row)) + "\n" for row in (header, *rows))
    names = ["Abseiling", "Attacking", "Chirping"]
    assert spans(read(write(tmp_path, "train.csv", text))) == {
        f"{name}.mp4": [(names[each], *WHOLE) for each in ids] for name, ids in clips.items()
    }


@given(st.binary(max_size=200), st.sampled_from(["x.csv", "x_multi.txt", "x.xlsx"]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_read_or_refused(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with contextlib.suppress(LabelError):
        read(tmp_path / name)
