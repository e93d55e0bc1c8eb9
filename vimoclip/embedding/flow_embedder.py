"""FlowEmbedder: the vectors of a trained student for every stored frame, from the flow that the store keeps.

No video is decoded. Batches are those of an ingest (video_embedder.py), so that the vectors are the very ones that an
ingest with this student would store.
"""

from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc

from schemas.features import Feature
from schemas.videos import Video
from vimoclip.config.store import RunConfig
from vimoclip.device import pick_device, set_threads
from vimoclip.embedding.embedder import full_batch, in_halves, unit_vectors
from vimoclip.embedding.events import Embedded, EmbeddedFrames, Failed, Job, Outcome
from vimoclip.embedding.feature_models import made_with
from vimoclip.errors import StoreDamagedError, VideoError
from vimoclip.flow.encoding import decode
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import Student
from vimoclip.store.feature_store import FeatureStore
from vimoclip.video.decode import VideoInfo

READ_TOGETHER = 4096  # frames


class FlowEmbedder:
    """As `pipelines.executor.Executor`, with jobs that name stored videos. Attributes: `feature`, what the vectors
    are."""

    def __init__(self, store: FeatureStore, name: str, student: Student, run: RunConfig) -> None:
        """Load the student.

        Raises:
            ModelError: its teacher's weights cannot be had, or its own do not fit them. ConfigError: no such device.
        """
        set_threads(run)
        self.config, self.device, self._store = store.config, pick_device(run.device), store
        served = student.served(ClipTeacher(store.config.clip, self.device))
        base = store.features["moclip"]
        self._student = served
        self.feature = replace(made_with(name, base, student), weights_sha256=served.tower.weights_sha256)
        self.features: list[Feature] = [self.feature]

    def embed(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Each video's frames in order, and then Embedded, or Failed at any point."""
        rows = {row.video_id: row for row in self._store.rows()}
        for job in jobs:
            row = rows[job.video_id]
            try:
                halved = yield from self._video(row)
                yield Embedded(job.video_id, _info(row), halved)
            except VideoError as error:
                yield Failed(job.video_id, error.kind, str(error))
            except StoreDamagedError as error:
                yield Failed(job.video_id, "no-flow", str(error))

    def _video(self, row: Video) -> Generator[EmbeddedFrames, None, bool]:
        """Returns whether memory ran out and a batch was halved."""
        columns = ["frame_index", "source_frame", "time_s", "flow_speed"]
        frames = self._store.sequence(row.video_id, columns)
        index, size = frames["frame_index"].to_numpy(), self.config.clip.batch_size
        speed = frames["flow_speed"].fill_null(0).to_numpy()
        together, halved = max(READ_TOGETHER // size, 1) * size, False
        for first in range(0, len(index), size):
            if first % together == 0:
                flow = self._flow(row, first, first + together)
            span = slice(first, min(first + size, len(index)))
            own = [flow.get(i) for i in range(span.start, span.stop)]
            if lost := [i for i, data in enumerate(own, first) if i > 0 and data is None]:
                raise VideoError(
                    "no-flow",
                    "The store lacks the flow of a frame.",
                    received=f"none of frame {lost[0]}",
                    hint="Run `vimoclip verify`, and ingest the video anew.",
                )
            planes = full_batch([None if data is None else decode(data) for data in own], size)
            parts = in_halves(self._student, planes)
            halved |= len(parts) > 1
            z = np.concatenate([part.cpu().numpy() for part in parts])[: len(own)]
            yield EmbeddedFrames(
                row.video_id,
                index[span],
                frames["source_frame"].to_numpy()[span],
                frames["time_s"].to_numpy()[span],
                speed[span],
                {self.feature.name: unit_vectors(z, index[span] > 0)},
                own,
            )
        return halved

    def _flow(self, row: Video, first: int, end: int) -> dict[int, bytes]:
        """The encoded flow of a stretch of frames, by frame_index."""
        index = pc.field("frame_index")
        where = (pc.field("take") == row.take) & (index >= first) & (index < end)
        found = self._store.tables["flow"].read(["frame_index", "flow"], where)
        return dict(zip(found["frame_index"].to_pylist(), found["flow"].to_pylist(), strict=True))


def _info(row: Video) -> VideoInfo:
    """What an ingest found of the video, as far as its row has it."""
    return VideoInfo(
        codec=row.codec or "",
        width=row.width or 0,
        height=row.height or 0,
        pixel_aspect=1.0,
        fps=row.fps or 0.0,
        time_source=row.time_source or "rate",
        decoded_frames=row.decoded_frames or 0,
        duration_s=row.duration_s or 0.0,
    )
