"""Addresses, and what lies at them."""

import os
import pickle
import time
from pathlib import Path

import obstore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.object_store import BUCKET, Server
from tests.vimoclip.stores import make_store
from vimoclip.errors import StoreError, StoreMissingError, StoreUnreachableError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocalFolder, ObjectStorePrefix, as_location
from vimoclip.store.snapshot import check_free


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    expected = LocalFolder(tmp_path / "a store")
    assert (
        as_location("a store")
        == as_location("~/a store")
        == as_location(tmp_path / "a store")
        == as_location(expected)
        == expected
    )
    assert as_location(f"file://{tmp_path}/a%20store") == expected
    assert str(expected) == str(tmp_path / "a store")
    assert as_location("~no such user/store") == LocalFolder(
        tmp_path / "~no such user" / "store"
    )  # as every shell takes it


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("gs://bucket/a/b/", "gs://bucket/a/b"),
        ("az://container//a", "az://container/a"),
    ],
)
def test_object_stores(given: str, expected: str) -> None:
    assert as_location(given) == ObjectStorePrefix(expected)
    assert str(as_location(given)) == expected
    assert as_location(given).uri("frames") == f"{expected}/frames.lance"


@given(st.lists(st.text("ab é%&=+", min_size=1), max_size=3))
def test_an_address_is_the_same_when_read_again(parts: list[str]) -> None:
    once = as_location("/".join(["s3://bucket", *parts]))
    assert as_location(str(once)) == once == pickle.loads(pickle.dumps(once))


@pytest.mark.parametrize(
    "address",
    [
        "file://host/store",
        "s3://b/a?b",
        "s3://b/a#b",
        "s3://b/a\x01",
        "s3://bu cket/a",
        "s3://u@b/a",
        "s3://b:80/a",
        "http://host/store",
        "s3://",
        "s3:///store",
        "S3://b/s",
        "s3://b/../c",
        "://x",
        "hdfs://n/s",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(StoreError, match=r"not an address of an object store.*s3://bucket/folder"):
        as_location(address)


def test_an_address_that_was_made_a_path_is_no_folder() -> None:
    with pytest.raises(StoreError, match="as text"):
        as_location(Path("s3://bucket/store"))
    assert as_location(Path("s3/store")) == as_location("s3/store")


def test_size_names_and_small_files(tmp_path: Path) -> None:
    at = as_location(tmp_path)
    assert as_location(tmp_path / "nowhere").size() == 0
    assert as_location(tmp_path / "nowhere").list_names() == []
    (tmp_path / "a.lance").mkdir()
    (tmp_path / "a.lance" / "b").write_bytes(b"12345")
    (tmp_path / "c").write_bytes(b"67")
    (tmp_path / "gone").symlink_to(tmp_path / "nothing")
    assert (at.size(), at.size("a")) == (7, 5)
    assert at.list_names() == ["a.lance", "c", "gone"]
    assert (at.read("c"), at.read("nothing"), at.read("a.lance")) == (b"67", None, None)
    assert not at.has("a")


def test_folders_of_small_files(tmp_path: Path, server: Server, remote: str) -> None:
    for at in (as_location(tmp_path / "store"), as_location(remote)):
        began = time.time()
        assert at.list_names("models") == []
        for name in ("a/meta.json", "a/more", "ab/meta.json"):
            at.write(f"models/{name}", b"1")
        assert at.list_names("models") == ["a", "ab"] and at.list_names("models/a") == ["meta.json", "more"]
        assert began - 2 < at.modified_at("models/a") < time.time() + 2  # an object store counts in seconds
        at.drop("models/a", first="meta.json")
        assert at.list_names("models") == ["ab"] and at.read("models/ab/meta.json") == b"1"
        at.drop("models/ab", first="none")
        assert at.list_names("models") == []


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StoreError, match="A store is a folder"):
        as_location(tmp_path / "thesis.tex").list_names()


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may look into any folder")
def test_a_folder_that_may_not_be_read(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0)
    with pytest.raises(StoreError, match=r"cannot be looked into.*permissions"):
        FeatureStore.open(tmp_path / "shut" / "store")


def test_a_bucket_is_looked_into_like_a_folder(server: Server, remote: str) -> None:
    at = as_location(remote)
    assert (at.list_names(), at.size(), at.read("x"), at.has("videos")) == ([], 0, None, False)
    with pytest.raises(StoreMissingError, match="no store at s3://"):
        FeatureStore.open(remote)
    prefix = remote.removeprefix(f"s3://{BUCKET}/")
    for name, content in (("a.lance/b", b"12345"), ("c", b"67"), ("ab.lance/d", b"89")):
        obstore.put(server.client, f"{prefix}/{name}", content)
    assert (at.size(), at.size("a"), at.read("c")) == (9, 5, b"67")
    assert at.list_names() == ["a.lance", "ab.lance", "c"]
    assert not at.has("a")
    obstore.put(server.client, f"{prefix}/", b"")  # as a console makes a folder
    assert at.list_names() == ["a.lance", "ab.lance", "c"]
    with pytest.raises(StoreError, match=r"is not a store, and is not empty.*a\.lance, ab\.lance, c"):
        check_free(remote)


def test_a_table_is_there_once_it_is_committed_to(remote: str) -> None:
    store = make_store(remote, {"a.mp4": 5})
    assert all(store.place.has(name) for name in store.tables)
    assert 0 < store.place.size("frames") < store.place.size()
    assert set(store.place.list_names()) == {".writer.json", *(f"{name}.lance" for name in store.tables)}
    check_free(remote)


@pytest.mark.usefixtures("server")
def test_no_such_bucket() -> None:
    with pytest.raises(StoreUnreachableError, match=r"There is no such bucket: s3://plants/store.*Make it"):
        make_store("s3://plants/store")


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreUnreachableError, match=r"does not answer: s3://animals/store.*AWS_ENDPOINT_URL"):
        FeatureStore.open("s3://animals/store")


def test_a_file_is_written_whole_and_replaced(tmp_path: Path, remote: str) -> None:
    for at in (as_location(tmp_path / "store"), as_location(remote)):
        for data in (b"one", b"another"):
            at.write("models/1/meta.json", data)
            assert at.read("models/1/meta.json") == data
        assert at.list_names() == ["models"]
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be written"):
        as_location(tmp_path / "file").write("models/1/meta.json", b"")
