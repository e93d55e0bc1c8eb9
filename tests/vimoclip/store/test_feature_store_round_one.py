"""A store that version 0.1.0 wrote, before its code moved house: it opens, verifies and gives the same rows.

round_one/store.zip holds the store of five rendered clips, with labels, a feature that was added and segments in three
spaces, and a run of train-fusion. round_one/expected.json is what the code of that version read of them.
"""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import vimoclip
from tests.vimoclip.made_up_runs import ONE
from vimoclip.search.segments import iter_segments
from vimoclip.store.segments import read_segment_settings
from vimoclip.store.verify import verify

FOLDER = Path(__file__).parent / "round_one"
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("round-one")
    with zipfile.ZipFile(FOLDER / "store.zip") as archive:
        archive.extractall(where)
    return where


def digest(table: pa.Table) -> str:
    """As expected.json has it: every value of every column, in order."""
    found = hashlib.sha256()
    for name in table.column_names:
        values = table[name].to_pylist()
        found.update(name.encode())
        found.update(json.dumps(values, default=lambda x: x.hex() if isinstance(x, bytes) else float(x)).encode())
    return found.hexdigest()


def plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def test_it_verifies(folder: Path) -> None:
    assert verify(folder / "store") == []


def test_rows_and_vectors_are_equal(folder: Path) -> None:
    store = vimoclip.open_store(folder / "store")
    assert plain(store.videos().to_dicts()) == EXPECTED["videos"]
    assert plain(store.labels().to_dicts()) == EXPECTED["labels"]
    assert {name: feature.fingerprint for name, feature in store.features.items()} == EXPECTED["features"]
    assert store.fingerprint == EXPECTED["fingerprint"]
    assert {name: digest(store.sequence(name)) for name in EXPECTED["sequences"]} == EXPECTED["sequences"]
    assert {name: digest(store.flow(name)) for name in EXPECTED["flow"]} == EXPECTED["flow"]
    order = [("video_id", "ascending"), ("start_frame", "ascending")]
    assert digest(store.tables["segments"].read().sort_by(order)) == EXPECTED["segments"]


def test_search_and_prediction_say_the_same(folder: Path) -> None:
    store = vimoclip.open_store(folder / "store")
    first = EXPECTED["videos"][0]["video_id"]
    assert plain(store.search(video=first, top=3).to_dict()) == EXPECTED["hits"]
    predicted = store.predict("*", folder / "run", settings=ONE)
    assert [each.video for each in predicted] == [video for video, _ in EXPECTED["predictions"]]
    for each, (_, labels) in zip(predicted, EXPECTED["predictions"], strict=True):
        assert dict(each.labels(9)) == pytest.approx(dict(labels), abs=1e-3)


def test_segments_made_anew_have_the_same_bits(folder: Path) -> None:
    store = vimoclip.open_store(folder / "store")
    settings = read_segment_settings(store)
    assert settings is not None
    made = pa.concat_tables(iter_segments(store, replace(settings, behaviour=None), store.live_videos()))
    stored = store.tables["segments"].read(made.column_names)
    order = [("video_id", "ascending"), ("start_frame", "ascending")]
    assert made.sort_by(order).cast(stored.schema).equals(stored.sort_by(order))
