"""Every fault that `verify` (verify.py) knows, with what it means and what to do next, and how faults are gathered.

Also `ReadableTables`, through which `verify` reads: a table that is missing or damaged becomes a fault, and the others
are still read.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas import SINCE_FORMAT
from vimoclip.errors import StoreDamagedError, StoreError, StoreMissingError, StoreUnreachableError
from vimoclip.progress import Progress
from vimoclip.store.location import StoreLocation
from vimoclip.store.snapshot import open_snapshot
from vimoclip.store.table import Table

_RESTORE = "Restore it from a copy of the store; without one, ingest into a new store."
_VERIFY_AGAIN = f"If another process was writing, verify again. {_RESTORE}"
_AGAIN = (
    "Extract the video anew: `vimoclip remove` it, `vimoclip optimize`, `vimoclip remove --undo` it, "
    "then ingest and label it again."
)
_LABELS = "Correct the label file and apply it again with `vimoclip label`."

_DERIVED = "Delete the folder segments.lance of the store, then run `vimoclip index`: it is made from the frames."

_MODEL = "Copy model.safetensors and meta.json of its run into that folder, or restore it from a copy of the store."

FAULTS = {  # name: what to do next
    "missing-table": _RESTORE,  # there is no such table
    "unreadable-table": _RESTORE,  # it cannot be opened
    "damaged-file": _VERIFY_AGAIN,  # it opens, but its rows cannot be read
    "wrong-schema": _RESTORE,  # a column is missing, of another type, or may hold nulls that it must not
    "bad-settings": _RESTORE,  # videos does not hold the store's format and settings
    "feature-fingerprint": _RESTORE,  # a feature does not match its own fingerprint
    "duplicate-feature": _RESTORE,  # two features of one name
    "missing-feature": _RESTORE,  # a vector column of frames without a row in features, or the reverse
    "duplicate-video": _AGAIN,  # two rows of one id
    "unknown-status": _AGAIN,  # other than ok, failed, duplicate, removed
    "video-without-take": _AGAIN,  # it is ok, but names no take
    "shared-take": _AGAIN,  # two videos name one take
    "wrong-fingerprint": "Ingest its folder: it is extracted anew.",  # made with other features than the store's
    "failed-without-reason": "`vimoclip ingest --retry-failed` its folder.",
    "duplicate-of-unknown": _AGAIN,  # the original is not in the store, or is the video itself
    "bad-metadata": _AGAIN,  # not a JSON object of strings
    "label-of-unknown": "Ingest the video; until then no reader sees the label.",  # no such video
    "duplicate-label": _LABELS,  # one label of one video starts twice at one time
    "bad-span": _LABELS,  # not 0 <= start <= end, or half a second past the video's end, and not the whole video
    "video-without-frames": _AGAIN,  # its take has no rows
    "frame-count": _AGAIN,  # its take has rows, but not as many as videos.frames
    "frame-gap": _AGAIN,  # frame_index is not 0..n-1, or in flow 1..n
    "duplicate-frame": _AGAIN,  # one frame_index twice in a take; in flow too
    "other-video": _AGAIN,  # rows of a take that belong to another video; in flow too
    "source-order": _AGAIN,  # source_frame does not increase
    "time-order": _AGAIN,  # time_s does not start at 0, or does not increase
    "missing-vector": _AGAIN,  # null, and not a motion feature's at frame 0
    "motion-at-start": _AGAIN,  # a motion feature is not null at frame 0
    "not-finite": _AGAIN,  # a vector holds NaN, infinity or a null
    "not-unit": _AGAIN,  # a vector's length is off 1 by more than 0.01
    "bad-norm": _AGAIN,  # the norm of a vector that is there is null, not finite, or not above 0
    "flow-count": _AGAIN,  # not one row a frame but the first; with --no-keep-flow, any row
    "flow-unreadable": _AGAIN,  # its bytes cannot be decoded
    "bad-segment": _DERIVED,  # it has frames that are not the video's, comes twice, or a video's do not cover it
    "missing-model": _MODEL,  # of a feature, or of the behaviour space: it is not in the store, or is not whole
    "damaged-index": "`vimoclip optimize` makes it anew.",  # it cannot be read, or does not find every row
    "without-feature": "`vimoclip embed --as` its name, as often as it takes.",  # an added feature's vector is null
    "unfinished-feature": "`vimoclip embed --as` its name continues it, `vimoclip features drop` removes it.",
    "leftover-column": "Nothing is lost: `vimoclip optimize` drops it.",  # of a feature that was dropped
    "being-written": "Nothing: a writer is at work, and has not finished this video.",  # newer than its lock
    "leftover-rows": "Nothing is lost: the next ingest, or `vimoclip optimize`, drops them.",  # their take has no video
}
HARMLESS = {"without-feature", "unfinished-feature", "leftover-column", "being-written", "leftover-rows"}
# Faults of `segments` with the usual remedy; to mend any other, the table is deleted and made again.
_AS_ELSEWHERE = {
    "damaged-index",
    "leftover-rows",
    "missing-model",
}

MOST_PLACES, MOST_OF_A_NAME = 5, 100


@dataclass(frozen=True)
class Fault:
    """All faults of one name in one table that belong to one video.

    After 100 entries of a name, the rest of a table's faults are one more entry, without a video; counts stay right.

    Attributes:
        name: a key of FAULTS.
        table: the table.
        video_id: None where the faults do not belong to a single video.
        detail: the first 5 places, in words.
        remedy: what to do next.
        harmless: readers never meet it, or see it as a null.
        count: how many faults.
    """

    name: str
    table: str
    video_id: str | None
    detail: str
    remedy: str
    harmless: bool = False
    count: int = 1


class Faults:
    """Gathers faults, in bounded memory."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str, str | None], tuple[list[str], int]] = {}
        self._rest: dict[tuple[str, str], int] = {}
        self._entries: dict[str, int] = {}

    def add(self, name: str, table: str, video_id: str | None, *details: str, count: int | None = None) -> None:
        """Note faults.

        Args:
            name: a key of FAULTS.
            table: the table.
            video_id: the video, or None.
            details: the first of the faults, in words.
            count: how many faults; by default as many as there are details.
        """
        count = len(details) if count is None else count
        if count == 0:
            return
        known = self._found.get((name, table, video_id))
        if known is None and self._entries.get(name, 0) >= MOST_OF_A_NAME:
            self._rest[name, table] = self._rest.get((name, table), 0) + count
            return
        if known is None:
            self._entries[name] = self._entries.get(name, 0) + 1
        before, total = known or ([], 0)
        self._found[name, table, video_id] = ([*before, *details][:MOST_PLACES], total + count)

    def list(self) -> list[Fault]:
        """Return the faults in the order of FAULTS, those of one name as they were found."""
        found = dict(self._found)
        for (name, table), count in self._rest.items():
            places, before = found.get((name, table, None), ([], 0))
            found[name, table, None] = places, before + count
        faults = []
        for (name, table, video_id), (places, count) in found.items():
            more = [f"and {count - len(places)} more"] if count > len(places) else []
            detail = "; ".join([*places, *more])
            remedy = _DERIVED if table == "segments" and name not in _AS_ELSEWHERE else FAULTS[name]
            faults.append(Fault(name, table, video_id, detail, remedy, name in HARMLESS, count))
        order = list(FAULTS)
        return sorted(faults, key=lambda fault: order.index(fault.name))


class ReadableTables:
    """The tables of one consistent snapshot, without those that turned out to be damaged.

    Attributes:
        opened: the tables that can be read so far, by name.
        faults: those found so far; the checks add to them.
        progress: a stage a table, whose items are rows.
    """

    def __init__(self, at: StoreLocation, progress: Progress) -> None:
        self.faults, self.progress = Faults(), progress
        self.opened: dict[str, Table] = {}
        self._place = at
        self._unsound: set[tuple[str, str]] = set()  # (table, column)

    def open(self) -> str | None:
        """Open what can be opened; what cannot is a fault. Returns the feature whose promotion is unfinished."""

        def fault(name: str, error: StoreError) -> None:
            kind = "missing-table" if isinstance(error, StoreMissingError) else "unreadable-table"
            self.faults.add(kind, name, None, _why(error))

        self.opened, promoting = open_snapshot(self._place, fault)
        return promoting

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[None]:
        """Read a table; when it turns out to be damaged, note that and continue without it."""
        try:
            yield
        except StoreUnreachableError:
            raise
        except (StoreError, ValueError, pa.ArrowException) as error:  # ValueError: bytes that are not text
            self.opened.pop(name, None)
            self.faults.add("damaged-file", name, None, _why(error))

    def check_schema(self, name: str, expected: pa.Schema) -> None:
        """Compare a table's columns with those of `expected`: those that differ are faults, and are not read."""
        if (table := self.opened.get(name)) is None:
            return
        for field in expected:
            at = table.schema.get_field_index(field.name)
            found = table.schema.field(at) if at >= 0 else None
            if found is None and field.name in SINCE_FORMAT.get(name, {}):
                continue  # read as null
            if found is None or found.type != field.type or (found.nullable and not field.nullable):
                self._unsound.add((name, field.name))
                is_now = "missing" if found is None else _describe(found)
                detail = f"{field.name} is {is_now} instead of {_describe(field)}"
                self.faults.add("wrong-schema", name, None, detail)

    def table(self, name: str, *columns: str) -> Table | None:
        """Return the table, if it can be read and these columns are sound."""
        return None if any((name, column) in self._unsound for column in columns) else self.opened.get(name)

    def rows(self, name: str, columns: list[str]) -> list[dict[str, Any]] | None:
        """Read all rows of a small table; None where they cannot be read."""
        if (table := self.table(name, *columns)) is None:
            return None
        with self.reading(name):
            self.progress.stage(name, table.count())
            rows: list[dict[str, Any]] = table.read(columns).to_pylist()
            self.progress.advance(len(rows))
            return rows
        return None

    def check_indexes(self) -> None:
        """Open the indexes, and note those that are damaged."""
        for table in self.opened.values():
            try:
                table.unindexed("take")
            except StoreUnreachableError:
                raise
            except StoreDamagedError as error:
                self.faults.add("damaged-index", table.name, None, _why(error))


def _describe(field: pa.Field) -> str:
    return f"{field.type}{'' if field.nullable else ' not null'}"


def _why(error: Exception) -> str:
    """The cause, without advice on what to do."""
    received = getattr(error, "received", None)
    return next(iter(str(error if received is None else received).splitlines()), type(error).__name__)[:200]
