"""What a figure was measured on, in one line: it belongs beside every figure."""

import importlib.metadata
import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def describe() -> str:
    """CPU, cores, date and the versions that matter."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
        flags = next((line for line in lines if line.startswith("flags")), "")
        model += "".join(f" {name}" for name in ("avx512_bf16", "amx_bf16") if name in flags)
    versions = ", ".join(f"{name} {_version(name)}" for name in ("torch", "open_clip_torch", "pylance", "av"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {model}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"
    )


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "-"
