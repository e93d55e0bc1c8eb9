"""The trained models of a store (schemas/models.py), put there and read. unnamed_models.py takes them away.

So a store that is moved takes them along, and whoever ingests into it or searches in it later goes through the same
model.
"""

from pathlib import Path

from schemas.models import META, WEIGHTS, folder_of
from vimoclip.models.checkpoint import Get
from vimoclip.store.location import Place


def keep(at: Place, id: str, folder: Path) -> None:
    """Copy a model's files from its run's folder into the store, meta.json last; what is there already stays.

    Call it with the write lock held, and keep that until a table names the model.

    Raises:
        StoreError: they cannot be written.
    """
    if at.read(f"{folder_of(id)}/{META}") is None:
        for name in (WEIGHTS, META):
            at.write(f"{folder_of(id)}/{name}", (folder / name).read_bytes())


def files_of(at: Place, id: str) -> Get:
    """The files of a model that is kept."""

    def get(name: str) -> bytes:
        if (data := at.read(f"{folder_of(id)}/{name}")) is None:
            raise FileNotFoundError(2, "No such file", f"{folder_of(id)}/{name}")
        return data

    return get
