"""`make demo`: the main job on a rendered savannah, since nothing needs to be downloaded for it.

Renders 60 clips, ingests them with vimoclip-tiny and DIS, shows what is in the store, and draws a contact sheet: a
strip of frames of each behaviour, found by the store's labels. It runs the same commands a user would type, and says
so. A second run goes on from what is there.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from rich.console import Console

import vimoclip
from vimoclip.contact_sheet import Strip, draw, frames_at, spread, write
from vimoclip.savannah import write_folder
from vimoclip.store import FeatureStore

CLIPS = 60
FRAMES = 6
"""Of a strip."""


def main(folder: Path, clips: int = CLIPS) -> int:
    """Render, ingest, show; the exit status of the first command that fails."""
    console = Console(highlight=False, soft_wrap=True)
    videos, at = folder / "videos", folder / "store"
    if not (videos / "labels.csv").is_file():
        console.print(f"Rendering {clips} clips of a savannah into {videos}", markup=False)
        write_folder(videos, clips)
    for command in (
        ["ingest", str(videos), "--store", str(at), "--clip-model", "vimoclip-tiny", "--flow", "dis"],
        ["verify", "--store", str(at)],
        ["status", "--store", str(at)],
    ):
        console.print(f"\n$ vimoclip {' '.join(command)}", markup=False)
        status = subprocess.run([sys.executable, "-m", "vimoclip", *command], check=False).returncode
        if status:
            return status
    sheet = write(folder / "contact-sheet.png", draw(list(strips(vimoclip.open_store(at))), columns=2))
    console.print(f"\nA strip of every behaviour: {sheet}", markup=False)
    return 0


def strips(store: FeatureStore) -> Iterator[Strip]:
    """The longest bout of each behaviour as a strip, the behaviours in alphabetical order."""
    bouts = store.labels().drop_nulls("start_s").join(store.videos(), on="video_id")
    by_length = bouts.sort(pl.col("start_s") - pl.col("end_s"), "video_id")
    longest = by_length.unique("label", keep="first", maintain_order=True)
    for bout in longest.sort("label").to_dicts():
        times = spread(bout["start_s"], bout["end_s"], FRAMES)
        note = f"{bout['video_id']}, {bout['start_s']:.1f} to {bout['end_s']:.1f} s: {bout['caption']}"
        yield Strip(bout["label"], note, frames_at(bout["path"], times))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Render a savannah, ingest it, and look at it.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo"), help="for videos, store and sheet")
    sys.exit(main(parser.parse_args().folder))
