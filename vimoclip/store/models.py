"""The trained models that a store keeps (schemas/models.py): copied in, read, and removed when nothing names them.

A store that is moved takes its models along, and later ingests and searches go through the same model.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.models import META, MODELS, WEIGHTS, folder_of, student_id
from vimoclip.errors import StoreDamagedError
from vimoclip.store.location import StoreLocation
from vimoclip.store.segments import parse_segment_settings
from vimoclip.store.snapshot import stored_features
from vimoclip.store.table import Table


def save_model(at: StoreLocation, id: str, folder: Path) -> None:
    """Copy a model's files from its run's folder into the store, meta.json last; files that exist stay.

    Call it with the write lock held, and keep the lock until a table names the model.

    Args:
        at: the store.
        id: of the model.
        folder: the run's folder.

    Raises:
        StoreError: the files cannot be written.
    """
    if at.read(f"{folder_of(id)}/{META}") is None:
        for name in (WEIGHTS, META):
            at.write(f"{folder_of(id)}/{name}", (folder / name).read_bytes())


def model_files(at: StoreLocation, id: str) -> Callable[[str], bytes]:
    """Return a function that reads a file of a stored model by its name, or raises FileNotFoundError."""

    def get(name: str) -> bytes:
        if (data := at.read(f"{folder_of(id)}/{name}")) is None:
            raise FileNotFoundError(2, "No such file", f"{folder_of(id)}/{name}")
        return data

    return get


_ID = re.compile(r"[0-9a-f]{16}")  # other names in the folder are not ours


def drop_unreferenced_models(at: StoreLocation, tables: Mapping[str, Table], check: Callable[[], None]) -> None:
    """Remove the models that no version of `features` or `segments` on the disk names.

    Those are the models of features and behaviour spaces that were replaced or dropped, and what a kill left before
    anything named it. Older versions count because their readers still need their models. In an object store, a model
    stays while a writer that has lost the lock may have just put it there and may yet name it.

    Call it with the write lock held, after old versions were cleaned up.

    Args:
        at: the store.
        tables: the store's tables by name.
        check: called before each removal, to raise when the lock is lost.

    Raises:
        StoreError: a model cannot be removed.
    """
    there = [name for name in at.list_names(MODELS) if _ID.fullmatch(name)]
    if not there:
        return
    try:
        named = _named(tables)
    except StoreDamagedError:  # it may name any of them
        return
    late_commit_s = time.time() - at.late_commit_s
    for id in there:
        if id not in named and at.modified_at(folder_of(id)) <= late_commit_s:
            check()
            # meta.json first: what a kill leaves does not count as a model, and `save_model` writes it anew.
            at.drop(folder_of(id), first=META)


def _named(tables: Mapping[str, Table]) -> set[str]:
    named = {student_id(feature) for table in tables["features"].versions() for feature in stored_features(table)}
    if "segments" in tables:
        models = [parse_segment_settings(table).behaviour for table in tables["segments"].versions()]
        named |= {made.id for made in models if made is not None}
    return {id for id in named if id is not None}
