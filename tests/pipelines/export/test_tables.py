"""Parquet and Arrow files, read back by polars and pyarrow: the store's very values, in order."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from pipelines.export import Format
from pipelines.export.run import run
from tests.pipelines.export.scene import DIMS, GAPPED, HOSTILE, LATE, bits
from vimoclip.progress import Progress
from vimoclip.store.feature_store import FeatureStore

FORMS: list[Format] = ["parquet", "arrow"]


@pytest.fixture(scope="module", params=FORMS)
def exported(store: FeatureStore, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("tables") / request.param
    run(store.place, out, request.param)
    return out


def with_pyarrow(folder: Path, name: str) -> pa.Table:
    if folder.name == "parquet":
        return pq.read_table(folder / f"{name}.parquet")
    with pa.memory_map(str(folder / f"{name}.arrow")) as file:
        return pa.ipc.open_file(file).read_all()


def with_polars(folder: Path, name: str) -> pl.DataFrame:
    path = folder / f"{name}.{folder.name}"
    return pl.read_parquet(path) if folder.name == "parquet" else pl.read_ipc(path)


def test_pyarrow_reads_every_frame_as_the_store_has_it(store: FeatureStore, exported: Path) -> None:
    rows = with_pyarrow(exported, "frames")
    ids = sorted(HOSTILE)
    columns = ["video_id", "frame_index", "source_frame", "time_s"]
    columns += [name + end for name in ("clip", "moclip", "bio") for end in ("", "_norm")]
    assert rows.column_names == [*columns, "flow_speed"]
    sequences = pa.concat_tables([store.sequence(video_id, rows.column_names) for video_id in ids])
    assert rows.cast(sequences.schema).equals(sequences)  # the schemas differ in Lance's metadata alone
    assert rows.schema.field("moclip").type.list_size == DIMS["moclip"]
    assert rows.schema.field("moclip").type.value_type == pa.float16()


def test_polars_reads_the_very_bits(store: FeatureStore, exported: Path) -> None:
    frames = with_polars(exported, "frames")
    assert frames.schema["moclip"] == pl.Array(pl.Float16, DIMS["moclip"])
    assert frames["video_id"].unique(maintain_order=True).to_list() == sorted(HOSTILE)
    for video_id, rows in frames.group_by("video_id", maintain_order=True):
        stored = store.sequence(str(video_id[0]))
        assert rows["frame_index"].to_list() == list(range(stored.num_rows))
        for name in ("clip", "moclip", "bio"):
            assert rows[name].is_not_null().to_list() == stored[name].is_valid().to_pylist()
            values = np.array([vector for vector in stored[name].to_pylist() if vector is not None], np.float16)
            assert bits(rows[name].drop_nulls().to_numpy()) == bits(values)
            norms = stored[f"{name}_norm"].drop_null().to_numpy()
            assert bits(rows[f"{name}_norm"].drop_nulls().to_numpy()) == bits(norms)


def test_vectors_that_are_absent_are_null(exported: Path) -> None:
    frames = with_polars(exported, "frames")

    def absent(video_id: str, name: str) -> list[int]:
        return frames.filter(pl.col("video_id") == video_id, pl.col(name).is_null())["frame_index"].to_list()

    assert absent(GAPPED, "bio") == absent(GAPPED, "bio_norm") == [0, 4, 8]
    assert absent(LATE, "bio") == [0, 1, 2, 3]
    assert absent(LATE, "clip") == []
    assert absent(LATE, "moclip") == absent(LATE, "flow_speed") == [0]


def test_videos_and_labels_are_what_the_store_says(store: FeatureStore, exported: Path) -> None:
    assert with_polars(exported, "videos").equals(store.videos())
    assert with_polars(exported, "labels").equals(store.labels())
    assert "site" in with_polars(exported, "videos").columns
    assert with_pyarrow(exported, "labels").column("start_s").null_count > 0


def test_chunks_become_one_file(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(Progress):
        def stage(self, name: str, total: int | None = None) -> None:
            self.done, self.of = 0, total

        def advance(self, n: int = 1, note: str | None = None) -> None:
            self.done += n
            told.append((self.done, self.of))

    told: list[tuple[int, int | None]] = []
    monkeypatch.setattr("vimoclip.store.frame_reader.FrameReader.chunks.__defaults__", (20,))
    run(store.place, tmp_path / "parquet", "parquet", progress=Told())
    written = [done for done, _ in told]
    assert len(told) > 3
    assert written == sorted(written)
    assert told[-1] == (store.frames().num_rows, store.frames().num_rows)
    assert pq.ParquetFile(tmp_path / "parquet" / "frames.parquet").num_row_groups == len(told)
    assert pq.read_table(tmp_path / "parquet" / "frames.parquet").num_rows == store.frames().num_rows
