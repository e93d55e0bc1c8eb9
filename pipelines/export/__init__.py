"""Exporting a store, or a part of it, as files for other programs: run.py, with a module for each kind of format."""

from typing import Literal

Format = Literal["parquet", "arrow", "npz", "datasets"]
"""Tables as Parquet or Arrow IPC files; one npz file per video; a folder for Hugging Face's `datasets`."""
