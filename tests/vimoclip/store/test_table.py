"""Lance tables on a real disk: what a commit keeps, and what a damaged, full or read-only one says."""

import errno
import os
import unicodedata
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import key
from tests.disks import mount, small_disk
from tests.schemas.tables import assert_keys
from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.errors import NoSpaceError, StoreDamagedError, StoreError, StoreMissingError, StoreReadOnlyError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocalFolder, as_location
from vimoclip.store.lock import writer_lock
from vimoclip.store.table import Table, store_error
from vimoclip.store.writer import StoreWriter

SCHEMA = pa.schema([key("id", pa.string(), 1), pa.field("n", pa.int64()), pa.field("blob", pa.binary())])
SCHEMA = SCHEMA.with_metadata({"made": "by a test"})
NO_GRACE = timedelta(0)
LONG = timedelta(hours=1)


def rows(first: int, count: int, *, size: int = 0) -> pa.Table:
    ns = range(first, first + count)
    blobs = [os.urandom(size) for _ in ns]
    return pa.table({"id": [f"v{n}" for n in ns], "n": list(ns), "blob": blobs}, schema=SCHEMA)


def numbers(table: Table) -> list[int]:
    return sorted(table.read(["n"])["n"].to_pylist())


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """v0 … v4."""
    return Table.create(tmp_path, "t", SCHEMA, rows(0, 5))


def test_create_and_open(tmp_path: Path) -> None:
    assert not as_location(tmp_path).has("t")
    with pytest.raises(StoreMissingError, match="no table t in"):
        Table.open(tmp_path, "t")
    made = Table.create(tmp_path, "t", SCHEMA)
    assert as_location(tmp_path).has("t") and made.count() == 0
    found = Table.open(tmp_path, "t")
    assert found.version == found.latest_version == made.version
    assert (found.schema.names, found.schema.types) == (SCHEMA.names, SCHEMA.types)


def test_create_replaces_what_an_interrupted_creation_left(tmp_path: Path) -> None:
    (tmp_path / "t.lance" / "data").mkdir(parents=True)
    (tmp_path / "t.lance" / "data" / "half.lance").write_bytes(b"half")
    assert not as_location(tmp_path).has("t")
    Table.create(tmp_path, "t", pa.schema([key("other", pa.int64(), 1)]))
    Table.create(tmp_path, "t", SCHEMA, rows(0, 2))
    assert numbers(Table.open(tmp_path, "t")) == [0, 1]


def test_append_upsert_replace_delete(table: Table) -> None:
    table.append(rows(5, 2))
    assert numbers(table) == numbers(table.latest()) == list(range(7))
    changed = pa.table({"id": ["v1", "v9"], "n": [100, 9], "blob": [b"", b""]}, schema=SCHEMA)
    table.upsert(changed, "id")
    assert numbers(table) == numbers(table.latest()) == [0, 2, 3, 4, 5, 6, 9, 100]
    table.delete(pc.field("n") > 5)
    assert numbers(table) == numbers(table.latest()) == [0, 2, 3, 4, 5]
    table.replace(rows(7, 1))
    assert numbers(table) == numbers(table.latest()) == [7]
    table.replace(rows(0, 0))
    assert table.count() == table.latest().count() == 0


def test_each_write_is_one_commit(table: Table) -> None:
    writes: list[Callable[[], None]] = [
        lambda: table.append(rows(5, 2)),
        lambda: table.upsert(rows(1, 1), "id"),
        lambda: table.delete(pc.field("n") == 3),
        lambda: table.replace(rows(0, 3)),
    ]
    for write in writes:
        before = table.version
        write()
        assert table.version == table.latest_version == before + 1


def test_count_read_and_batches_agree(table: Table) -> None:
    where = (pc.field("n") > 1) & (pc.field("id") != "v3")
    found = table.read(["id"], where)
    assert found.column_names == ["id"] and sorted(found["id"].to_pylist()) == ["v2", "v4"]
    assert table.count(where) == 2
    assert pa.Table.from_batches(table.batches(["id"], where, rows=1)).equals(found.combine_chunks())
    assert table.count() == table.read().num_rows == sum(batch.num_rows for batch in table.batches()) == 5


def test_a_null_key_and_another_schema_are_refused_and_nothing_is_written(table: Table) -> None:
    nulls = pa.table({"id": pa.array([None], pa.string()), "n": [1], "blob": [b""]})
    with pytest.raises(StoreError):
        table.append(nulls)
    with pytest.raises(StoreError):
        table.append(pa.table({"n": [1.5]}))
    with pytest.raises(StoreError):
        table.replace(nulls)
    assert numbers(table.latest()) == list(range(5))


IDS = st.lists(st.text(max_size=20), unique=True, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table for the examples of one test to share; each replaces all its rows."""
    return Table.create(tmp_path_factory.mktemp("scratch"), "t", SCHEMA)


@settings(max_examples=50, deadline=None)
@given(ids=IDS)
def test_filters_and_upserts_tell_every_two_ids_apart(scratch: Table, ids: list[str]) -> None:
    blank = [b""] * len(ids)
    scratch.replace(pa.table({"id": ids, "n": range(len(ids)), "blob": blank}, schema=SCHEMA))
    first = ids[0]
    assert scratch.read(where=pc.field("id") == first)["id"].to_pylist() == [first]
    assert scratch.count(pc.field("id").isin([first])) == 1
    scratch.upsert(pa.table({"id": [first], "n": [-1], "blob": [b""]}, schema=SCHEMA), "id")
    assert dict(zip(*scratch.read(["id", "n"]).to_pydict().values(), strict=True)) == {
        name: n or -1 for n, name in enumerate(ids)
    }
    scratch.delete(pc.field("id") == first)
    assert set(scratch.read()["id"].to_pylist()) == set(ids) - {first}


def test_two_spellings_of_one_letter_are_two_ids(table: Table) -> None:
    ids = [unicodedata.normalize(form, "Taï") for form in ("NFC", "NFD")]
    table.upsert(pa.table({"id": ids, "n": [10, 11], "blob": [b"", b""]}, schema=SCHEMA), "id")
    assert [table.read(where=pc.field("id") == name)["n"].to_pylist() for name in ids] == [[10], [11]]


def test_the_schemas_metadata_outlives_every_write(table: Table) -> None:
    def check() -> None:
        for seen in (table, table.latest()):
            assert seen.schema.metadata == {b"made": b"by a test"}
            assert_keys(seen.schema, ["id"])

    check()
    table.append(rows(5, 3))
    check()
    table.upsert(rows(2, 9).replace_schema_metadata(None), "id")
    check()
    table.delete(pc.field("n") == 3)
    check()
    table.compact_and_clean(NO_GRACE)
    check()
    bare = pa.table({"id": ["z"], "n": [0], "blob": [b""]})
    table.replace(bare)
    check()
    assert numbers(table) == [0]


def test_an_open_table_stays_as_it_was(table: Table) -> None:
    seen = table.latest()
    table.append(rows(5, 5))
    table.delete(pc.field("n") < 3)
    table.compact_and_clean(LONG)
    assert numbers(seen) == [0, 1, 2, 3, 4]
    assert seen.version < seen.latest_version == table.version
    assert numbers(seen.latest()) == [3, 4, 5, 6, 7, 8, 9]


def test_an_old_version_replaced_just_now_stays_for_its_readers(table: Table) -> None:
    seen = table.latest()
    table.delete(pc.field("n") < 3)
    table.compact_and_clean(timedelta(seconds=30))
    table.compact_and_clean(timedelta(seconds=30))
    assert numbers(seen) == [0, 1, 2, 3, 4]


def test_tidy_merges_fragments_and_frees_the_bytes_of_deleted_rows(tmp_path: Path) -> None:
    table = Table.create(tmp_path, "t", SCHEMA)
    for n in range(6):
        table.append(rows(n * 10, 10, size=10_000))
    kept = table.read(where=pc.field("n") >= 30).sort_by("n")
    table.delete(pc.field("n") < 30)
    full = as_location(tmp_path).size()
    assert full > 600_000
    assert table.compact_and_clean(LONG).bytes == 0
    tidied = table.compact_and_clean(NO_GRACE)
    assert as_location(tmp_path).size() < 350_000
    assert tidied.bytes > 500_000
    assert table.read().sort_by("n").equals(kept)
    assert len(list((tmp_path / "t.lance" / "_versions").glob("*.manifest"))) == 1


def test_tidy_counts_the_fragments_it_merged_away(tmp_path: Path) -> None:
    table = Table.create(tmp_path, "t", SCHEMA)
    for n in range(6):
        table.append(rows(n, 1))
    assert table.compact_and_clean(LONG).fragments == 5
    again = table.compact_and_clean(LONG)
    assert again.fragments == 0


@pytest.mark.parametrize("thorough", [False, True])
def test_only_a_thorough_tidy_takes_a_single_row_off_the_disk(tmp_path: Path, thorough: bool) -> None:
    table = Table.create(tmp_path, "t", SCHEMA, rows(0, 100, size=1000))
    secret = table.read(where=pc.field("n") == 50)["blob"][0].as_py()

    def on_disk() -> bool:
        return any(secret in file.read_bytes() for file in (tmp_path / "t.lance" / "data").iterdir())

    assert on_disk()
    table.delete(pc.field("n") == 50)
    table.compact_and_clean(NO_GRACE, thorough)
    assert on_disk() is not thorough
    assert table.count() == 99


def cut(file: Path, size: int) -> None:
    file.write_bytes(file.read_bytes()[:size])


@pytest.mark.parametrize("size", [0, 10, 300])
def test_a_data_file_cut_short(table: Table, size: int) -> None:
    (file,) = (Path(str(table.place)) / "t.lance" / "data").iterdir()
    cut(file, size)
    found = Table.open(table.place, "t")
    for look in (found.validate, found.read, lambda: list(found.batches()), lambda: found.count(pc.field("n") > 1)):
        with pytest.raises(StoreDamagedError, match=r"table t of .* cannot be read.*vimoclip verify") as caught:
            look()
        assert str(table.place) in str(caught.value) and caught.value.received


def test_a_data_file_that_is_gone(table: Table) -> None:
    (file,) = (Path(str(table.place)) / "t.lance" / "data").iterdir()
    file.unlink()
    with pytest.raises(StoreDamagedError, match=f"Not found.*{file.name}"):
        Table.open(table.place, "t").validate()


def test_a_whole_table_is_valid(table: Table) -> None:
    table.append(rows(5, 2))
    table.delete(pc.field("n") == 1)
    table.latest().validate()


@pytest.mark.parametrize("size", [0, 10, 200])
def test_a_newest_manifest_cut_short(table: Table, size: int) -> None:
    table.append(rows(5, 2))
    newest = min(
        (Path(str(table.place)) / "t.lance" / "_versions").glob("*.manifest")
    )  # named by the complement of its version
    cut(newest, size)
    with pytest.raises(StoreDamagedError, match=r"table t of .* cannot be opened.*vimoclip verify"):
        Table.open(table.place, "t")
    newest.unlink()
    assert numbers(Table.open(table.place, "t")) == [0, 1, 2, 3, 4]


FOLDER = LocalFolder(Path("/data/store"))
LANCE = "LanceError(IO): {} (os error {}), /rust/lance-io/src/local.rs:1:1"


def lance_error(number: int) -> OSError:
    return OSError(LANCE.format(os.strerror(number), number))


def python_error(number: int) -> OSError:
    return OSError(number, os.strerror(number), "/data/store/x")


@pytest.mark.parametrize("make", [lance_error, python_error])
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, NoSpaceError),
        (errno.EDQUOT, NoSpaceError),
        (errno.EROFS, StoreReadOnlyError),
        (errno.EACCES, StoreReadOnlyError),
        (errno.EPERM, StoreReadOnlyError),
        (errno.EIO, StoreDamagedError),
        (errno.ENOTRECOVERABLE, StoreDamagedError),  # 131 begins with the number of EACCES
    ],
)
def test_system_errors_by_name(make: Callable[[int], OSError], number: int, expected: type[StoreError]) -> None:
    error = store_error(make(number), FOLDER, "frames", "written")
    assert type(error) is expected
    assert str(FOLDER) in str(error) and error.hint


def test_files_that_may_not_be_read_are_not_called_read_only() -> None:
    error = store_error(lance_error(errno.EACCES), FOLDER, "frames", "opened")
    assert type(error) is StoreDamagedError
    assert "frames of /data/store cannot be opened" in str(error) and "permissions" in error.hint


@pytest.mark.parametrize("text", ["", "\n", "one\ntwo"])
def test_any_other_error_is_damage_and_says_one_line(text: str) -> None:
    error = store_error(ValueError(text), FOLDER, "frames", "read")
    assert type(error) is StoreDamagedError
    assert "\n" not in str(error)
    assert "Received: one." in str(error) or text.strip() == ""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 6 MB."""
    with small_disk(tmp_path / "disk", "6m") as folder:
        yield folder


def test_a_full_disk_leaves_every_table_whole(disk: Path) -> None:
    store = make_store(disk / "store", {"a.mp4": 5, "b.mp4": 3})
    writer = StoreWriter(store)
    (disk / "ballast").write_bytes(bytes(4 << 20))
    committed = 0

    def fill() -> None:
        nonlocal committed
        for n in range(1000):
            writer.add(take := writer.new_take(), embedded(f"v{n}", 0, 60))
            writer.put(ok_row(f"v{n}", take, 60, store.fingerprint))
            writer.flush()
            committed += 1

    with pytest.raises(NoSpaceError, match=r"No space is left in .*store") as caught:
        fill()
    assert "safe" in caught.value.hint
    assert 0 < committed < 1000
    found = FeatureStore.open(disk / "store")
    assert found.videos().height == 2 + committed
    assert found.sequence("a.mp4").equals(store.sequence("a.mp4"))
    assert found.frames().num_rows == 8 + 60 * committed
    for table in found.tables.values():
        table.validate()
    with pytest.raises(NoSpaceError):
        make_store(disk / "another")

    (disk / "ballast").unlink()
    writer.flush()  # what was buffered is not lost: some space, and the same call goes on
    found = found.refresh()
    assert found.videos().height == 3 + committed
    assert found.sequence(f"v{committed}").num_rows == 60
    assert found.flow(f"v{committed}").num_rows == 59


def test_a_read_only_disk_can_be_read_and_says_so_when_written_to(disk: Path) -> None:
    store = make_store(disk / "store")
    writer = StoreWriter(store)
    writer.add(writer.new_take(), embedded("left.mp4", 0, 2))  # a second fragment, so that there is something to tidy
    writer.flush()
    mount("-o", "remount,ro", str(disk))
    found = FeatureStore.open(disk / "store")
    assert found.frames().num_rows == 9
    frames, labels = found.tables["frames"], found.tables["labels"]

    def put() -> None:
        writer.put(ok_row("z.mp4", 1, 1, store.fingerprint))
        writer.flush()

    def lock(folder: Path) -> None:
        with writer_lock(folder):
            pass

    for write in (
        put,
        lambda: frames.append(frames.read()),
        lambda: frames.delete(pc.field("frame_index") > 0),
        lambda: frames.compact_and_clean(NO_GRACE),
        lambda: labels.replace(labels.read()),
        lambda: Table.create(disk, "new", SCHEMA),
        lambda: lock(disk / "store"),
        lambda: lock(disk / "new"),
    ):
        with pytest.raises(StoreReadOnlyError, match=r"cannot be written to.*Read-only file system.*--store"):
            write()
    assert found.refresh().frames().equals(found.frames())
