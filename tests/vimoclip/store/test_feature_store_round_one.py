"""A store that version 0.1.0 wrote, before its code moved house: it opens, verifies and gives the same rows.

round_one/store.zip holds the store of five rendered clips, with labels, a feature that was added and segments in three
spaces, and a run of train-fusion. round_one/expected.json is what the code of that version read of them.
"""

import copy
import hashlib
import json
import shutil
import signal
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import vimoclip
from benchmarks.common import finish, start
from benchmarks.reliability.inject import target_command
from pipelines import label, maintain
from schemas import FORMAT_VERSION, SINCE_FORMAT
from tests.vimoclip.made_up_runs import ONE
from vimoclip.embedding.feature_models import ExtraFeatures
from vimoclip.errors import StoreError
from vimoclip.search.segments import iter_segments
from vimoclip.store.segments import read_segment_settings
from vimoclip.store.upgrade import upgrade
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

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


def test_its_towers_are_contiguous_as_they_were(folder: Path) -> None:
    store = vimoclip.open_store(folder / "store")
    assert store.config.clip.memory_format == "contiguous"
    assert {feature.memory_format for feature in store.features.values()} == {"contiguous"}
    added = ExtraFeatures.of(store.features.values()).towers.values()
    assert added and {tower.memory_format for tower in added} == {"contiguous"}


def test_rows_and_vectors_are_equal(folder: Path) -> None:
    equal(vimoclip.open_store(folder / "store"))


def equal(store: vimoclip.Store) -> None:
    """Every row and vector is as version 0.1.0 read it, and what it did not know is null."""
    for seen, expected in ((store.videos(), EXPECTED["videos"]), (store.labels(), EXPECTED["labels"])):
        columns = list(expected[0])
        assert plain(seen.select(columns).to_dicts()) == expected
        newer = seen.drop(columns)
        assert set(newer.columns) in (set(SINCE_FORMAT["videos"]), {"subject"})
        assert newer.select(pl.all().is_null().all()).row(0) == (True,) * newer.width
    assert {name: feature.fingerprint for name, feature in store.features.items()} == EXPECTED["features"]
    assert store.fingerprint == EXPECTED["fingerprint"]
    assert {name: digest(store.sequence(name)) for name in EXPECTED["sequences"]} == EXPECTED["sequences"]
    assert {name: digest(store.flow(name)) for name in EXPECTED["flow"]} == EXPECTED["flow"]
    if "segments" in store.tables:  # they are not part of a snapshot by its versions
        order = [("video_id", "ascending"), ("start_frame", "ascending")]
        assert digest(store.tables["segments"].read().sort_by(order)) == EXPECTED["segments"]


def test_search_and_prediction_say_the_same(folder: Path) -> None:
    store = vimoclip.open_store(folder / "store")
    first = EXPECTED["videos"][0]["video_id"]
    hits = copy.deepcopy(EXPECTED["hits"])
    # Percentiles were among pairs of single segments, 69.0, 28.6 and 19.0; now a whole video is compared with others.
    for hit, percentile in zip((hits["closest"], *hits["hits"]), (69.0, 69.0, 29.0, 19.0), strict=True):
        hit["percentile"] = pytest.approx(percentile)
    assert plain(store.search(video=first, top=3).to_dict()) == hits
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


# Upgrading it.


@pytest.fixture
def old(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder / "store", tmp_path / "store"))


def test_it_is_read_and_not_written_before_it_is_upgraded(old: Path) -> None:
    before = {name: table.version for name, table in vimoclip.open_store(old).tables.items()}
    with pytest.raises(StoreError, match=f"older version.*format 1.*format {FORMAT_VERSION}.*vimoclip upgrade --store"):
        maintain.optimize(old)
    assert {name: table.version for name, table in vimoclip.open_store(old).tables.items()} == before


def test_upgraded_it_gives_the_same_rows_and_takes_labels(old: Path) -> None:
    report = maintain.upgrade(old)
    assert (report.before, report.after, report.tables) == (1, FORMAT_VERSION, ["videos", "labels"])
    assert verify(old) == []
    store = vimoclip.open_store(old)
    equal(store)
    assert store.format == FORMAT_VERSION
    assert maintain.upgrade(old).tables == []
    first = store.videos()["video_id"][0]
    (old.parent / "more.csv").write_text(f"filepath,label\n{first},new\n")
    assert label.run(old, old.parent / "more.csv").changed == 1
    assert verify(old) == []


def test_between_its_two_tables_it_is_read_and_written(old: Path) -> None:
    """As a kill leaves it that comes after the first table."""

    def stop() -> None:
        checks.append(len(checks))
        if len(checks) == 2:
            raise KeyboardInterrupt

    checks: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        upgrade(old, stop)
    store = vimoclip.open_store(old)
    assert store.format == FORMAT_VERSION and "subject" not in store.tables["labels"].schema.names
    assert verify(old) == []
    equal(store)
    StoreWriter(store).settle_labels()
    first = store.videos()["video_id"][0]
    (old.parent / "more.csv").write_text(f"filepath,label\n{first},new\n")
    assert label.run(old, old.parent / "more.csv").changed == 1
    assert verify(old) == []
    assert maintain.upgrade(old).tables == []


def test_a_snapshot_of_before_stays_readable(old: Path) -> None:
    versions = vimoclip.open_store(old).versions
    maintain.upgrade(old)
    equal(vimoclip.Store.open(old, versions))


MOMENTS = [
    *(("replace:" + when, number) for number in (1, 2) for when in ("before", "within", "after")),
    *((f"open:{when}", number) for when, number in (("after", 1), ("before", 8), ("after", 8), ("after", 12))),
]


@pytest.mark.parametrize(("how", "number"), MOMENTS)
def test_a_kill_while_it_is_upgraded_leaves_the_old_store_or_the_new_one(old: Path, how: str, number: int) -> None:
    command = start(["upgrade", "--store", str(old)], program=target_command(how, number))
    said = finish(command)
    assert command.returncode == -signal.SIGKILL, said
    assert verify(old) == []
    equal(vimoclip.open_store(old))
    said = finish(again := start(["upgrade", "--store", str(old)]))
    assert again.returncode == 0, said
    assert verify(old) == []
    equal(vimoclip.open_store(old))
    assert vimoclip.open_store(old).format == FORMAT_VERSION
