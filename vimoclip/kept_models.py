"""The trained models of a store: `models/<id>/` in it has the two files of each (checkpoint_files.py).

So a store that is moved takes them along, and whoever ingests into it or searches in it later goes through the same
model. The id is the first 16 digits of the SHA-256 of the weights.
"""

from pathlib import Path

from vimoclip.checkpoint_files import META, WEIGHTS, Get
from vimoclip.place import Place

MODELS = "models"


def folder_of(id: str) -> str:
    """Where a model's files are in the store."""
    return f"{MODELS}/{id}"


def keep(at: Place, id: str, folder: Path) -> None:
    """Copy a model's files from its run's folder into the store, meta.json last; what is there already stays.

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
