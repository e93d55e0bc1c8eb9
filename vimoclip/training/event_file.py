"""The records of a run as scalars for TensorBoard, in the run's folder, where tensorboard is installed.

A run that goes on hides what was written before and writes all of it again: whatever moment it was killed at, every
epoch is there once.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Record = dict[str, Any]


class EventFile:
    """Takes records. writer: torch's SummaryWriter, or None where there is none."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def add(self, record: Record) -> None:
        """Every number of a record, those of its parts as `part/name`, at its epoch."""
        if self._writer is None:
            return
        for name, value in _scalars(record):
            self._writer.add_scalar(name, value, record["epoch"])
        self._writer.flush()


@contextlib.contextmanager
def event_file(folder: Path | None, records: list[Record]) -> Iterator[EventFile]:
    """One that holds these records; of a run without a folder, or without tensorboard, one that keeps nothing."""
    writer = None
    if folder is not None:
        with contextlib.suppress(ImportError):
            from torch.utils.tensorboard import SummaryWriter

            writer = SummaryWriter(str(folder), purge_step=0)
    made = EventFile(writer)
    try:
        for record in records:
            made.add(record)
        yield made
    finally:
        if writer is not None:
            writer.close()


def _scalars(record: Record, above: str = "") -> Iterator[tuple[str, float]]:
    for name, value in record.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{above}{name}/")
        elif isinstance(value, int | float) and name != "epoch":
            yield f"{above}{name}", float(value)
