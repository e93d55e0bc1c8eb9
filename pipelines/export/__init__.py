"""What is in a store, or a part of it, as files for other programs: run.py does it, with a module a form."""

from typing import Literal

Format = Literal["parquet", "arrow", "npz", "datasets"]
"""Tables as Parquet or Arrow IPC files; an npz file a video; a folder for Hugging Face's `datasets`."""
