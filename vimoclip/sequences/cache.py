"""Vectors that do not fit into memory, mapped from files: one Arrow IPC file for each feature and fragment of `frames`.

A file holds the rows of its fragment in their order: take, frame_index, the feature's vectors and norms. Fragments
never change, so one more video costs one more small file; files of fragments that the snapshot no longer has are
removed. Nothing here is worth keeping: whatever is missing or damaged is made again.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from schemas.features import feature_columns
from vimoclip.atomic import atomic_write
from vimoclip.frames import runs, stored_values
from vimoclip.sequences.sequences import FrameSampling, Ints
from vimoclip.store.location import StoreLocation
from vimoclip.store.table import Table


def default_folder(place: StoreLocation) -> Path:
    """Return where a store's files lie by default: in the user's cache."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "vimoclip" / "sequences" / hashlib.sha256(str(place).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class MappedFile:
    """One file of the cache, as arrays of n rows.

    Attributes:
        take: int64 (n,).
        frame_index: int64 (n,).
        values: fp16 (n, D), a view of the file.
        norms: fp32 (n,), 0 where there is no vector.
    """

    take: Ints
    frame_index: Ints
    values: NDArray[np.float16]
    norms: NDArray[np.float32]


@dataclass(frozen=True)
class _Run:
    """Consecutive steps of a video, and their rows in the files of fragment `file`."""

    file: int
    steps: slice
    rows: slice | Ints


class MappedRows:
    """The steps of videos in mapped files: a `sequences.Rows`.

    Args:
        files: for each fragment, one file a feature.
        steps: which frames are read.
    """

    def __init__(self, files: Sequence[Sequence[MappedFile]], steps: FrameSampling) -> None:
        self._values = [[file.values for file in fragment] for fragment in files]
        self._widths = [part.shape[1] for part in self._values[0]] if files else []
        self._counts, self._runs = steps.counts.tolist(), _runs(files, steps)

    def read(self, videos: Ints, steps: int) -> list[Tensor]:
        """Read the vectors of videos; see `Rows`. Steps beyond a video's end are zero."""
        found = [np.empty((len(videos), steps, width), np.float16) for width in self._widths]
        for i, video in enumerate(videos.tolist()):
            for run in self._runs[video]:
                for into, values in zip(found, self._values[run.file], strict=True):
                    into[i, run.steps] = values[run.rows]
            if self._counts[video] < steps:
                for into in found:
                    into[i, self._counts[video] :] = 0
        return [torch.from_numpy(each) for each in found]


class SequenceCache:
    """The files in a folder, which is made where it is missing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self, frames: Table, features: Sequence[str]) -> list[list[MappedFile]]:
        """Map the files of a version of `frames`, and make those that are missing.

        Args:
            frames: the table.
            features: names of vector columns.

        Returns:
            For each fragment, in order, one file a feature.

        Raises:
            RunError: a file cannot be written.
            StoreDamagedError: a fragment cannot be read.
        """
        fragments = frames.fragments()
        keys = {key: hashlib.sha256(key.encode()).hexdigest()[:32] for key in fragments}
        self._drop({*keys.values()})
        return [
            [self._file(frames, number, self._folder / f"{keys[key]}.{feature}.arrow", feature) for feature in features]
            for key, number in fragments.items()
        ]

    def _file(self, frames: Table, number: int, path: Path, feature: str) -> MappedFile:
        try:
            return _mapped(path)
        except (OSError, pa.ArrowException, KeyError):
            _write(path, frames.read_fragment(number, ["take", "frame_index", *feature_columns([feature])]))
            return _mapped(path)

    def _drop(self, keys: set[str]) -> None:
        for path in self._folder.glob("*.arrow"):
            if path.name.partition(".")[0] not in keys:
                path.unlink(missing_ok=True)


def norms_of(files: Sequence[Sequence[MappedFile]], steps: FrameSampling) -> Tensor:
    """Gather the norms of all steps, fp32 (N, features); 0 where there is no vector, or no row."""
    found = np.zeros((int(steps.offsets[-1]), len(files[0]) if files else 0), np.float32)
    for fragment in files:
        rows = steps.rows(fragment[0].take, fragment[0].frame_index)
        for i, file in enumerate(fragment):
            found[rows[rows >= 0], i] = file.norms[rows >= 0]
    return torch.from_numpy(found)


def _runs(files: Sequence[Sequence[MappedFile]], steps: FrameSampling) -> list[list[_Run]]:
    found: list[list[_Run]] = [[] for _ in steps.takes]
    for number, fragment in enumerate(files):
        rows = steps.rows(fragment[0].take, fragment[0].frame_index)
        at = np.flatnonzero(rows >= 0)
        for video, first, last in _by_video(steps, rows[at]):
            own, step = at[first:last], rows[at[first:last]] - steps.offsets[video]
            together = own[-1] - own[0] == len(own) - 1
            span = slice(int(own[0]), int(own[-1]) + 1) if together else own
            found[video].append(_Run(number, slice(int(step[0]), int(step[-1]) + 1), span))
    return found


def _by_video(steps: FrameSampling, rows: Ints) -> Iterator[tuple[int, int, int]]:
    """(video, first, last) of each run of rows that follow each other in the same video."""
    videos = np.searchsorted(steps.offsets, rows, side="right") - 1
    for run in runs((videos,), (rows,)):
        yield int(videos[run.start]), run.start, run.stop


def _write(path: Path, rows: pa.Table) -> None:
    rows = rows.rename_columns(["take", "frame_index", "values", "norm"]).combine_chunks()
    with atomic_write(path) as beside, pa.OSFile(str(beside), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as file:
        file.write_table(rows, max_chunksize=max(len(rows), 1))  # one batch, so that each column is one array


def _mapped(path: Path) -> MappedFile:
    file = pa.ipc.open_file(pa.memory_map(str(path)))
    batch = file.get_batch(0)
    norms = batch["norm"].fill_null(0).to_numpy(zero_copy_only=False)
    take, index = batch["take"].to_numpy(), batch["frame_index"].to_numpy().astype(np.int64)
    return MappedFile(take, index, stored_values(batch["values"]), norms)
