"""`make demo`: the main job on clips that are made on the spot, since nothing needs to be downloaded for it.

Renders short clips of moving shapes, ingests them with ViT-B-32, seeded random weights and DIS, prints the status. It
runs the same commands a user would type, and says so.
"""

import subprocess
import sys
from pathlib import Path

from vimoclip.shapes import write_folder

FOLDER = Path("demo")


def main() -> int:
    """Render, ingest, show; the exit status of the first command that fails."""
    videos, store = FOLDER / "videos", FOLDER / "store"
    if not (videos / "labels.csv").is_file():
        print(f"rendering clips of moving shapes into {videos}", flush=True)
        write_folder(videos, clips_per_behaviour=2, frames=24)
    made_up = ["--clip-model", "ViT-B-32", "--clip-weights", "none", "--flow", "dis"]
    for command in (
        ["ingest", str(videos), "--store", str(store), *made_up],
        ["verify", "--store", str(store)],
        ["status", "--store", str(store)],
    ):
        print(f"\n$ vimoclip {' '.join(command)}", flush=True)
        status = subprocess.run([sys.executable, "-m", "vimoclip", *command], check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    sys.exit(main())
