"""A trained student over the flow of the videos that are in: a motion feature beside moclip, or in its place.

No video is decoded, and none needs to be there any more. Resumable. Beside moclip it is added as any feature is. In its
place it is filled under a name of its own, and takes moclip's in one step when it is whole (feature_switch.py).
"""

from collections.abc import Iterator
from pathlib import Path

from pipelines.filling import EmbedReport, Filling
from pipelines.request import Observer
from schemas.videos import Video
from vimoclip.config.store import RunConfig
from vimoclip.embedding.embedder import FlowEmbedder
from vimoclip.embedding.events import Job
from vimoclip.embedding.feature_models import student_of, weights_of
from vimoclip.errors import FeatureError
from vimoclip.models.motion_student import Student, read_student
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.features import NEXT, REPLACED, FeatureWriter, check_name, lacking, switch
from vimoclip.store.lock import Held
from vimoclip.store.models import keep
from vimoclip.training.motion_dataset import flow_of


class EmbedMotion(Filling):
    """One run, with the write lock held. folder: of a run of train-motion; None goes on with a feature that was
    begun."""

    def __init__(
        self, feature: str, folder: Path | None, run: RunConfig, store: FeatureStore, lock: Held, observer: Observer
    ) -> None:
        super().__init__(feature, lock, observer)
        self._folder, self._run, self._store = folder, run, store

    def run(self) -> EmbedReport:
        """Embed.

        Raises:
            CheckpointError: no finished run, or one of another teacher. RunError: the store keeps no flow.
            FeatureError: the name cannot be had. SettingsError: the store has another feature of this name.
            ModelError, StoreError. NoSpaceError: what was committed is safe.
        """
        if self._store.switching is not None:  # a kill came between the commits of a switch
            self._store = switch(self._store, self._lock.check)
        store, report = self._store, self._report
        flow_of(store)  # or there is none
        student = self._student()
        student.meta.check(store.features)
        name = NEXT if report.feature == REPLACED else report.feature
        check_name(store, name)
        live = sum(row.status == "ok" for row in store.rows())
        made = store.features.get(report.feature)
        if made is not None and made.weights == weights_of(student) and not self._lacking(report.feature):
            report.known, report.complete = live, True
            return report  # no model needs to be loaded to know this
        if self._folder is not None:
            self._lock.check()
            keep(store.place, student.id, self._folder)
        embedder = FlowEmbedder(store, name, student, self._run)
        writer = FeatureWriter(store, embedder.feature, self._lock.check)
        self.fill(writer, embedder, store.config.clip, live)
        return report

    def _student(self) -> Student:
        if self._folder is not None:
            return read_student(self._folder)
        known = self._store.features | self._store.unfinished
        student = student_of(self._store, known[self._report.feature])
        assert student is not None  # of an added motion feature
        return student

    def _lacking(self, name: str) -> list[Video]:
        return lacking(self._store, self._store.tables["frames"], name)

    def jobs(self, todo: list[Video]) -> Iterator[Job]:
        """Stored videos; their files are not opened."""
        yield from (Job(row.video_id, row.path) for row in todo)

    def finish(self, writer: FeatureWriter) -> None:
        """Let readers see it: in the place of moclip only when no video lacks it.

        Raises:
            FeatureError: some do, whose flow cannot be read.
        """
        if self._report.feature != REPLACED:
            writer.finish()
            return
        writer.flush()
        if self._report.failed:
            video_id, _, why = self._report.failed[0]
            raise FeatureError(
                f"{len(self._report.failed)} videos cannot be embedded, and {REPLACED} stays as it was.",
                received=f"{video_id}: {why}",
                expected="the flow of every frame",
                hint="Remove them and ingest them anew, then run the same command; what is done is kept.",
            )
        self._store = switch(self._store.refresh(), self._lock.check)
        self._report.complete = True
