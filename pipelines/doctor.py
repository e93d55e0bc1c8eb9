"""Checking the installation, the machine and the store: each check says what it found, and what to do about it."""

import importlib
import importlib.metadata
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from schemas.features import arithmetic
from vimoclip.errors import StoreLockedError, VimoclipError
from vimoclip.import_guard import HOME, PACKAGES
from vimoclip.progress import count
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.location import LocalFolder, LocationLike, StoreLocation, as_location
from vimoclip.store.lock import holder_description, writer_lock

NEEDED = (
    "torch",
    "torchvision",
    "open_clip",
    "lance",
    "lancedb",
    "pyarrow",
    "openpyxl",
    "polars",
    "ray",
    "av",
    "cv2",
    "typer",
    "rich",
)
_DISTRIBUTIONS = {"open_clip": "open_clip_torch", "lance": "pylance", "cv2": "opencv-python-headless"}


@dataclass(frozen=True)
class Check:
    """The result of a check.

    Attributes:
        name: of the check.
        ok: whether it passed.
        found: what it found, in words.
        remedy: what to do where it failed.
    """

    name: str
    ok: bool
    found: str
    remedy: str = ""


def run(store: LocationLike) -> list[Check]:
    """Run every check, whatever the others find.

    It makes a probe file in the store's folder for a moment, and takes the store's lock.
    """
    checks = [_python(), *(_package(name) for name in NEEDED), *_own_packages()]
    checks += [
        _guarded("device", _device),
        _guarded("decoder", _decoder),
        _guarded("store", lambda: _store(as_location(store))),
    ]
    return checks


def _guarded(name: str, check: Callable[[], Check]) -> Check:
    """Run a check; an error becomes its result."""
    try:
        return check()
    except VimoclipError as error:
        return Check(name, False, str(error), error.hint)
    except Exception as error:  # a broken installation may fail with anything
        return Check(
            name, False, f"{type(error).__name__}: {error}", "Install again with the versions of constraints.txt."
        )


def _python() -> Check:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return Check("python", sys.version_info >= (3, 11), found, "ViMoCLIP needs Python 3.11 or newer.")


def _package(name: str) -> Check:
    try:
        importlib.import_module(name)
        return Check(name, True, importlib.metadata.version(_DISTRIBUTIONS.get(name, name)))
    except Exception as error:  # an extension module may fail with anything
        found = f"{type(error).__name__}: {error}"[:200]
        return Check(name, False, found, f"pip install {_DISTRIBUTIONS.get(name, name)}, with constraints.txt.")


def _own_packages() -> list[Check]:
    """`cli`, `schemas` and `pipelines` are common names: another package may have overwritten ours."""
    owners = importlib.metadata.packages_distributions()
    checks = []
    for name in ("vimoclip", *PACKAGES):
        place = Path(importlib.import_module(name).__file__ or "").resolve()
        others = sorted(set(owners.get(name, [])) - {"vimoclip"})
        ok = place.parent.parent == HOME and not others
        found = str(place.parent) + (f", also installed by {', '.join(others)}" if others else "")
        remedy = f"Install ViMoCLIP in an environment of its own: another package also brings `{name}`."
        checks.append(Check(f"package {name}", ok, found, remedy))
    return checks


def _device() -> Check:
    from vimoclip.config.store import RunConfig
    from vimoclip.device import cores, pick_batch_size, pick_device, pick_precision

    device = pick_device(RunConfig().device)
    precision = pick_precision("auto", device)
    found = f"{device}, {precision}, batches of {pick_batch_size(0, device)}, {cores()} cores"
    return Check("device", True, found)


def _decoder() -> Check:
    """Decode a clip in a child process, as ingest does: it finds a broken FFmpeg, and a forbidden subprocess."""
    import numpy as np

    from vimoclip.config.store import RunConfig, Sampling
    from vimoclip.frames import VideoDone, VideoJob
    from vimoclip.video.decoder_process import DecoderProcess
    from vimoclip.video.encode import write_clip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "probe.mp4")
        write_clip(path, iter([np.zeros((64, 64, 3), np.uint8)] * 2), 25.0)
        decoder = DecoderProcess(Sampling(), RunConfig(timeout_s=20))
        events = [event for _, event in decoder.stream([VideoJob("probe", str(path))])]
    last = events[-1]
    if isinstance(last, VideoDone):
        import av

        return Check("decoder", True, f"FFmpeg {av.ffmpeg_version_info} in a child process")
    return Check("decoder", False, str(last), "Install av again with the version of constraints.txt.")


def _store(at: StoreLocation) -> Check:
    if not FeatureStore.exists(at):
        return Check("store", True, f"none at {at} yet")
    store = FeatureStore.open(at)
    try:
        if isinstance(at, LocalFolder):
            with tempfile.NamedTemporaryFile(dir=at.path, prefix=".probe-") as probe:
                os.link(probe.name, probe.name + "-link")
                os.unlink(probe.name + "-link")
    except OSError as error:
        remedy = "Keep the store in a folder you may write to, on a file system that has hard links."
        return Check("store", False, f"cannot be written to: {error}", remedy)
    how = arithmetic(store.config.clip.precision, store.config.clip.memory_format)
    found = f"{count(len(store.rows()), 'video')}, {count(len(store.features), 'feature')}, in {how}"
    try:
        with writer_lock(at, wait=False):
            return Check("store", True, found)
    except StoreLockedError:
        return Check("store", True, f"{found}; being written to by {holder_description(at)}")
