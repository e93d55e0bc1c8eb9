"""An ablation on a real store: its runs are train_fusion's own, it goes on, its files say what its runs say."""

import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipelines import ablate, train_fusion
from pipelines.ablate import PAPER, ROWS, AblateReport, AblateRequest, cell, heading, write_files
from pipelines.executor import Engine
from pipelines.ray_cluster import RayRuns
from pipelines.train_fusion import TrainFusionRequest
from tests.clusters import cluster
from tests.pipelines.test_train_fusion import CONFIG, StopsAfter, labelled, timeless, with_student
from vimoclip.config.fusion import FusionConfig
from vimoclip.config.store import RunConfig
from vimoclip.errors import ConfigError, RunError
from vimoclip.models.checkpoint import read_checkpoint
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.loop import METRICS
from vimoclip.training.metrics import interval
from vimoclip.training.splits import SplitRequest

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT = replace(CONFIG, training=replace(CONFIG.training, epochs=2))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return labelled(tmp_path_factory.mktemp("made"))


def request(store: Path, folder: Path, config: FusionConfig = SHORT, **more: Any) -> AblateRequest:
    return AblateRequest(TrainFusionRequest(store, config, folder, run=RunConfig(threads=1, device="cpu")), **more)


@pytest.fixture(scope="module")
def whole(store: Path, tmp_path_factory: pytest.TempPathFactory) -> AblateReport:
    return ablate.run_all(request(store, tmp_path_factory.mktemp("ablation") / "a", seeds=2))


def test_each_run_is_what_train_fusion_makes_of_its_row_and_seed(
    whole: AblateReport, store: Path, tmp_path: Path
) -> None:
    assert [row.fusion for row in whole.rows] == list(ROWS) == list(PAPER)
    assert all(row.seeds == [49, 50] for row in whole.rows)
    assert (whole.epochs, whole.known, whole.held_out, whole.classes) == (20, 0, "split val", 3)
    config = replace(SHORT, tfam=replace(SHORT.tfam, fusion="temporal"), training=replace(SHORT.training, seed=50))
    alone = train_fusion.run(TrainFusionRequest(store, config, tmp_path / "alone", run=RunConfig(threads=1)))
    kept = [json.loads(line) for line in (whole.folder / "temporal-50" / METRICS).read_text().splitlines()]
    assert timeless(kept) == timeless(alone.records)
    row = next(row for row in whole.rows if row.fusion == "temporal")
    assert row.last["micro"][1] == alone.records[-1]["held_out"]["micro"]
    assert row.best["micro"][1] == max(record["held_out"]["micro"] for record in alone.records)
    assert row.interval("micro") == interval(row.last["micro"])
    assert row.interval("accuracy") is None


def test_the_same_again_trains_nothing_and_more_seeds_train_the_rest(
    whole: AblateReport, store: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(whole.folder, tmp_path / "a"))
    again = ablate.run_all(request(store, folder, seeds=2))
    assert (again.epochs, again.known, again.held_out) == (0, 10, "split val")
    assert again.rows == whole.rows
    more = ablate.run_all(request(store, folder, seeds=3, rows=("cross", "image")))
    assert (more.epochs, more.known) == (4, 4)
    assert [(row.fusion, row.seeds) for row in more.rows] == [("cross", [49, 50, 51]), ("image", [49, 50, 51])]


def test_runs_of_other_batches_are_not_mixed_with_new_ones(whole: AblateReport, store: Path, tmp_path: Path) -> None:
    """A finished ablation of 0.1.0 is shown as it is; more of it would not be comparable."""
    folder = Path(shutil.copytree(whole.folder, tmp_path / "a"))
    begun = json.loads((folder / "ablation.json").read_text())
    assert begun.pop("batching") == 2
    (folder / "ablation.json").write_text(json.dumps(begun))
    assert ablate.run_all(request(store, folder, seeds=2)).rows == whole.rows
    with pytest.raises(RunError, match="earlier version, which batched videos otherwise"):
        ablate.run_all(request(store, folder, seeds=3))


def test_what_is_ingested_between_two_runs_is_in_none(store: Path, tmp_path: Path) -> None:
    own = Path(shutil.copytree(store, tmp_path / "store"))
    first = ablate.run_all(request(own, tmp_path / "a", seeds=1, rows=("image",)))
    with writer_lock(FeatureStore.open(own).place):
        writer = StoreWriter(FeatureStore.open(own))
        for row in FeatureStore.open(own).rows():
            writer.put(replace(row, split="train" if row.split == "val" else "val"))
        writer.flush()
    both = ablate.run_all(request(own, tmp_path / "a", seeds=1, rows=("image", "motion")))
    versions = [
        json.loads((tmp_path / "a" / name / "meta.json").read_text())["versions"] for name in ("image-49", "motion-49")
    ]
    assert versions[0] == versions[1] != FeatureStore.open(own).versions
    assert both.rows[0] == first.rows[0]


class Stops(StopsAfter):
    """Ctrl-C in the third run."""

    def __init__(self) -> None:
        super().__init__(1)
        self.begun: list[str] = []

    def message(self, text: str) -> None:
        if run := re.fullmatch(r"Run (\d+) of (\d+): (\w+), seed \d+", text):
            number, of, fusion = run.groups()
            self.begun.append(f"{fusion} {number}/{of}")
        if len(self.begun) == 3:
            super().message(text)


def test_an_interrupted_ablation_goes_on_to_the_unbroken_one_s_figures(
    whole: AblateReport, store: Path, tmp_path: Path
) -> None:
    stops = Stops()
    broken = ablate.run_all(request(store, tmp_path / "a", seeds=2), stops)
    assert broken.interrupted and stops.begun == ["image 1/10", "motion 2/10", "embedding 3/10"]
    assert [row.seeds for row in broken.rows] == [[49], [49], [], [], []]
    rest = ablate.run_all(request(store, tmp_path / "a", seeds=2))
    assert (rest.known, rest.epochs) == (2, 15)  # the third had one of its two
    assert rest.rows == whole.rows


def test_on_ray_the_figures_are_the_same(whole: AblateReport, store: Path, tmp_path: Path) -> None:
    with cluster(num_cpus=2, num_gpus=0) as made:
        engine = Engine("ray", address=str(made.address))
        asked = request(store, tmp_path / "a", seeds=1, rows=("image", "cross"), engine=engine, side_by_side=2)
        base = replace(asked.base, run=RunConfig(device="cpu"))  # the share of each is one thread
        report = ablate.run_all(replace(asked, base=base))
        with RayRuns(str(made.address), 1, "cpu") as runs:
            assert (runs.together, runs.threads) == (1, 2)
        (tmp_path / "a" / "ablation.json").unlink()
        with pytest.raises(RunError, match="other settings"):  # what a run raises there is raised here
            changed = replace(SHORT, mixup=None)
            ablate.run_all(request(store, tmp_path / "a", changed, seeds=1, rows=("image",), engine=engine))
    assert (report.epochs, report.known) == (4, 0)
    for row in report.rows:
        alone = next(each for each in whole.rows if each.fusion == row.fusion)
        assert (row.seeds, row.last["micro"]) == ([49], alone.last["micro"][:1])


def test_its_files_say_what_the_report_says(whole: AblateReport) -> None:
    paths = {path.name: path for path in write_files(whole)}
    said = json.loads(paths["results.json"].read_text())
    assert [row["last"] for row in said["rows"]] == [row.last for row in whole.rows]
    assert said["rows"][4]["interval"]["micro"]["mean"] == pytest.approx(sum(whole.rows[4].last["micro"]) / 2)
    assert (said["classes"], said["macro_classes"]) == (3, 3)
    rows = list(csv.DictReader(paths["results.csv"].read_text().splitlines()))
    assert len(rows) == 5 * 2 * 2  # rows, seeds, micro and macro
    assert float(rows[0]["last_epoch"]) == whole.rows[0].last[rows[0]["figure"]][0]
    lines = paths["table.md"].read_text().splitlines()
    assert len(lines) == 7 and len({line.count("|") for line in lines}) == 1
    assert "| mAP, macro, over 3 classes (95%) |" in lines[0]
    assert heading(replace(whole, macro_classes=2), "macro") == "mAP, macro, over 2 of 3 classes"
    assert cell(whole.rows[4], "micro") in lines[6] and "77.09" in lines[6]
    assert paths["table.png"].read_bytes().startswith(b"\x89PNG")


def test_what_is_refused(whole: AblateReport, store: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="named once each"):
        request(store, tmp_path, rows=("image", "image"))
    with pytest.raises(ConfigError, match="seeds must be positive"):
        request(store, tmp_path, seeds=0)
    with pytest.raises(RunError, match="another store or with other settings"):
        ablate.run_all(request(store, whole.folder, CONFIG))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ablation.json").write_text("{")
    with pytest.raises(RunError, match=r"ablation\.json cannot be read"):
        ablate.run_all(request(store, tmp_path / "a"))


def test_without_held_out_videos_there_is_nothing_to_compare(tmp_path: Path) -> None:
    store = labelled(tmp_path)
    with writer_lock(FeatureStore.open(store).place):
        writer = StoreWriter(FeatureStore.open(store))
        for row in FeatureStore.open(store).rows():
            writer.put(replace(row, split="train"))
        writer.flush()
    with pytest.raises(RunError, match=r"needs videos that are held out.*--eval-split"):
        ablate.run_all(request(store, tmp_path / "a", seeds=1, rows=("image",)))


def test_without_splits_all_seeds_are_judged_on_the_same_videos(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    report = ablate.run_all(request(store, tmp_path / "a", seeds=3, rows=("image",)))
    assert report.rows[0].seeds == [49, 50, 51] and report.held_out == "0.2, by lot"
    taught = [read_checkpoint(tmp_path / "a" / f"image-{seed}")[1].taught for seed in (49, 50, 51)]
    assert taught[0] == taught[1] == taught[2] and taught[0]
    base = replace(request(store, tmp_path / "a").base, split=SplitRequest(seed=1))
    with pytest.raises(RunError, match="other settings"):
        ablate.run_all(AblateRequest(base, ("image",), 3))
    assert ablate.default_folder(AblateRequest(base)) != ablate.default_folder(request(store, tmp_path))


def test_an_ablation_from_before_split_seeds_goes_on_as_it_was_begun(tmp_path: Path) -> None:
    store = labelled(tmp_path, split=False)
    base = replace(request(store, tmp_path / "a").base, split=SplitRequest(seed=None))
    ablate.run_all(AblateRequest(base, ("image",), 1))
    noted = json.loads((tmp_path / "a" / "ablation.json").read_text())
    del noted["split"]
    (tmp_path / "a" / "ablation.json").write_text(json.dumps(noted))
    report = ablate.run_all(request(store, tmp_path / "a", seeds=2, rows=("image",)))
    assert report.known == 1 and report.rows[0].seeds == [49, 50]
    assert "split" not in json.loads((tmp_path / "a" / "image-50" / "run.json").read_text())


def test_what_a_later_row_would_refuse_is_refused_before_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = with_student(tmp_path, monkeypatch, ["0.mp4", "4.mp4"], split=True)
    with pytest.raises(RunError, match=r"2 of 6 videos .* 0\.mp4, 4\.mp4.*--allow-taught"):
        ablate.run_all(request(store, tmp_path / "a", seeds=1))
    assert not (tmp_path / "a" / "image-49").exists()
    assert ablate.run_all(request(store, tmp_path / "a", seeds=1, rows=("image",))).rows[0].seeds == [49]
