"""Label files: known answers, hostile names, and errors that name the line."""

import csv
import io
import math
import os
import time
import unicodedata
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.labels import Label, Span
from tests.vimoclip.annotations.files import stored as paths
from vimoclip.annotations import (
    FOLDERS,
    Annotations,
    KnownVideo,
    VideoAnnotations,
    find_labels,
    from_folders,
    match,
)
from vimoclip.annotations import read as read_file
from vimoclip.annotations.record import normalised, present
from vimoclip.errors import LabelError

INTERACTIONS = Path(__file__).resolve().parents[4] / "shared" / "videos" / "interactions"
HOSTILE = [
    "Taï_T124.mp4",
    "x' OR '1'='1",
    'say "cheese".avi',
    "two words/and more.mp4",
    "-rf.mp4",
    "a,b;c.mp4",
    "new\nline.mp4",
    "%s{0}.mp4",
    "猿/雌 01.mp4",
]


def write(folder: Path, text: str, *, name: str = "labels.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode("utf-8"))
    return path


def read(folder: Path, text: str) -> tuple[VideoAnnotations, ...]:
    return read_file(write(folder, text)).videos


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(LabelError) as caught:
        read_file(write(folder, text))
    assert "labels.csv" in str(caught.value)
    return str(caught.value)


def named(*names: str, folder: Path | None = Path("/data")) -> Annotations:
    return Annotations("labels.csv", folder, tuple(VideoAnnotations(name, (Span("x"),)) for name in names))


def stored(*video_ids: str, root: str = "/videos") -> dict[str, KnownVideo]:
    return {video_id: KnownVideo(f"{root}/{video_id}") for video_id in video_ids}


def test_labels_split_spans_and_metadata(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        " FilePath ,LABEL,Split,start_s,end_s,Site,\n"
        "a.mp4,groom; feed ;;,train,,,Goualougo,1\n"
        "a.mp4,feed,,1.5,3,,2\n"
        "\n"
        "b.mp4,,val,,, ,3\n"
        "c.mp4\n",
    )
    assert read_file(path) == Annotations(
        "labels.csv",
        tmp_path.resolve(),
        (
            VideoAnnotations(
                "a.mp4",
                (Span("groom"), Span("feed"), Span("feed", 1.5, 3.0)),
                "train",
                {"site": "Goualougo"},
            ),
            VideoAnnotations("b.mp4", (), "val", {}),
            VideoAnnotations("c.mp4", (), None, {}),
        ),
    )


@pytest.mark.parametrize("name", ["filepath", "path", "file", "video", "video_id", "filename", " FileName "])
def test_names_of_the_video_column(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, f"label,{name}\nrest,a.mp4\n") == (VideoAnnotations("a.mp4", (Span("rest"),)),)


@pytest.mark.parametrize("end", ["end_s", "stop_s", "end", "stop"])
@pytest.mark.parametrize("start", ["start_s", "start"])
def test_names_of_the_time_columns(tmp_path: Path, start: str, end: str) -> None:
    (video,) = read(tmp_path, f"filepath,label,{end},{start}\na.mp4,rest,2,0.5\n")
    assert video == VideoAnnotations("a.mp4", (Span("rest", 0.5, 2.0),))


def test_of_two_names_for_a_column_the_first_listed_is_used(tmp_path: Path) -> None:
    (video,) = read(tmp_path, "video_id,path,label,start,start_s,end_s\n7,a.mp4,rest,30,1,2\n")
    assert video == VideoAnnotations("a.mp4", (Span("rest", 1.0, 2.0),), None, {"video_id": "7", "start": "30"})


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_marks_and_line_ends(tmp_path: Path, delimiter: str, bom: str, newline: str) -> None:
    rows = [["filepath", "label", "split"], ["a.mp4", '"eat;drink"', "train"], ["b.mp4", '"x, y"', "val"]]
    videos = read(tmp_path, bom + newline.join(delimiter.join(row) for row in rows))
    assert videos == (
        VideoAnnotations("a.mp4", (Span("eat"), Span("drink")), "train"),
        VideoAnnotations("b.mp4", (Span("x, y"),), "val"),
    )


def test_more_semicolons_in_cells_than_commas_do_not_change_the_delimiter(tmp_path: Path) -> None:
    (video,) = read(tmp_path, "filepath,label\na.mp4,a;b;c;d;e;f\n")
    assert [each.label for each in video.labels] == list("abcdef")


def test_blank_before_a_quote(tmp_path: Path) -> None:
    assert read(tmp_path, 'filepath, label\na.mp4, "x, y"\n')[0].labels == (Span("x, y"),)


def test_a_header_alone_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "filepath,label\n") == ()


def test_repeated_labels_count_once_and_negative_zero_is_zero(tmp_path: Path) -> None:
    (video,) = read(tmp_path, "filepath,label,start,end\na,x;x,-0.0,1\na,x,0,1.0\na,x,,\na,x,2,2\n")
    assert video.labels == (Span("x", 0.0, 1.0), Span("x"), Span("x", 2.0, 2.0))
    assert math.copysign(1, video.labels[0].start_s) == 1


@pytest.mark.parametrize(
    ("cells", "wrong"),
    [
        ("1,", "'1' and end ''"),
        (",1", "'' and end '1'"),
        ("2,1.5", "wrong order"),
        ("-1,2", "negative"),
        ("1,inf", "not finite"),
        ("nan,2", "'nan' and end '2'"),  # R and pandas write what is missing so
        ("-inf,2", "not finite"),
        ("0:61,2", "not two numbers"),  # and 0:01 is one second
        ("1:2:3:4,2", "not two numbers"),
        ('"1,5",2', "'1,5'"),
    ],
)
def test_impossible_spans_name_the_line(tmp_path: Path, cells: str, wrong: str) -> None:
    message = refusal(tmp_path, f'filepath,label,start,stop\n"a\nb",x,0,1\na,x,{cells}\n')
    assert "line 4: " in message
    assert wrong in message
    assert "problems: 1." in message


def test_five_problems_are_shown_and_all_counted(tmp_path: Path) -> None:
    message = refusal(tmp_path, "filepath,label,start,end\n" + "a,x,1,\n" * 7)
    assert [f"line {line}: " in message for line in range(1, 10)] == [False] + [True] * 5 + [False] * 3
    assert "problems: 7." in message
    assert "and 2 more" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("path,label,split\na,x,train\nb,x,val\na,y,val\n", ["line 2 and line 4", "split", "'train'", "'val'"]),
        ("path,label,Site\na,x,\na,x,Lopé\na,y,Salonga\n", ["line 3 and line 4", "site", "'Lopé'", "'Salonga'"]),
        ("path,label,start,end\na,x,1,2\na,x,1,3\n", ["line 2 and line 3", "'x'", "1.0", "2.0", "3.0"]),
        ("path,label\na,x,y,z\n", ["line 2", "4 cells", "2 columns"]),
        ("path,label\na,x\n ,y\n", ["line 3", "no filepath"]),
        ("path,split\na,train\n", ["lacks a required column", "'path', 'split'", "line 1", "label"]),
        ("\nname;label\na;x\n", ["lacks a required column", "'name', 'label'", "line 2", "filepath, path"]),
        ("path,label,Site,site\n", ["two columns called 'site'", "line 1"]),
        ('path,label\na,x\nb,"y\nc,z\n', ["not CSV", "line 3", "quote"]),
        ('path,label\na,x\nb,"y"z\n', ["not CSV", "line 3"]),
        ("", ["is empty"]),
        ("\ufeff \n,,\n", ["is empty"]),
    ],
)
def test_refusals_say_what_and_where(tmp_path: Path, text: str, expected: list[str]) -> None:
    message = refusal(tmp_path, text)
    assert [part for part in expected if part not in message] == []


def test_not_utf8_names_byte_and_line(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes("filepath,label\r\na.mp4,x\r\nTaï.mp4,x\r\n".encode("latin-1"))
    with pytest.raises(LabelError, match=r"byte 0xef at position 27, on line 3.*UTF-8"):
        read_file(path)
    path.write_bytes(b"\xff\xfea")  # UTF-16, as Excel writes `Unicode Text`, cut within a letter
    with pytest.raises(LabelError, match=r"UTF-16 text.*on line 1"):
        read_file(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(LabelError, match="cannot be read"):
            read_file(path)


def test_hostile_names_survive_and_match(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("filepath", "label"), *((name, name) for name in HOSTILE)])
    annotations = read_file(path)
    assert [video.name for video in annotations.videos] == HOSTILE
    matched = match(annotations, stored(*reversed(HOSTILE)))
    assert matched.videos == HOSTILE
    assert matched.unknown == matched.ambiguous == []
    plain = [name for name in HOSTILE if ";" not in name]
    assert [each.label for each in matched.labels if each.label == each.video_id] == plain


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip),
        st.tuples(
            st.lists(
                st.tuples(
                    st.text(st.characters(exclude_categories=["Cs"], exclude_characters=";"), min_size=1)
                    .map(normalised)
                    .filter(present),  # labels are stored in NFC, and `-` says that there is none
                    st.one_of(
                        st.just((-math.inf, math.inf)),
                        st.tuples(*[st.floats(0, 1e6, allow_subnormal=False)] * 2).map(
                            lambda ends: tuple(sorted(ends))
                        ),
                    ),
                ),
                unique_by=lambda each: (each[0], each[1][0] + 0.0),
                max_size=3,
            ),
            st.sampled_from([None, "train", "val"]),
            st.sampled_from([{}, {"site": "Taï"}, {"site": 'a,"b"\n;c'}]),
        ),
        max_size=4,
    ),
    st.sampled_from(",;\t"),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_round_trip(
    tmp_path: Path,
    videos: dict[str, tuple[list[tuple[str, tuple[float, float]]], str | None, dict[str, str]]],
    delimiter: str,
) -> None:
    text = io.StringIO()
    # Everything quoted: a blank before a cell that is not quoted is dropped.
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["filepath", "label", "split", "start_s", "end_s", "site"])
    expected = []
    for name, (labels, split, metadata) in videos.items():
        facts = (split or "", metadata.get("site", ""))
        writer.writerow([name, "", facts[0], "", "", facts[1]])
        for label, (start, end) in labels:
            span = ("", "") if start == -math.inf else (repr(start), repr(end))
            writer.writerow([name, label, facts[0], *span, facts[1]])
        expected.append(VideoAnnotations(name, tuple(Span(x, *span) for x, span in labels), split, metadata))
    assert read(tmp_path, text.getvalue()) == tuple(expected)


def test_folder_per_class() -> None:
    annotations = from_folders(["punch/a.mp4", "b.mp4", "site; 1/Taï's/c.mp4", "punch/a.mp4"])
    assert annotations == Annotations(
        FOLDERS,
        None,
        (
            VideoAnnotations("punch/a.mp4", (Span("punch"),)),
            VideoAnnotations("b.mp4"),
            VideoAnnotations("site; 1/Taï's/c.mp4", (Span("Taï's"),)),
        ),
    )
    matched = match(annotations, stored("punch/a.mp4", "b.mp4", "site; 1/Taï's/c.mp4"))
    assert matched.videos == ["punch/a.mp4", "b.mp4", "site; 1/Taï's/c.mp4"]
    assert [(each.video_id, each.label, each.source, each.whole_video) for each in matched.labels] == [
        ("punch/a.mp4", "punch", FOLDERS, True),
        ("site; 1/Taï's/c.mp4", "Taï's", FOLDERS, True),
    ]


@pytest.mark.parametrize(
    ("name", "known", "video_id"),
    [
        ("a.mp4", {"a.mp4": "/x/1", "b": "/data/a.mp4", "s/a.mp4": "/x/2"}, "b"),
        ("a.mp4", {"a.mp4": "/x/1", "s/a.mp4": "/x/2"}, "a.mp4"),
        ("a.mp4", {"s/a.mp4": "/x/2", "ba.mp4": "/x/3"}, "s/a.mp4"),
        ("../in/./a.mp4", {"b": "/in/a.mp4", "in/a.mp4": "/x"}, "b"),
        ("/y/../in/a.mp4", {"b": "/in/a.mp4"}, "b"),
        ("./s//a.mp4", {"s/a.mp4": "/x"}, "s/a.mp4"),
        ("s\\a.mp4", {"s\\a.mp4": "/x", "s/a.mp4": "/y"}, "s\\a.mp4"),
        ("s\\a.mp4", {"s/a.mp4": "/y", "t/s/a.mp4": "/z"}, "s/a.mp4"),
        ("s\\a.mp4", {"b": "/data/s/a.mp4"}, "b"),
        ("s\\a.mp4", {"t/s/a.mp4": "/z"}, "t/s/a.mp4"),
        ("a.mp4 ", {"a.mp4": "/x"}, "a.mp4"),
        ("a.mp4", {" a.mp4": "/x"}, " a.mp4"),
    ],
)
def test_order_of_the_matching_rules(name: str, known: dict[str, str], video_id: str) -> None:
    for order in (known, dict(reversed(known.items()))):
        matched = match(named(name), paths(order))
        assert (matched.videos, matched.unknown, matched.ambiguous) == ([video_id], [], [])
        assert matched.labels == [Label(video_id=video_id, label="x", source="labels.csv")]


def test_unknown_and_ambiguous_names() -> None:
    known = {"s/a.mp4": "/x/1", "t/a.mp4": "/x/2", "c": "/data/one.mp4", "d": "/data/one.mp4"}
    matched = match(named("a.mp4", "none.mp4", "/s/a.mp4", "t/a.mp4", "p4", "one.mp4", "", "."), paths(known))
    assert matched.ambiguous == ["a.mp4", "one.mp4"]
    assert matched.unknown == ["none.mp4", "/s/a.mp4", "p4", "", "."]
    assert matched.videos == ["t/a.mp4"]


def test_without_a_folder_a_relative_name_is_no_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert match(named("a.mp4", folder=None), paths({"b": str(tmp_path / "a.mp4")})).unknown == ["a.mp4"]
    assert match(named(str(tmp_path / "a.mp4"), folder=None), paths({"b": str(tmp_path / "a.mp4")})).videos == ["b"]


def test_unicode_is_compared_exactly_first() -> None:
    composed, decomposed = unicodedata.normalize("NFC", "s/Taï.mp4"), unicodedata.normalize("NFD", "s/Taï.mp4")
    assert composed != decomposed
    both = stored(composed, decomposed)
    assert match(named(decomposed, composed), both).videos == [decomposed, composed]
    for stored_as, written in ((composed, decomposed), (decomposed, composed)):
        for name in (written, written[2:], f"/videos/{written}"):
            assert match(named(name), stored(stored_as)).videos == [stored_as]
    # Two marks in either order are one text in NFC; the third spelling is neither of the two stored.
    known = stored("q\u0307\u0323", "\u0071\u0323\u0307 ")
    assert match(named(" q\u0323\u0307 "), known).ambiguous == [" q\u0323\u0307 "]


def test_two_names_of_one_video_merge() -> None:
    first = VideoAnnotations("a.mp4", (Span("x"),), None, {"site": "Lopé"})
    second = VideoAnnotations("/videos/a.mp4", (Span("x"), Span("y", 1.0, 2.0)), "val", {"sex": "f"})
    matched = match(Annotations("labels.csv", None, (first, second)), stored("a.mp4"))
    assert matched.videos == ["a.mp4"]
    assert matched.labels == [
        Label(video_id="a.mp4", label="x", source="labels.csv"),
        Label(video_id="a.mp4", label="y", source="labels.csv", start_s=1.0, end_s=2.0),
    ]
    assert matched.splits == {"a.mp4": "val"}
    assert matched.metadata == {"a.mp4": {"site": "Lopé", "sex": "f"}}
    clash = VideoAnnotations("/videos/a.mp4", (), None, {"site": "Salonga"})
    with pytest.raises(LabelError, match=r"'a\.mp4' and '/videos/a\.mp4' set site to 'Lopé' and 'Salonga'"):
        match(Annotations("labels.csv", None, (first, clash)), stored("a.mp4"))


def test_matching_takes_linear_time_when_every_basename_is_the_same() -> None:
    names = [f"{site:05d}/0001.mp4" for site in range(15_000)]
    start = time.process_time()
    matched = match(named(*names), stored(*(f"camera/{name}" for name in names)))
    assert len(matched.videos) == len(names)
    assert time.process_time() - start < 3  # comparing each with each takes more than half a minute


def test_find_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "study" / "videos"
    root.mkdir(parents=True)
    assert find_labels(root) is None
    beside = write(root.parent, "x")
    assert find_labels(root) == beside
    monkeypatch.chdir(root)
    assert find_labels(Path()) == beside
    inside = write(root, "x")
    assert find_labels(root) == inside
    assert find_labels(root / os.pardir) == beside


@pytest.mark.skipif(not INTERACTIONS.exists(), reason="the shared videos are not here")
def test_the_interactions_file() -> None:
    path = find_labels(INTERACTIONS / "clips")
    assert path == INTERACTIONS / "labels.csv"
    annotations = read_file(path)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(annotations.videos) == 60
    for known in (
        {row["filepath"]: f"/elsewhere/{row['filepath']}" for row in rows},
        {row["filepath"][len("clips/") :]: str(path.absolute().parent / row["filepath"]) for row in rows},
        {f"ut/{row['filepath']}": f"/elsewhere/{row['filepath']}" for row in rows},
    ):
        matched = match(annotations, paths(known))
        assert matched.videos == list(known)
        assert [each.label for each in matched.labels] == [row["label"] for row in rows]
        assert list(matched.splits.values()) == [row["split"] for row in rows]
        assert matched.unknown == matched.ambiguous == []
        assert matched.metadata == {}
