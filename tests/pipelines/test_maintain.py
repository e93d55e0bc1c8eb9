"""Killed with SIGKILL at any moment of optimize: readers see what they saw, and the next run finishes the work."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import lance
from lance.dataset import DatasetOptimizer

from benchmarks.reliability.compare import differences, store_digest
from pipelines import maintain
from tests.vimoclip.stores import embedded, make_store, ok_row
from vimoclip.store import table
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table
from vimoclip.store.verify import verify
from vimoclip.store.writer import StoreWriter

MOMENTS = [  # the call of Lance's, which one of them, milliseconds after it began; None is when it is done
    ("create_scalar_index", 1, 0),
    ("create_scalar_index", 1, 2),
    ("create_scalar_index", 1, None),
    ("delete", 1, 1),
    ("delete", 2, None),
    ("compact_files", 1, 1),
    ("compact_files", 1, None),
    ("compact_files", 2, 6),
    ("cleanup_old_versions", 2, None),
]


def victim(store: str, call: str, number: int, after_ms: int | None) -> None:
    """Optimize the store, and die at that moment."""
    table.ROWS_TO_INDEX = 2
    owner = DatasetOptimizer if call == "compact_files" else lance.LanceDataset
    real: Callable[..., Any] = getattr(owner, call)
    calls = 0

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def stand_in(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == number and after_ms is not None:
            threading.Timer(after_ms / 1000, die).start() if after_ms else die()
        result = real(*args, **kwargs)
        if calls == number:
            die()
        return result

    setattr(owner, call, stand_in)
    maintain.optimize(store, timedelta(0))


def untidy(path: Path) -> None:
    """A store with what optimize is there for: an index to complete, many fragments, left-over and removed takes."""
    store = make_store(path, {f"{n}.mp4": 4 + n for n in range(8)})
    StoreWriter(store).optimize(timedelta(0))
    writer = StoreWriter(store.refresh())
    for video_id in ("0.mp4", "new.mp4", "newer.mp4"):
        writer.add(take := writer.new_take(), embedded(video_id, 0, 6))
        writer.put(ok_row(video_id, take, 6, store.fingerprint))
        writer.flush()
    writer.put(replace(writer.videos["1.mp4"], status="removed"))
    writer.flush()


def test_kill_9_at_any_moment_loses_nothing_and_the_next_run_finishes(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(table, "ROWS_TO_INDEX", 2)
    untidy(tmp_path / "untidy")
    shutil.copytree(tmp_path / "untidy", tmp_path / "unbroken")
    maintain.optimize(tmp_path / "unbroken", timedelta(0))
    seen = FeatureStore.open(tmp_path / "untidy").frames().num_rows
    expected = store_digest(tmp_path / "unbroken")

    def kill(moment: tuple[str, int, int | None]) -> list[str]:
        store = tmp_path / "-".join(map(str, moment))
        shutil.copytree(tmp_path / "untidy", store)
        program = f"from tests.pipelines.test_maintain import victim; victim({str(store)!r}, *{moment!r})"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        wrong = [] if done.returncode == -signal.SIGKILL else [f"it ended with {done.returncode}: {done.stderr}"]
        wrong += [f"after the kill: {fault}" for fault in verify(store) if not fault.harmless]
        found = FeatureStore.open(store)
        wrong += [] if found.frames().num_rows == seen else ["a reader saw other rows"]
        wrong += [
            f"{row.video_id} is not whole"
            for row in found.rows()
            if row.status == "ok" and found.sequence(row.video_id).num_rows != row.frames
        ]
        maintain.optimize(store, timedelta(0))
        wrong += [f"after the rerun: {fault}" for fault in verify(store)]
        wrong += differences(expected, store_digest(store))
        unindexed = [Table.open(store, name).unindexed("take") for name in ("frames", "flow")]
        wrong += [] if unindexed == [0, 0] else [f"not in the index: {unindexed}"]
        return wrong

    with ThreadPoolExecutor(2) as pool:
        wrong = dict(zip(MOMENTS, pool.map(kill, MOMENTS), strict=True))
    assert {moment: what for moment, what in wrong.items() if what} == {}
