"""npz files, read back by numpy without pickles; a file a video, whatever it is called."""

import json
import math
import unicodedata
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipelines.export.npz import file_name
from pipelines.export.run import run
from pipelines.export.selection import Query
from tests.pipelines.export.scene import DIMS, GAPPED, HOSTILE, LATE, bits, expected
from vimoclip.errors import ExportError
from vimoclip.store.feature_store import FeatureStore


@pytest.fixture(scope="module")
def exported(store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("npz") / "out"
    run(store.place, out, "npz")
    return out


def load(folder: Path, video_id: str) -> dict[str, np.ndarray]:
    with np.load(folder / "videos" / file_name(video_id)) as arrays:  # allow_pickle is False
        return dict(arrays)


def test_every_video_is_there_with_the_stores_very_values(store: FeatureStore, exported: Path) -> None:
    for video_id in HOSTILE:
        arrays, rows = load(exported, video_id), store.sequence(video_id)
        assert arrays["video_id"].item() == video_id
        for name in ("frame_index", "source_frame", "time_s"):
            assert bits(arrays[name]) == bits(rows[name].to_numpy())
        for name in ("clip", "moclip", "bio"):
            vectors, norms, present = expected(store, video_id, name)
            assert arrays[name].dtype == np.float16
            assert arrays[name].shape == (rows.num_rows, DIMS[name])
            assert bits(arrays[name]) == bits(vectors)
            assert bits(arrays[f"{name}_norm"]) == bits(norms)
            assert arrays[f"{name}_norm"].dtype == np.float32
            assert arrays[f"{name}_present"].tolist() == present.tolist()
        speeds = [math.nan if speed is None else speed for speed in rows["flow_speed"].to_pylist()]
        np.testing.assert_array_equal(arrays["flow_speed"], np.array(speeds, np.float32))
        assert arrays["flow_speed"].dtype == np.float32
        assert "hidden" not in arrays


def test_what_is_absent_is_marked(exported: Path) -> None:
    assert np.flatnonzero(~load(exported, GAPPED)["bio_present"]).tolist() == [0, 4, 8]
    late = load(exported, LATE)
    assert not late["bio_present"].any()
    assert not late["bio"].any()
    assert late["moclip_present"].tolist() == [False, True, True, True]
    assert np.isnan(late["flow_speed"]).tolist() == [True, False, False, False]


def test_labels_are_spans_and_those_of_a_whole_video_hold_at_every_time(store: FeatureStore, exported: Path) -> None:
    stored = sorted((x.video_id, x.start_s, x.label, x.end_s) for x in store.label_rows())
    found = []
    for video_id in sorted(HOSTILE):
        arrays = load(exported, video_id)
        of_video = [arrays[name].tolist() for name in ("start_s", "label", "end_s")]
        found += [(video_id, *label) for label in zip(*of_video, strict=True)]
        assert arrays["label"].dtype.kind == "U"
        assert arrays["start_s"].dtype == arrays["end_s"].dtype == np.float64
    assert found == stored
    both = load(exported, HOSTILE[0])
    now = (both["start_s"] <= 0.01) & (both["end_s"] > 0.01)
    assert both["label"][now].tolist() == ["resting", 'say "hé"\n']


def test_the_index_names_every_file_and_there_are_no_others(store: FeatureStore, exported: Path) -> None:
    listed = json.loads((exported / "videos.json").read_text(encoding="utf-8"))
    assert [video["video_id"] for video in listed] == sorted(HOSTILE)
    files = {path.relative_to(exported).as_posix() for path in exported.rglob("*.npz") if path.is_file()}
    assert sorted(video["file"] for video in listed) == sorted(files)
    assert len(files) == len(HOSTILE)
    assert {path.name for path in exported.iterdir()} == {"videos", "videos.json", "features.json"}
    own = store.videos().select("split", "site", "file").rows()
    assert [(video["split"], video["site"], video["metadata.file"]) for video in listed] == own


def test_the_same_store_gives_the_same_bytes(store: FeatureStore, exported: Path, tmp_path: Path) -> None:
    run(store.place, tmp_path / "again", "npz")
    for path in exported.rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(exported)).read_bytes() == path.read_bytes()


def test_names_are_the_ids_where_they_can_be() -> None:
    for video_id in ("site/IMG 1.MP4", "猿/🦍.mp4", '"a".npz', "-rf", "a\nb", ".hidden", "..."):
        assert str(file_name(video_id)) == f"{video_id}.npz"


PARTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/"), max_size=4),
    st.sampled_from(["", ".", "..", "a", "a.npz", "A.NPZ", "%2E", "a%2Enpz", ".npz", "%2F", "%", "%00", "\0"]),
)
IDS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@given(IDS)
@example("../../etc/passwd")
def test_a_name_stays_in_the_folder_and_says_which_id_it_is(video_id: str) -> None:
    file = file_name(video_id)
    assert not file.is_absolute()
    assert not {"..", "."} & set(str(file).split("/"))
    assert "\0" not in str(file)
    *folders, name = str(file).split("/")
    assert name.endswith(".npz")
    restored = ["" if part == "%2F" else unquote(part) for part in folders]
    assert "/".join([*restored, unquote(name.removesuffix(".npz"))]) == video_id


@given(IDS, IDS)
@example("a", "a.npz/b")
@example("a", "A.NPZ/b")
def test_no_file_is_another_or_the_folder_of_another(one: str, other: str) -> None:
    if one != other:
        assert file_name(one) != file_name(other)
        folders = [str(folder).casefold() for folder in file_name(other).parents]
        assert str(file_name(one)).casefold() not in folders


@pytest.mark.parametrize("video_id", ["v" * 252, "é" * 126, "/".join(["v" * 200] * 12), "v" * 300 + "/a"])
def test_ids_that_are_too_long_for_a_file(video_id: str) -> None:
    file = file_name(video_id)
    assert len(str(file)) < 50
    assert file != file_name(video_id + "v")
    assert file_name(video_id) == file
    assert str(file_name("v" * 251)) == "v" * 251 + ".npz"


def test_two_videos_are_never_one_file(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that takes A for a."""
    monkeypatch.setattr("pipelines.export.npz.file_name", lambda video_id: Path(file_name(video_id.lower())))
    with pytest.raises(ExportError, match=r"Two videos would be one file.*a\.mp4"):
        run(store.place, tmp_path / "out", "npz")
    assert list(tmp_path.iterdir()) == []


def test_unicode_forms_stay_two_files(exported: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Taï.mp4") for form in ("NFC", "NFD"))
    assert load(exported, composed)["video_id"].item() == composed != load(exported, decomposed)["video_id"].item()


def test_only_the_features_that_were_asked_for(store: FeatureStore, tmp_path: Path) -> None:
    run(store.place, tmp_path / "out", "npz", Query(features=("bio",)))
    arrays = set(load(tmp_path / "out", "a.mp4"))
    assert {name for name in arrays if "clip" in name} == set()
    assert {"bio", "bio_norm", "bio_present"} <= arrays
