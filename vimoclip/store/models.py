"""The trained models of a store (schemas/models.py), put there and read. models.py takes them away.

So a store that is moved takes them along, and whoever ingests into it or searches in it later goes through the same
model.
"""

import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from schemas.models import META, MODELS, WEIGHTS, folder_of, student_id
from vimoclip.errors import StoreDamagedError
from vimoclip.store.feature_store import stored_features
from vimoclip.store.location import StoreLocation
from vimoclip.store.segments import parse_segment_settings
from vimoclip.store.table import Table


def save_model(at: StoreLocation, id: str, folder: Path) -> None:
    """Copy a model's files from its run's folder into the store, meta.json last; what is there already stays.

    Call it with the write lock held, and keep that until a table names the model.

    Raises:
        StoreError: they cannot be written.
    """
    if at.read(f"{folder_of(id)}/{META}") is None:
        for name in (WEIGHTS, META):
            at.write(f"{folder_of(id)}/{name}", (folder / name).read_bytes())


def model_files(at: StoreLocation, id: str) -> Callable[[str], bytes]:
    """The files of a model that is kept."""

    def get(name: str) -> bytes:
        if (data := at.read(f"{folder_of(id)}/{name}")) is None:
            raise FileNotFoundError(2, "No such file", f"{folder_of(id)}/{name}")
        return data

    return get


# The trained models of a store that nothing names any more: of features and of a behaviour space that others replaced,
# or that were dropped; and what a kill left before anything named it.


_ID = re.compile(r"[0-9a-f]{16}")  # whatever else lies there is not ours


def drop_unreferenced_models(at: StoreLocation, tables: Mapping[str, Table], check: Callable[[], None]) -> None:
    """Take away the models that no version of `features` or `segments` names, of all that are still on the disk: a
    reader of an older one needs its models for as long.

    In an object store, one stays that a writer which has lost the lock may have put there so lately that it may yet
    name it. Call it with the write lock held, which `check` makes sure of, when old versions are cleaned away.

    Raises:
        StoreError: one cannot be taken away.
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
            at.drop(
                folder_of(id), first=META
            )  # so that what a kill leaves is no model, and `save_model` writes it anew


def _named(tables: Mapping[str, Table]) -> set[str]:
    named = {student_id(feature) for table in tables["features"].versions() for feature in stored_features(table)}
    if "segments" in tables:
        models = [parse_segment_settings(table).behaviour for table in tables["segments"].versions()]
        named |= {made.id for made in models if made is not None}
    return {id for id in named if id is not None}
