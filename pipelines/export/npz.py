"""Exports as one npz file per video, which numpy reads without pickles."""

import hashlib
import json
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from pipelines.export.selection import Selection
from vimoclip.errors import ExportError
from vimoclip.progress import Progress
from vimoclip.store.frame_reader import FrameReader

# A video's frames as numpy arrays without missing values.


def video_arrays(found: Selection, frames: FrameReader, video_id: str) -> dict[str, np.ndarray]:
    """Read the n frames of a video.

    Args:
        found: what is exported.
        frames: reads its frames.
        video_id: of the video.

    Returns:
        Arrays by name: frame_index int32, source_frame int64, time_s float64 in s and flow_speed float32, each (n,);
        and for each feature `<name>` float16 (n, D), `<name>_norm` float32 (n,) and `<name>_present` bool (n,). Where
        a frame has no vector, `<name>_present` is False and vector and norm are zero. flow_speed is NaN where there is
        no motion.
    """
    rows = pa.concat_tables(frames.chunks([video_id], found.columns[1:]))
    arrays = {name: rows[name].to_numpy() for name in ("frame_index", "source_frame", "time_s")}
    arrays["flow_speed"] = rows["flow_speed"].fill_null(np.float32(np.nan)).to_numpy()
    for feature in found.features:
        vectors = rows[feature.name].combine_chunks()
        present = vectors.is_valid().to_numpy(zero_copy_only=False)
        values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(-1, feature.dim)  # of the present ones
        if not present.all():
            dense = np.zeros((len(present), feature.dim), np.float16)
            dense[present] = values
            values = dense
        arrays[feature.name] = values
        arrays[f"{feature.name}_norm"] = rows[f"{feature.name}_norm"].fill_null(np.float32(0)).to_numpy()
        arrays[f"{feature.name}_present"] = present
    return arrays


def check_names(found: Selection, *others: str) -> None:
    """Refuse features whose arrays would share a name with each other, or with one of `others`.

    Raises:
        ExportError: it names the array.
    """
    names = ["frame_index", "source_frame", "time_s", "flow_speed", *others]
    for feature in found.features:
        names += [feature.name, f"{feature.name}_norm", f"{feature.name}_present"]
    for name in names:
        if names.count(name) > 1:
            raise ExportError(
                "Two arrays of this export would have one name.",
                received=name,
                hint="Name the features to export with --feature, or rename one.",
            )


# The files.


_LONGEST_PART, _LONGEST_PATH = 255, 2000  # bytes of a name and of a path that file systems accept


def write_npz(found: Selection, frames: FrameReader, folder: Path, progress: Progress) -> None:
    """Write `videos/<video_id>.npz` for each video, and `videos.json`, which lists their files and metadata.

    Args:
        found: what to export.
        frames: reads its frames.
        folder: where to.
        progress: an item is a frame.

    Raises:
        ExportError: two ids are the same file on this disk, which ignores case; or two arrays would have the same name.
    """
    check_names(found, "video_id", "label", "start_s", "end_s")
    labels = found.labels.with_columns(pl.col("start_s").fill_null(-np.inf), pl.col("end_s").fill_null(np.inf))
    of_video = labels.partition_by("video_id", as_dict=True)
    listed = []
    for video in found.videos.iter_rows(named=True):
        video_id = video["video_id"]
        its = of_video.get((video_id,), labels.clear())
        file = Path("videos", file_name(video_id))
        arrays = {"video_id": np.array(video_id), **video_arrays(found, frames, video_id)}
        arrays["label"] = np.array(its["label"].to_list(), np.str_)
        arrays |= {name: its[name].to_numpy() for name in ("start_s", "end_s")}
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        _write(folder / file, arrays, video_id)
        columns = {"metadata.file" if name == "file" else name: value for name, value in video.items()}
        listed.append({"video_id": video_id, "file": file.as_posix(), **columns})
        progress.advance(video["frames"])
    text = json.dumps(listed, ensure_ascii=False, indent=1, default=datetime.isoformat)
    (folder / "videos.json").write_text(text, encoding="utf-8")


def file_name(video_id: str) -> Path:
    """The relative path of a video's file, `<video_id>.npz`: unique, and never the name of a folder.

    Percent-encoded, as in web addresses, are: `%` and a null byte; a folder named `.`, `..` or nothing; and the last
    dot of a folder that ends in .npz. An id that is too long for a path is replaced by its hash.
    """
    *folders, name = [part.replace("%", "%25").replace("\0", "%00") for part in video_id.split("/")]
    folders = [f"{part[:-4]}%2E{part[-3:]}" if part.lower().endswith(".npz") else part for part in folders]
    parts = [_SPECIAL.get(part, part) for part in folders] + [f"{name}.npz"]
    file = Path(*parts)
    if max(len(part.encode()) for part in parts) > _LONGEST_PART or len(str(file).encode()) > _LONGEST_PATH:
        return Path(f"%-{hashlib.blake2b(video_id.encode(), digest_size=16).hexdigest()}.npz")
    return file


_SPECIAL = {"": "%2F", ".": "%2E", "..": "%2E%2E"}


def _write(path: Path, arrays: dict[str, np.ndarray], video_id: str) -> None:
    """Write as `numpy.savez` does, which refuses an array named `file` and writes the time of day into its file."""
    try:
        with zipfile.ZipFile(path, "x") as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, array, allow_pickle=False)
    except FileExistsError:
        raise ExportError(
            "Two videos would be one file: this disk does not tell their names apart.",
            received=video_id,
            expected="a file system that distinguishes A and a",
            hint="Export to another disk, or in another format.",
        ) from None
