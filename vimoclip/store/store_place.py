"""What makes a place a store: its tables, the format that `videos` names; and what must be there before one is made."""

from schemas import FORMAT_KEY, FORMAT_VERSION, SETTINGS_KEY
from vimoclip.errors import StoreDamagedError, StoreError, StoreMissingError, StoreNewerError
from vimoclip.store.location import Place, Where, place
from vimoclip.store.table import Table

TABLES = ("frames", "flow", "labels", "features", "videos")  # videos last: with it the store exists
DERIVED = ("segments",)
"""Tables that a store need not have: they can be made again from the others."""
_OWN_FILES = {
    ".writer.lock",
    ".writer.json",
    ".writer.json.new",
    *(f"{name}.lance" for name in (*TABLES, *DERIVED)),
}


def missing(at: Place) -> StoreMissingError:
    """The error that says there is no store, and how to make one."""
    return StoreMissingError(
        f"There is no store at {at}.",
        hint="Make one with `vimoclip ingest FOLDER`, or name another with --store or VIMOCLIP_STORE.",
    )


def check_free(where: Where) -> None:
    """Refuse to make a store where something else is.

    Raises:
        StoreError: the folder holds files that are no store's, or it is a file.
        StoreDamagedError: it holds the rows of a store that has lost its table of videos.
    """
    at = place(where)
    names = at.names()
    if at.has("videos"):
        return
    strangers = [name for name in names if name not in _OWN_FILES]
    if strangers:
        raise StoreError(
            f"{at} is not a store, and is not empty.",
            received=", ".join(strangers[:3]) + ("…" if len(strangers) > 3 else ""),
            expected="a store, an empty folder, or a place where nothing is yet",
            hint="Name another place with --store.",
        )
    # An interrupted creation leaves tables without rows (features aside); anything else is somebody's data.
    left = [name for name in ("frames", "flow", "labels") if at.has(name) and Table.open(at, name).count()]
    if left:
        raise StoreDamagedError(
            f"The store {at} has lost its table videos.",
            received=f"rows in {', '.join(left)}",
            expected="the folder videos.lance beside them",
            hint="Restore it from a copy of the store, or name another place with --store.",
        )


def check_format(videos: Table) -> None:
    """Refuse a store of another format.

    Raises:
        StoreNewerError: a newer one. StoreDamagedError: none that is known.
    """
    found = (videos.schema.metadata or {}).get(FORMAT_KEY, b"")
    if not found.isdigit() or SETTINGS_KEY not in (videos.schema.metadata or {}):
        raise StoreDamagedError(
            f"The table videos of {videos.place} does not say which format it has.",
            received=found.decode(errors="replace") or "nothing",
            expected=f"a number up to {FORMAT_VERSION}",
            hint="Is this folder a ViMoCLIP store?",
        )
    if int(found) > FORMAT_VERSION:
        raise StoreNewerError(
            f"The store {videos.place} was written by a newer version of ViMoCLIP.",
            received=f"format {int(found)}",
            expected=f"format {FORMAT_VERSION} or older",
            hint="Upgrade with `pip install --upgrade vimoclip`.",
        )


def beside(videos: Table, name: str) -> Table:
    """The newest version of another table of the same store.

    Raises:
        StoreDamagedError: it is not there, or cannot be opened.
    """
    try:
        return Table.open(videos.place, name)
    except StoreMissingError:
        raise StoreDamagedError(
            f"The store {videos.place} has lost its table {name}.",
            expected=f"the folder {name}.lance",
            hint="Run `vimoclip verify` to see what is damaged.",
        ) from None
