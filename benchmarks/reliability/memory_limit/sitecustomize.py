"""With this folder on PYTHONPATH, a command and all it starts run out of memory as on a small device, for real batches.

VIMOCLIP_MEMORY_LIMIT=CALLS:MOST lets the towers of each process have CALLS batches, and then none of more than MOST
images.
"""

import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _Finder:
    """Stands in for the finder of vimoclip.models.clip alone, so that nothing is imported before its time."""

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "vimoclip.models.clip":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            _limit(module.ClipTeacher)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _limit(teacher: Any) -> None:
    import torch

    calls, most = map(int, os.environ["VIMOCLIP_MEMORY_LIMIT"].split(":"))
    real = teacher.__call__

    def limited(self: Any, images: Any) -> Any:
        nonlocal calls
        calls -= 1
        if calls < 0 and len(images) > most:
            raise torch.OutOfMemoryError("Memory is scarce.")
        return real(self, images)

    teacher.__call__ = limited


sys.meta_path.insert(0, _Finder())
