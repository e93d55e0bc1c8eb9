"""Vectors that other tools made: which video each is of, at which of its frames or times, and the stored frames there.

`open_vectors` recognises what a path holds:

    a folder     a file a video, by its name: NAME.npy, n vectors of D values, or NAME.npz, an array of them beside
                 another of times or frames. Beside NAME.npy may lie NAME_time_s.npy or NAME_frame.npy. A pattern such
                 as `features/*_rgb.npy` takes some of the files, and the path of one file takes that
    Parquet      a row a vector: the video's name, the vector, and the time or frame
    HDF5         a dataset of n vectors a video, named after it; or a group, with another of times or frames

Columns and arrays are called as `_VIDEOS`, `_VECTORS` and `_POSITIONS` say. Times are seconds from the first frame;
frames are decoded ones, from 0. Without either there must be a vector for each decoded frame, or each stored one.

The folders of v-iashin/video_features are read as it writes them: NAME_clip.npy, NAME_timestamps_ms.npy, NAME_fps.npy.
"""

import glob
import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from schemas.videos import Video
from vimoclip.errors import FeatureError, VideoError
from vimoclip.frames import Embeddings, VideoFailed, runs

Clock = Literal["time", "frame"]

_VIDEOS = ("video_id", "video", "filepath", "path", "filename")
_VECTORS = ("vectors", "vector", "features", "feature", "embeddings", "embedding")
_POSITIONS: dict[str, tuple[Clock, float]] = {
    "source_frame": ("frame", 1.0),
    "frame": ("frame", 1.0),
    "frames": ("frame", 1.0),
    "time_s": ("time", 1.0),
    "times_s": ("time", 1.0),
    "timestamps_s": ("time", 1.0),
    "time_ms": ("time", 1e-3),
    "timestamps_ms": ("time", 1e-3),
}
"""Names of columns and arrays that say where vectors lie, best first: what they count, and in what unit."""

_KEYS = ("clip", "resnet", "timm", "r21d", "s3d", "rgb", "flow", "raft", "pwc", "vggish")
"""What video_features puts after the name of a video."""

_STACKS = ("rgb", "flow")
"""Those of which a timestamp is the end of a stack of frames, the first of which begins at 0, and not its middle."""

_BATCH = 4096  # rows of Parquet in memory


@dataclass(frozen=True, eq=False)
class VideoVectors:
    """The vectors of one video, as a tool wrote them.

    Attributes:
        name: of the video, as written.
        values: real numbers, (n, D).
        at: fp64 (n,), where they lie; None where the file does not say.
        clock: what `at` counts: seconds from the first frame, or decoded frames.
    """

    name: str
    values: NDArray[Any]
    at: NDArray[np.float64] | None = None
    clock: Clock = "time"

    def of_frames(self, row: Video, source_frame: NDArray[np.integer[Any]], time_s: NDArray[np.float64]) -> Embeddings:
        """Give each stored frame the vector that is nearest in time, or none.

        A vector reaches half as far as the vectors of the video lie apart, or its stored frames where these lie farther
        apart. So of dense vectors each stored frame takes its own, and vectors of stacks cover the frames around them.

        Args:
            row: of the video.
            source_frame: of its n stored frames.
            time_s: of the same.

        Returns:
            Unit vectors; frames that no vector reaches, or only one of zeros, have none.

        Raises:
            VideoError: `bad-vectors`: these cannot be vectors of this video's frames. `not-finite`: a value is not.
        """
        if self.values.ndim != 2 or self.values.dtype.kind not in "fiu" or not self.values.size:
            raise _bad("The array holds no vectors.", f"{self.values.dtype} {self.values.shape}", "numbers, (n, D)")
        with np.errstate(over="ignore"):
            values = self.values.astype(np.float32)
        if not np.isfinite(values).all():
            raise VideoError("not-finite", "A vector is not finite.", received=f"in {self.name}")
        at, clock = self._positions(row, source_frame)
        own = source_frame.astype(np.float64) if clock == "frame" else time_s
        order = np.argsort(at, kind="stable")
        at, values = at[order], values[order]
        if (np.diff(at) <= 0).any():
            raise _bad(f"Two vectors have the same {clock}.", f"{at[:-1][np.diff(at) <= 0][0]:g}")
        spacing = max(_spacing(at), _spacing(own))
        last = (row.decoded_frames or 0) - 1 if clock == "frame" else (row.duration_s or 0.0) + 1 / (row.fps or 25.0)
        if not np.isfinite(at).all() or at[0] < 0 or at[-1] > last:
            unit = " s" if clock == "time" else ""
            raise _bad(
                "Vectors lie outside of the video.",
                f"{clock} {at[0]:g} to {at[-1]:g}{unit}",
                f"0 to {last:g}{unit}",
                "Are they of another file or cut? Frames count from 0, and times from the first frame.",
            )
        after = np.searchsorted(at, own).clip(1, max(len(at) - 1, 1))
        nearest = np.where(np.abs(own - at[after - 1]) <= np.abs(own - at[after % len(at)]), after - 1, after % len(at))
        reached = np.abs(own - at[nearest]) <= spacing / 2 * (1 + 1e-6) + 1e-9
        chosen = np.where(reached[:, None], values[nearest], np.float32(0))
        norm = np.linalg.norm(chosen.astype(np.float64), axis=1)
        unit_vectors = np.divide(chosen, norm[:, None], where=norm[:, None] > 0, out=np.zeros_like(chosen))
        return Embeddings(unit_vectors.astype(np.float16), norm.astype(np.float32))

    def _positions(self, row: Video, source_frame: NDArray[np.integer[Any]]) -> tuple[NDArray[np.float64], Clock]:
        count = len(self.values)
        if self.at is not None:
            if self.at.shape != (count,):
                raise _bad("Each vector needs one position.", f"{self.at.shape} for {count} vectors")
            return self.at, self.clock
        if count == row.decoded_frames:
            return np.arange(count, dtype=np.float64), "frame"
        if count == len(source_frame):
            return source_frame.astype(np.float64), "frame"
        raise _bad(
            "The file says neither at which times nor at which frames its vectors lie.",
            f"{count} vectors",
            f"{row.decoded_frames}, one a decoded frame, or {len(source_frame)}, one a stored frame",
            f"Write them beside it: {self.name}_time_s.npy in seconds, or {self.name}_frame.npy.",
        )


def _spacing(at: NDArray[np.float64]) -> float:
    return float(np.median(np.diff(at))) if len(at) > 1 else 0.0


def _bad(what: str, received: object = None, expected: object = None, hint: str = "") -> VideoError:
    return VideoError("bad-vectors", what, received=received, expected=expected, hint=hint)


class VectorFiles(ABC):
    """What a path holds.

    Attributes:
        aliases: the names of videos as written, in the order in which `iter_videos` reads them; for each, what else the
            video may be called.
    """

    aliases: Mapping[str, tuple[str, ...]]

    @abstractmethod
    def iter_videos(self, names: Collection[str]) -> Iterator[VideoVectors | VideoFailed]:
        """Read the vectors of some videos, one after another; a VideoFailed, by the name, for what cannot be read."""

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of everything that is read, 64 hex digits."""


def open_vectors(path: str, feature: str) -> VectorFiles:
    """Open a folder, a pattern of files, or a file.

    Args:
        path: what holds the vectors.
        feature: name of the feature, which an array of vectors may have too.

    Raises:
        FeatureError: there is nothing, or nothing that holds vectors; or several vectors of a video.
    """
    at = Path(path)
    if at.is_dir():
        found = [each for kind in (".npy", ".npz") for each in at.rglob(f"*{kind}")]
        return _Folder(at, found, feature)
    if at.suffix in (".npy", ".npz") and at.is_file():
        return _Folder(at.parent, [at], feature)
    if at.is_file():
        with at.open("rb") as file:
            start = file.read(8)
        if start[:4] == b"PAR1":
            return _Parquet(at, feature)
        if start == b"\x89HDF\r\n\x1a\n":
            return _Hdf5(at, feature)
    elif not at.exists() and glob.has_magic(path):
        fixed = list(at.parts[:-1])
        while any(glob.has_magic(part) for part in fixed):
            fixed.pop()
        found = [Path(each) for each in glob.glob(path, recursive=True) if each.endswith((".npy", ".npz"))]
        return _Folder(Path(*fixed), found, feature)
    raise FeatureError(
        "There are no vectors that can be read.",
        received=path,
        expected="a folder or pattern of .npy or .npz, a Parquet file or an HDF5 file",
    )


class _Folder(VectorFiles):
    def __init__(self, folder: Path, found: list[Path], feature: str) -> None:
        self._feature = feature
        self._files: dict[str, Path] = {}
        self._split: dict[str, tuple[str, str]] = {}
        self.aliases: dict[str, tuple[str, ...]] = {}
        videos: dict[str, list[str]] = {}
        for path in sorted(found):
            if not _holds_vectors(path, feature):
                continue
            inside = path.parent.relative_to(folder)
            name, (stem, key) = (inside / path.stem).as_posix(), _split_key(path, feature)
            videos.setdefault((inside / stem).as_posix(), []).append(path.name)
            self._files[name], self._split[name] = path, (stem, key)
            # The whole name comes first: of mouse.mp4 and mouse_flow.mp4, mouse_flow.npy is the second's.
            self.aliases[name] = ((inside / stem).as_posix(), stem) if key else ()
        if several := {video: files for video, files in videos.items() if len(files) > 1}:
            video, files = next(iter(several.items()))
            key = _split_key(Path(files[-1]), feature)[1]
            raise FeatureError(
                f"Several files hold vectors of one video ({len(several)} such).",
                received=f"{video}: {', '.join(files)}",
                expected="one of them",
                hint=f"A pattern chooses: --vectors '{folder}/*_{key or 'NAME'}.npy'",
            )
        if not self._files:
            raise FeatureError("The folder holds no vectors.", received=folder, expected=".npy or .npz files")

    def iter_videos(self, names: Collection[str]) -> Iterator[VideoVectors | VideoFailed]:
        for name, path in self._files.items():
            if name in names:
                try:
                    yield self._read(name, path)
                except VideoError as error:
                    yield VideoFailed(name, error.kind, str(error))
                except (OSError, ValueError, EOFError) as error:  # what numpy raises for files that it cannot read
                    yield VideoFailed(name, "unreadable", f"{path} cannot be read: {error}")

    def _read(self, name: str, path: Path) -> VideoVectors:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _of_arrays(name, {each: arrays[each] for each in arrays.files}, self._feature)
        values = np.load(path, allow_pickle=False)
        stem, key = self._split[name]
        for beside, end in _beside(path, stem):
            at, clock = _positions(np.load(beside, allow_pickle=False), end)
            if clock == "time" and key in _STACKS and len(at):
                at -= at[0] / 2
            return VideoVectors(name, values, at, clock)
        return VideoVectors(name, values)

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for name, path in self._files.items():
            digest.update(name.encode() + b"\0" + _sha256(path))
            for beside, _ in _beside(path, self._split[name][0]):
                digest.update(_sha256(beside))
        return digest.hexdigest()


def _split_key(path: Path, feature: str) -> tuple[str, str]:
    """The name of a video, and what a tool put after it; that is empty where it is nothing known."""
    name, _, key = path.stem.rpartition("_")
    if not name or key not in (*_KEYS, feature) or any(_beside(path, path.stem)):
        return path.stem, ""
    return name, key


def _beside(path: Path, stem: str) -> Iterator[tuple[Path, str]]:
    """The files of positions beside one of vectors, and how their names end, best first."""
    for end in _POSITIONS:
        if (beside := path.with_name(f"{stem}_{end}.npy")).is_file():
            yield beside, end


def _holds_vectors(path: Path, feature: str) -> bool:
    """Whether a file is not of the positions of another that lies beside it."""
    for end in (*_POSITIONS, "fps"):
        name = path.stem.removesuffix(f"_{end}")
        if path.suffix == ".npy" and name != path.stem:
            others = [name, *(f"{name}_{key}" for key in (*_KEYS, feature))]
            return not any(path.with_name(f"{other}.npy").is_file() for other in others)
    return True


class _Parquet(VectorFiles):
    def __init__(self, path: Path, feature: str) -> None:
        self._path = path
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise FeatureError("The Parquet file cannot be read.", received=f"{path}: {error}") from error
        schema = self._file.schema_arrow
        video = next((each for each in _VIDEOS if each in schema.names), None)
        if video is None:
            raise FeatureError(
                "The table lacks a column of videos.",
                received=f"{', '.join(schema.names)} in {path}",
                expected=" or ".join(_VIDEOS),
            )
        self._video = video
        lists = [field.name for field in schema if _is_vector(field.type)]
        self._vector = _vectors_among(lists, feature, path)
        self._position = next((each for each in _POSITIONS if each in schema.names), None)
        names = [str(each) for each in self._column(self._video)]
        self.aliases = dict.fromkeys(names, ())
        changes = 1 + sum(one != other for one, other in itertools.pairwise(names))
        if names and changes != len(self.aliases):
            raise FeatureError(
                "The rows of a video do not lie together.",
                received=f"{changes} runs of {len(self.aliases)} videos",
                hint=f"Sort the table by {self._video}.",
            )

    def iter_videos(self, names: Collection[str]) -> Iterator[VideoVectors | VideoFailed]:
        columns = [each for each in (self._video, self._vector, self._position) if each is not None]
        held: list[pa.RecordBatch] = []
        for batch in self._file.iter_batches(_BATCH, columns=columns):
            videos = [str(each) for each in batch[self._video].to_pylist()]
            for run in runs([np.unique(videos, return_inverse=True)[1]]):
                name, part = videos[run.start], batch.slice(run.start, run.stop - run.start)
                if held and str(held[0][self._video][0].as_py()) != name:
                    yield from self._made(held, names)
                    held = []
                held.append(part)
        if held:
            yield from self._made(held, names)

    def _made(self, held: list[pa.RecordBatch], names: Collection[str]) -> Iterator[VideoVectors | VideoFailed]:
        rows = pa.Table.from_batches(held)
        name = str(rows[self._video][0].as_py())
        if name not in names:
            return
        vectors = rows[self._vector].combine_chunks()
        widths = pc.unique(pc.list_value_length(vectors)).to_pylist()
        if len(widths) != 1 or widths[0] is None or vectors.flatten().null_count:
            yield VideoFailed(name, "bad-vectors", f"The vectors of {name} are missing, or of several widths.")
            return
        values = vectors.flatten().to_numpy(zero_copy_only=False).reshape(len(rows), -1)
        if self._position is None:
            yield VideoVectors(name, values)
        else:
            position = rows[self._position].to_numpy().astype(np.float64)
            yield VideoVectors(name, values, *_positions(position, self._position))

    def _column(self, name: str) -> Iterator[Any]:
        for batch in self._file.iter_batches(1 << 16, columns=[name]):
            yield from batch[name].to_pylist()

    @property
    def sha256(self) -> str:
        return _sha256(self._path).hex()


class _Hdf5(VectorFiles):
    def __init__(self, path: Path, feature: str) -> None:
        try:
            import h5py
        except ImportError as error:
            raise FeatureError(
                "An HDF5 file is read by h5py, which is not installed.", received=path, hint="pip install h5py"
            ) from error
        self._path, self._feature = path, feature
        self._groups: dict[str, bool] = {}  # name of a video -> whether it is a group
        try:
            self._file = h5py.File(path, "r")
        except OSError as error:
            raise FeatureError("The HDF5 file cannot be read.", received=f"{path}: {error}") from error

        def visit(name: str, found: Any) -> None:
            if isinstance(found, h5py.Dataset) and found.ndim >= 2:
                parent, _, last = name.rpartition("/")
                of_group = bool(parent) and last in (feature, *_VECTORS)
                self._groups[parent if of_group else name] = of_group

        self._file.visititems(visit)
        if not self._groups:
            raise FeatureError("The HDF5 file holds no vectors.", received=path, expected="a dataset (n, D) a video")
        self.aliases = dict.fromkeys(self._groups, ())

    def iter_videos(self, names: Collection[str]) -> Iterator[VideoVectors | VideoFailed]:
        for name in (each for each in self._groups if each in names):
            try:
                found = self._file[name]
                if self._groups[name]:
                    arrays = {each: np.asarray(found[each]) for each in found if hasattr(found[each], "shape")}
                    yield _of_arrays(name, arrays, self._feature)
                else:
                    yield VideoVectors(name, np.asarray(found))
            except VideoError as error:
                yield VideoFailed(name, error.kind, str(error))
            except OSError as error:
                yield VideoFailed(name, "unreadable", f"{name} cannot be read: {error}")

    @property
    def sha256(self) -> str:
        return _sha256(self._path).hex()


def _of_arrays(name: str, arrays: Mapping[str, NDArray[Any]], feature: str) -> VideoVectors:
    """The vectors of a video, of the arrays that one file or group holds."""
    try:
        chosen = _vectors_among([each for each in arrays if arrays[each].ndim == 2], feature, Path(name))
    except FeatureError as error:
        raise _bad(error.what, error.received, error.expected) from error
    values = arrays[chosen]
    kept = np.ones(len(values), np.bool_)
    if {f"{chosen}_norm", f"{chosen}_present"} <= arrays.keys():  # as `vimoclip export` writes them
        values = values.astype(np.float32) * arrays[f"{chosen}_norm"][:, None]
        kept = arrays[f"{chosen}_present"].astype(bool)
    for each in _POSITIONS:
        if each in arrays:
            at, clock = _positions(arrays[each], each)
            if len(at) == len(kept):
                at = at[kept]
            return VideoVectors(name, values[kept], at, clock)
    return VideoVectors(name, values)


def _positions(found: NDArray[Any], name: str) -> tuple[NDArray[np.float64], Clock]:
    clock, unit = _POSITIONS[name]
    return np.atleast_1d(found).astype(np.float64) * unit, clock


def _vectors_among(found: list[str], feature: str, where: Path) -> str:
    """The name of the array or column that holds the vectors."""
    named = next((each for each in (feature, *_VECTORS) if each in found), None)
    if named is None and len(found) == 1:
        return found[0]
    if named is None:
        raise FeatureError(
            "Which of these are the vectors?" if found else "There are no vectors.",
            received=f"{', '.join(found) or 'none'} in {where}",
            expected=f"{feature} or {' or '.join(_VECTORS[::2])}",
        )
    return named


def _is_vector(kind: pa.DataType) -> bool:
    if not (pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def _sha256(path: Path) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()
