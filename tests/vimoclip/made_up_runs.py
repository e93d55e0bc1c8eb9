"""Runs on stores of made-up vectors: trained in a moment, with scores that differ between videos."""

from dataclasses import replace
from pathlib import Path

from pipelines import train_fusion
from pipelines.train_fusion import TrainFusionRequest
from schemas.labels import Label
from tests.vimoclip.stores import make_store
from vimoclip.api import Store
from vimoclip.config.fusion import Fusion, FusionConfig, LossConfig, SequenceConfig, TfamConfig, TrainingConfig
from vimoclip.config.store import RunConfig
from vimoclip.store.lock import writer_lock
from vimoclip.store.writer import StoreWriter
from vimoclip.training.splits import SplitRequest

ONE = RunConfig(device="cpu", threads=1)
VIDEOS = {f"{n}.mp4": 1 + 7 * n % 40 for n in range(12)} | {"long.mp4": 130, "site/x' OR '1'='1.mp4": 9}
CONFIG = FusionConfig(
    tfam=TfamConfig(layers=1, width=16, heads=2, feed_forward=16, hidden=8),
    loss=LossConfig(of_one="asymmetric"),
    training=TrainingConfig(epochs=6, batch_size=4, lr=1e-2, ema=None, precision="fp32"),
    mixup=None,
)


def labelled(folder: Path) -> Store:
    """A store of VIDEOS with three labels, one each."""
    store = make_store(folder / "store", VIDEOS)
    with writer_lock(store.place):
        writer = StoreWriter(store)
        labels = [Label(video_id=name, label="abc"[n % 3], source="t") for n, name in enumerate(VIDEOS)]
        writer.set_labels(labels, VIDEOS, "t")
        writer.flush()
    return store.refresh()


def run_on(
    store: Store,
    folder: Path,
    fusion: Fusion = "cross",
    loss: LossConfig | None = None,
    sequences: SequenceConfig | None = None,
) -> Path:
    """The folder of a finished run."""
    config = replace(
        CONFIG,
        tfam=replace(CONFIG.tfam, fusion=fusion),
        loss=loss or CONFIG.loss,
        sequences=sequences or CONFIG.sequences,
    )
    request = TrainFusionRequest(str(store.place), config, folder, split=SplitRequest(share=0.3), run=ONE)
    train_fusion.run(request)
    return folder
