"""A reader in another process, that holds snapshot after snapshot of a store against itself while it is written to."""

import collections
import contextlib
import multiprocessing
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

from benchmarks.command import DEADLINE_S


class Reader:
    """Another process that opens snapshot after snapshot of a store and holds each against itself."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_read, args=(there,), daemon=True)
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


def _read(requests: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError):
        while True:
            store = Path(requests.recv())
            polls, faults, most = 0, list[str](), -1
            took_s = 0.0
            while not requests.poll(max(0.02, 2 * took_s)):  # at most a third of a core
                began = time.monotonic()
                try:
                    most = look(store, most, faults)
                    polls += most >= 0
                except Exception as error:
                    faults.append(f"{type(error).__name__}: {error}")
                took_s = time.monotonic() - began
            requests.recv()
            requests.send((polls, list(dict.fromkeys(faults))))


def look(path: Path, most: int, faults: list[str]) -> int:
    """One snapshot; how many videos are in. most: there were before, -1 when there was no store yet."""
    from vimoclip.errors import StoreMissingError
    from vimoclip.store.feature_store import FeatureStore

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
