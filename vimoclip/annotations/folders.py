"""Labels from where videos lie: the name of the folder, or the label file in it."""

import os
from collections.abc import Iterable
from pathlib import Path

from vimoclip.annotations.record import Annotation, Annotations, VideoAnnotations

FOLDERS = "<folders>"  # the `source` of labels that are names of folders


def from_folders(video_ids: Iterable[str]) -> Annotations:
    """Label each video with the name of the folder that directly holds it; one with no folder in its id gets none."""
    folders = {video_id: video_id.rpartition("/")[0].rpartition("/")[2] for video_id in video_ids}
    videos = (VideoAnnotations(each, (Annotation(folder),) if folder else ()) for each, folder in folders.items())
    return Annotations(FOLDERS, None, tuple(videos))


def find_labels(root: Path) -> Path | None:
    """The `labels.csv` in folder `root`, else the one beside it (in its parent), else None."""
    root = Path(os.path.abspath(root))  # the parent of `.` is `.`, and that of `a/..` is `a`
    return next((path for path in (root / "labels.csv", root.parent / "labels.csv") if path.is_file()), None)
