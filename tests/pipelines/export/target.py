"""A program: an export that kills itself. Arguments: store, out, format, moment.

moment: `writing`, after half of the frames; `before`, when all is written; `after`, when the folder has its name.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from pipelines.export.run import run
from vimoclip.progress import Progress


def die(*_: Any) -> None:
    """As `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    store, out, form, moment = sys.argv[1:]
    if moment == "before":
        Path.rename = die  # type: ignore[method-assign, assignment]
    elif moment == "after":
        Path.unlink = die  # type: ignore[method-assign, assignment]

    class Dies(Progress):
        def stage(self, name: str, total: int | None = None) -> None:
            self.left = total or 0
            self.half = self.left / 2

        def advance(self, n: int = 1, note: str | None = None) -> None:
            self.left -= n
            if moment == "writing" and self.left <= self.half:
                die()

    run(store, Path(out), form, progress=Dies())  # type: ignore[arg-type]
