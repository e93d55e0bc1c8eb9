"""What a store holds, compared with another store, and with itself while it is written to.

`store_digest` and `differences` compare two stores bit by bit. `Reader` is another process that opens snapshot after
snapshot of a store at work, and says where one is not whole.
"""

import collections
import contextlib
import multiprocessing
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from benchmarks.common import DEADLINE_S
from vimoclip.store.feature_store import FeatureStore


class Reader:
    """Another process that opens snapshot after snapshot of a store and checks each against itself."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_poll, args=(there,), daemon=True)
        self._process.start()
        there.close()

    def watch(self, store: Path) -> None:
        """Poll this store from now on. It need not be there yet."""
        self._here.send(str(store))

    def stop(self) -> tuple[int, list[str]]:
        """How often it was polled, and what was wrong."""
        self._here.send(None)
        if not self._here.poll(DEADLINE_S):
            return 0, ["the reader hangs"]
        return cast(tuple[int, list[str]], self._here.recv())

    def close(self) -> None:
        """End it."""
        self._here.close()
        self._process.join(10)
        self._process.kill()
        self._process.join()
        self._process.close()


def _poll(requests: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError):
        while True:
            store = Path(requests.recv())
            polls, faults, most = 0, list[str](), -1
            took_s = 0.0
            while not requests.poll(max(0.02, 2 * took_s)):  # at most a third of a core
                began = time.monotonic()
                try:
                    most = check_snapshot(store, most, faults)
                    polls += most >= 0
                except Exception as error:
                    faults.append(f"{type(error).__name__}: {error}")
                took_s = time.monotonic() - began
            requests.recv()
            requests.send((polls, list(dict.fromkeys(faults))))


def check_snapshot(path: Path, most: int, faults: list[str]) -> int:
    """Open a snapshot and check that each video in it is whole and there once.

    Args:
        path: The store.
        most: How many videos there were before, -1 when there was no store yet.
        faults: What is found wrong is added to it.

    Returns:
        How many videos are in.
    """
    from vimoclip.errors import StoreMissingError

    try:
        store = FeatureStore.open(path)
    except StoreMissingError:
        if most >= 0:
            raise
        return most
    rows = store.rows()
    ids = collections.Counter(row.video_id for row in rows)
    faults += [f"{count} rows of {video_id}" for video_id, count in ids.items() if count > 1]
    ok = [row for row in rows if row.status == "ok"]
    if len(ok) < most:
        faults.append(f"{most} videos became {len(ok)}")
    read = {"frames": store.frames(["video_id", "take", "frame_index", "clip", "moclip"])}
    read["flow"] = store.tables["flow"].read()
    for name in (name for name, feature in store.features.items() if feature.added):
        missing = store.frames([name])[name].null_count
        faults += [f"{name} is null in {missing} frames"] * (missing > 0)
    for name, table in read.items():
        found = collections.defaultdict(list)
        columns = (table[column].to_pylist() for column in ("video_id", "take", "frame_index"))
        for video_id, take, index in zip(*columns, strict=True):
            found[video_id, take].append(index)
        for row in ok:
            expected = list(range(name == "flow", row.frames or 0))
            if sorted(found[row.video_id, row.take]) != expected:
                faults.append(f"{name} of {row.video_id}: {sorted(found[row.video_id, row.take])}, not {row.frames}")
    return len(ok)


def store_digest(path: str | Path) -> dict[str, str]:
    """All that a store holds, but for takes, times of ingest and numbers of attempts; floats to the last bit.

    Returns:
        The values, as text, by what they are: features, settings, labels, each video's row and each of its columns.
    """
    store = FeatureStore.open(path)
    features = {name: feature.fingerprint for name, feature in store.features.items()}
    held = {"features": repr(features), "settings": repr(store.config)}
    rows = [repr(label) for label in store.label_rows()]
    held["labels"] = "\n".join(sorted(rows))
    for row in store.rows():
        kept = {name: value for name, value in vars(row).items() if name not in ("take", "ingested_at", "attempts")}
        held[f"videos {row.video_id}"] = repr(sorted(kept.items()))
        if row.status == "ok":
            for name, table in (("frames", store.sequence(row.video_id)), ("flow", store.flow(row.video_id))):
                columns = [column for column in table.column_names if column != "take"]
                held |= {f"{name} {row.video_id} {column}": repr(table[column].to_pylist()) for column in columns}
    return held


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What two stores hold differently."""
    return [
        f"{what}: {found.get(what, 'nothing')[:300]} instead of {expected.get(what, 'nothing')[:300]}"
        for what in sorted(expected.keys() | found.keys())
        if expected.get(what) != found.get(what)
    ]
