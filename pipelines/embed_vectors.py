"""Adding vectors that another tool made, of stored videos, as a feature.

Which video a name means is found as for label files (vimoclip/annotations/matching.py), then once more without the
endings of the videos' names. Where the store has vectors of the feature already, they must be those of the files: only
then are the videos added that lack them. So a feature never holds vectors of two kinds.
"""

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.backfill import EmbedReport, FeatureBackfill
from pipelines.progress import announce_plan
from schemas.features import Feature, Kind
from schemas.videos import Video
from vimoclip.annotations import Annotations, KnownVideo, Matched, VideoAnnotations, match
from vimoclip.embedding.feature_models import vectors_feature
from vimoclip.embedding.vector_files import VectorFiles, VideoVectors, open_vectors
from vimoclip.errors import FeatureError, SettingsError, UsageError, VideoError
from vimoclip.frames import Embeddings, FrameBatch, FrameEvent, VideoDone, VideoFailed, VideoInfo, VideoJob
from vimoclip.progress import Progress, count
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import FeatureWriter, check_name, videos_missing_feature
from vimoclip.store.frame_reader import ROWS, FrameReader
from vimoclip.store.lock import WriteLock


class EmbedVectors(FeatureBackfill):
    """One run that reads vectors from files, with the write lock held."""

    device = "files"

    def __init__(
        self,
        feature: str,
        path: str | None,
        kind: Kind | None,
        store: FeatureStore,
        lock: WriteLock,
        progress: Progress,
    ) -> None:
        """Prepare the run.

        Args:
            feature: name of the feature.
            path: what holds the vectors; None is where the feature was read from before.
            kind: what the feature is used as; None is what it is, or `image`.
            store: the store.
            lock: held on the store.
            progress: an item is a video.
        """
        super().__init__(feature, lock, progress)
        self._store, self._path, self._kind = store, path, kind

    def run(self) -> EmbedReport:
        """Add the vectors.

        Raises:
            FeatureError: the feature cannot have this name; the files cannot be read, name no video of the store, or
                hold other vectors than the store has.
            SettingsError: the store has another feature of this name.
            StoreError: the store cannot be read or written.
            NoSpaceError: the disk is full; what was committed is safe.
        """
        store, report = self._store, self._report
        store.check_writable()
        check_name(store, report.feature)
        known = store.features.get(report.feature) or store.unfinished.get(report.feature)
        if known is not None and not known.elsewhere:
            raise SettingsError(
                "The store has another feature of this name.",
                received=f"{known.name}, made by {known.model}",
                hint="Choose another name with --as.",
            )
        if self._path is None:
            assert known is not None  # or the feature would have been asked for otherwise
            self._path = json.loads(known.settings or "{}")["vectors"]
        path = os.path.abspath(self._path)
        self._progress.stage("reading vectors")
        files = open_vectors(path, report.feature)
        self._rows = self._named(files)
        live = store.live_videos()
        report.unnamed = len(live) - len(self._rows)
        self._files, self._reader = files, FrameReader(store, self._rows.values())
        feature = self._feature(path, known)
        lacking = {row.take for row in videos_missing_feature(store, store.tables["frames"], report.feature)}
        self._check_known([name for name, row in self._rows.items() if row.take not in lacking], feature)
        self._feature_row = feature
        writer = FeatureWriter(store, feature, self._lock.check)
        todo = [row for row in self._rows.values() if row.take in lacking]
        announce_plan(self._progress, len(todo), len(live) - len(lacking))
        self.fill(writer, self, todo, len(live) - len(lacking))
        return report

    def _named(self, files: VectorFiles) -> dict[str, Video]:
        """The stored video that each name means, by the name; the rest is reported."""
        rows = {row.video_id: row for row in self._store.rows()}
        live = {row.video_id for row in self._store.live_videos()}
        content = {video_id: rows.get(row.duplicate_of or "", row) for video_id, row in rows.items()}
        content = {video_id: row for video_id, row in content.items() if row.video_id in live}
        known = {video_id: KnownVideo(rows[video_id].path) for video_id in content}
        bare: dict[str, list[str]] = {}  # ids without their endings
        for video_id in known:
            bare.setdefault(str(Path(video_id).with_suffix("")), []).append(video_id)
        found = _match(files.aliases, known)
        ids, unknown, ambiguous = dict(found.names), found.unknown, [*found.ambiguous]
        if unknown:
            stems = {stem: KnownVideo(os.path.splitext(known[ids_[0]].path)[0]) for stem, ids_ in bare.items()}
            again = _match({name: files.aliases[name] for name in unknown}, stems)
            unknown, ambiguous = again.unknown, [*ambiguous, *again.ambiguous]
            for name, stem in again.names.items():
                if len(bare[stem]) == 1:
                    ids[name] = bare[stem][0]
                else:
                    ambiguous.append(name)
        named: dict[str, Video] = {}
        taken: dict[str, str] = {}
        for name in files.aliases:
            if name not in ids:
                continue
            row = content[ids[name]]
            if (other := taken.setdefault(row.video_id, name)) == name:
                named[name] = row
            elif ids[name] == row.video_id:  # named itself, and not only a copy of it
                if ids[other] == row.video_id:
                    raise FeatureError(
                        "Two names mean one video.", received=f"{other} and {name}", expected=f"one of {row.video_id}"
                    )
                del named[other]
                named[name], taken[row.video_id] = row, name
        self._report.unknown, self._report.ambiguous = unknown, ambiguous
        if not named:
            raise FeatureError(
                "The vectors are of no video of the store.",
                received=f"{count(len(files.aliases), 'name')}, such as {next(iter(files.aliases), 'none')}",
                expected=f"names such as {next(iter(known), 'of stored videos')}",
            )
        return named

    def _feature(self, path: str, known: Feature | None) -> Feature:
        if known is not None and self._kind not in (None, known.kind):
            raise UsageError("The feature is of the other kind.", received=f"--kind {self._kind}", expected=known.kind)
        if known is not None and known.complete:
            return replace(known, settings=json.dumps({"vectors": path}))
        first = next((each for each in self._files.iter_videos(self._rows) if isinstance(each, VideoVectors)), None)
        if first is None or first.values.ndim != 2:
            raise FeatureError(
                "No vectors can be read.",
                received=f"an array {first.values.shape} of {first.name}" if first else path,
                expected="arrays (n, D)",
            )
        precision = "fp16" if first.values.dtype == np.float16 else "fp32"
        return vectors_feature(
            self._report.feature, self._kind or "image", first.values.shape[1], precision, path, self._files.sha256
        )

    def _check_known(self, names: Collection[str], feature: Feature) -> None:
        for found in self._files.iter_videos(names):
            name = found.name if isinstance(found, VideoVectors) else found.video_id
            batch = self._stored(self._rows[name], [feature.name])
            own = batch.features[feature.name]
            try:
                vectors = _placed(found, self._rows[name], batch, feature)
                same = np.array_equal(vectors.norm, own.norm) and np.array_equal(
                    vectors.values[vectors.present], own.values[own.present]
                )
                why = "other vectors than the store has"
            except VideoError as error:
                same, why = False, str(error)
            if not same:
                raise FeatureError(
                    f"The vectors of {feature.name} would be of two kinds.",
                    received=f"{name}: {why}",
                    expected="the vectors that were added before, and those of further videos",
                    hint=f"Choose another name with --as, or `vimoclip features drop {feature.name}` first.",
                )

    def _stored(self, row: Video, features: list[str]) -> FrameBatch:
        parts = self._reader.iter_videos([row], features, ROWS)
        return FrameBatch.concat([part for part in parts if isinstance(part, FrameBatch)])

    def jobs(self, todo: list[Video]) -> Iterator[VideoJob]:
        """Yield the videos."""
        return (VideoJob(row.video_id, row.path) for row in todo)

    def embed(self, jobs: Iterable[VideoJob]) -> Iterator[FrameEvent]:
        """Yield the vectors of each video, in the order of the files."""
        wanted = {job.video_id for job in jobs}
        names = [name for name, row in self._rows.items() if row.video_id in wanted]
        feature = self._feature_row
        for found in self._files.iter_videos(names):
            row = self._rows[found.name if isinstance(found, VideoVectors) else found.video_id]
            batch = self._stored(row, [])
            try:
                vectors = _placed(found, row, batch, feature)
            except VideoError as error:
                yield VideoFailed(row.video_id, error.kind, str(error))
                continue
            self._report.bare += int((~vectors.present).sum())
            yield replace(batch, features={feature.name: vectors})
            yield VideoDone(row.video_id, VideoInfo.of_row(row))


def _match(aliases: Mapping[str, tuple[str, ...]], known: Mapping[str, KnownVideo]) -> Matched:
    videos = tuple(VideoAnnotations(name, aliases=others) for name, others in aliases.items())
    return match(Annotations("vectors", None, videos, elsewhere=True), known)


def _placed(found: VideoVectors | VideoFailed, row: Video, batch: FrameBatch, feature: Feature) -> Embeddings:
    """The vectors of a video's stored frames.

    Raises:
        VideoError: it has none, or none that fit the feature.
    """
    if isinstance(found, VideoFailed):
        raise VideoError(found.kind, found.message)
    vectors = found.of_frames(row, batch.source_frame, batch.time_s)
    if vectors.values.shape[1] != feature.dim:
        raise VideoError(
            "bad-vectors", "The vectors have another width.", received=vectors.values.shape[1], expected=feature.dim
        )
    if not vectors.present.any():
        raise VideoError("bad-vectors", "No vector but of zeros lies at a stored frame.")
    return vectors
