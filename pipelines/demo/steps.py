"""The steps of a demo as command lines, which are carried out as the page shows them, and as a user would type them."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipelines.demo.world import TEST, Size, scenes_of
from vimoclip.config.fusion import Fusion
from vimoclip.savannah import PAIRS

StepName = Literal[
    "ingest", "status", "train-motion", "embed", "ablate", "index", "search by span", "search by text",
    "search by label", "predict",
]  # fmt: skip

FUSED: Fusion = "embedding"
"""The fusion of image and motion that searches and predicts. Trained on so few clips, cross-attention, whose queries
are images, memorizes images; on hundreds of clips it does not (benchmarks/RESULTS.md)."""

SEED = 49
"""The first seed of the ablation, its default."""

LABEL, TEXT = "lying down", "an elephant in the woodland"
"""What is searched for, beside a span of the first test clip that shows a behaviour of a hard pair."""


@dataclass(frozen=True)
class SearchTarget:
    """What a search is for.

    Attributes:
        title: for the page.
        label: that a hit should have; None for a search by words.
        video_id: of the span that is searched by; None for words and labels.
        start_s: of the span, in s.
        end_s: of the span, in s.
    """

    title: str
    label: str | None = None
    video_id: str | None = None
    start_s: float = 0.0
    end_s: float = 0.0


@dataclass(frozen=True)
class Step:
    """A command of the demo.

    Attributes:
        name: of the step.
        about: what it does, in a few words.
        command: its words after `vimoclip`.
        sought: what a search is for; None for other commands.
    """

    name: StepName
    about: str
    command: tuple[str, ...]
    sought: SearchTarget | None = None

    @property
    def line(self) -> str:
        """The command line, quoted for a shell."""
        return shlex.join(("vimoclip", *self.command))


@dataclass(frozen=True)
class DemoPaths:
    """Where a demo keeps everything, below one folder."""

    folder: Path

    @property
    def videos(self) -> Path:
        return self.folder / "videos"

    @property
    def film(self) -> Path:
        return self.folder / "film.mp4"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    @property
    def student(self) -> Path:
        return self.folder / "runs" / "motion"

    @property
    def ablation(self) -> Path:
        return self.folder / "runs" / "table2"

    @property
    def costs(self) -> Path:
        return self.folder / "costs.json"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    def run(self, fusion: Fusion, seed: int = SEED) -> Path:
        """The folder of a run of the ablation."""
        return self.ablation / f"{fusion}-{seed}"


def demo_steps(size: Size, places: DemoPaths) -> list[Step]:
    """The steps of a demo, in order.

    Args:
        size: of the demo.
        places: where it keeps everything.
    """
    store = ("--store", str(places.store))
    student = ("--epochs", str(size.motion_epochs), "--lr", "1e-3", "--batch-size", "4")
    narrow = ("--set", f"tfam.width={size.width}", "--set", f"tfam.feed_forward={4 * size.width}")
    fusions = ("--epochs", str(size.fusion_epochs), "--lr", "5e-4", *narrow)
    windows, events = ("--window", "1s", "--stride", "250ms"), places.folder / "events.tsv"
    hard = {behaviour for pair in PAIRS for behaviour in pair}
    asked = next(scene for scene in scenes_of(size) if scene.split == TEST and scene.behaviour in hard)
    video_id = f"{asked.name}.mp4"
    unseen = ("--by", "behaviour", "--split", "val", "--split", TEST)
    shown = ("--top", "4", *store)
    return [
        Step(
            "ingest",
            "decode, optical flow, the vectors of every frame",
            ("ingest", str(places.videos), "--clip-model", "vimoclip-tiny", "--flow", "dis", *store),
        ),
        Step(
            "train-motion",
            "the motion student, on the stored flow",
            ("train-motion", "--run", str(places.student), *student, *store),
        ),
        Step(
            "embed",
            "its vectors, in the place of the starting student's",
            ("embed", "--motion", str(places.student), *store),
        ),
        Step(
            "ablate",
            "the five fusions of Table 2",
            ("ablate", "--run", str(places.ablation), "--seeds", str(size.seeds), *fusions, *store),
        ),
        Step("index", "segments for search", ("index", "--behaviour", str(places.run(FUSED)), *store)),
        Step(
            "search by span",
            "more of a second of a clip",
            ("search", video_id, "--from", "0.5", "--to", "1.5", "--exclude", "video", *unseen, *shown),
            SearchTarget("By a second of a clip, in behaviour", asked.behaviour, video_id, 0.5, 1.5),
        ),
        Step(
            "search by text",
            "what words describe",
            ("search", "--text", TEXT, *shown),
            SearchTarget(f"By words: “{TEXT}”"),
        ),
        Step(
            "search by label",
            "what is like the clips of a label",
            ("search", "--label", LABEL, *unseen, *shown),
            SearchTarget(f"By the label “{LABEL}”, in behaviour", LABEL),
        ),
        Step(
            "predict",
            "bouts in a film that is not in the store",
            ("predict", str(places.film), "--run", str(places.run(FUSED)), *windows, "--boris", str(events), *store),
        ),
        Step("status", "what is in the store", ("status", *store)),
    ]
