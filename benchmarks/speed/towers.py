"""Image towers on a CPU as they were, contiguous and in `pick_precision`, against what `auto` chooses by timing them.

    python -m benchmarks.speed.towers [MODEL ...] [--rounds 7] [--compile]

A model is a name of `--clip-model`; weights are seeded random ones, but for `local-dir:`, which has its own
(`python -m benchmarks.worlds.imagenet FOLDER` writes one with real weights). For each: processor seconds and wall
seconds of a batch of 8, the least of the rounds, in which all ways take turns, so that a noisy machine slows all; both
ways as shares of the one before; the lowest cosine to fp32; and how long choosing took, with nothing remembered. With
--compile only the way before, against the same network by torch.compile with frozen weights, and how long that takes.
"""

import argparse
import os
import tempfile
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from vimoclip.config.store import ClipConfig, MemoryFormat, Precision, RunConfig
from vimoclip.device import pick_precision, set_threads
from vimoclip.models.backbones import load_backbone
from vimoclip.models.clip import ClipTeacher

CPU = torch.device("cpu")
MODELS = ("RN50", "convnext_base", "ViT-B-32", "ViT-B-16")
BATCH = 8
FORMATS: tuple[MemoryFormat, ...] = ("contiguous", "channels_last")


def measure(model: str, rounds: int, table: Table) -> None:
    """Add the rows of a model."""
    weights = "default" if model.startswith("local-dir:") else "none"
    usual: Precision = pick_precision("auto", CPU)
    began = time.perf_counter()
    chosen = load_backbone(ClipConfig(model, weights, batch_size=BATCH), CPU).config
    with_choice = time.perf_counter() - began
    began = time.perf_counter()
    towers: dict[tuple[str, str], ClipTeacher] = {}
    for precision in dict.fromkeys((usual, "fp32")):
        for layout in FORMATS:
            config = ClipConfig(model, weights, precision=precision, memory_format=layout, batch_size=BATCH)
            towers[precision, layout] = load_backbone(config, CPU)
    loading = (time.perf_counter() - began) / len(towers)
    size = towers[usual, "contiguous"].preprocessing.size
    batch = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (BATCH, 3, size, size), np.uint8))
    exact = towers["fp32", "contiguous"](batch)
    cosines = {
        way: float(torch.nn.functional.cosine_similarity(tower(batch), exact).min()) for way, tower in towers.items()
    }
    processor, wall = (dict.fromkeys(towers, float("inf")) for _ in range(2))
    for _ in range(rounds):
        for way, tower in towers.items():
            before = time.perf_counter(), time.process_time()
            tower(batch)
            wall[way] = min(wall[way], time.perf_counter() - before[0])
            processor[way] = min(processor[way], time.process_time() - before[1])
    before_way = (usual, "contiguous")
    for way in towers:
        notes = ["before"] * (way == before_way) + ["auto"] * (way == (chosen.precision, chosen.memory_format))
        table.add_row(
            model.rpartition("/")[2] if way == before_way else "",
            " ".join(way),
            f"{processor[way]:.3f}",
            f"{processor[before_way] / processor[way]:.2f}×",
            f"{wall[way]:.3f}",
            f"{wall[before_way] / wall[way]:.2f}×",
            f"{cosines[way]:.6f}",
            ", ".join(notes),
            f"{max(0.0, with_choice - loading):.1f}" if way == before_way else "",
        )


def measure_compiled(model: str, rounds: int, console: Console) -> None:
    """Print the way before against torch.compile."""
    import torch._inductor.config

    torch._inductor.config.freezing = True
    teacher = load_backbone(ClipConfig(model, "none", memory_format="contiguous", batch_size=BATCH), CPU)
    size = teacher.preprocessing.size
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (BATCH, 3, size, size), np.uint8))
    pixels = teacher.pixels(images).to(next(teacher.tower.parameters()).dtype)
    ways = {"before": teacher.tower, "compiled": torch.compile(teacher.tower)}
    processor = dict.fromkeys(ways, float("inf"))
    with torch.no_grad():
        began = time.perf_counter()
        ways["compiled"](pixels)
        first = time.perf_counter() - began
        for _ in range(rounds):
            for name, tower in ways.items():
                before = time.process_time()
                tower(pixels)
                processor[name] = min(processor[name], time.process_time() - before)
    console.print(
        f"{model}: {processor['before']:.3f} processor s a batch, compiled {processor['compiled']:.3f}, "
        f"{processor['before'] / processor['compiled']:.2f}×; the first batch took {first:.1f} s"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--compile", action="store_true")
    arguments = parser.parse_args()
    set_threads(RunConfig())
    columns = ("", "", "processor s", "", "wall s", "", "lowest cosine", "", "choosing, s")
    table = Table(*columns, title=f"a batch of {BATCH}", title_justify="left")
    console = Console(width=140)
    console.print(describe_machine(), soft_wrap=True)
    if arguments.compile:
        for model in arguments.models:
            measure_compiled(model, arguments.rounds, console)
        return
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        for model in arguments.models:
            measure(model, arguments.rounds, table)
    console.print(table)


if __name__ == "__main__":
    main()
