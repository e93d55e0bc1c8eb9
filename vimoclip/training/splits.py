"""Which videos are trained on, and which are held out: by the splits of label files, or by lot where there are none."""

import hashlib
from collections.abc import Sequence

from schemas.videos import Video
from vimoclip.errors import RunError
from vimoclip.store.feature_store import FeatureStore


def of_split(store: FeatureStore, split: str | None = None) -> list[Video]:
    """The videos of a split that are in, by video_id; None is all of them.

    Raises:
        RunError: there is none.
    """
    videos = sorted((row for row in store.rows() if row.status == "ok"), key=lambda row: row.video_id)
    chosen = [row for row in videos if split is None or row.split == split]
    if not chosen:
        raise RunError(
            f"No video is in the split {split}." if videos else "No video is in the store.",
            expected=", ".join(splits(store)) or ("--hold-out, since no video has a split" if videos else None),
            hint="Splits come from label files: `vimoclip label FILE`." if videos else "`vimoclip ingest` adds some.",
        )
    return chosen


def splits(store: FeatureStore) -> list[str]:
    """The splits that videos are in, by name."""
    return sorted({row.split for row in store.rows() if row.status == "ok" and row.split})


def hold_out(videos: Sequence[Video], share: float, seed: int) -> tuple[list[Video], list[Video]]:
    """About a share of the videos apart from the rest: (to be trained on, held out).

    The lot of a video follows from its id and the seed alone: new videos change nothing about the others.

    Raises:
        RunError: one of the two would be empty.
    """
    held = [row for row in videos if _lot(row.video_id, seed) < share]
    others = [row for row in videos if _lot(row.video_id, seed) >= share]
    if not held or not others:
        raise RunError(
            "Too few videos to hold some out.",
            received=f"{len(videos)} videos, of which {len(held)} would be held out",
            hint="Give the videos splits, by the column `split` of a label file (`vimoclip label FILE`); or hold out "
            "another share of them (--hold-out 0.4), or by another lot (--seed 1).",
        )
    return others, held


def _lot(video_id: str, seed: int) -> float:
    """From 0 up to 1."""
    digest = hashlib.sha256(f"{seed} {video_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
