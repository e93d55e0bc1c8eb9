"""bf16 CLIP against fp32 on a CPU: frames a second, and the cosine between the two vectors of each frame.

    python -m benchmarks.speed.clip [--model ViT-B-32] [--seconds 10]

Weights are seeded random ones; the arithmetic costs the same. The two precisions take turns, so that a noisy machine
slows both.
"""

import argparse
import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.common import describe_machine
from vimoclip.config.store import ClipConfig, Precision, RunConfig
from vimoclip.device import cpu_has_bf16, set_threads
from vimoclip.models.clip import ClipTeacher


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    set_threads(RunConfig())
    precisions: tuple[Precision, Precision] = ("fp32", "bf16")
    cpu = torch.device("cpu")
    teachers = {name: ClipTeacher(ClipConfig(arguments.model, "none", precision=name), cpu) for name in precisions}
    size = teachers["fp32"].preprocessing.size
    batch = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 3, size, size), np.uint8))
    vectors = {name: teacher(batch) for name, teacher in teachers.items()}
    spent = dict.fromkeys(teachers, 0.0)
    frames = dict.fromkeys(teachers, 0)
    while min(spent.values()) < arguments.seconds:
        for name, teacher in teachers.items():
            began = time.perf_counter()
            teacher(batch)
            spent[name] += time.perf_counter() - began
            frames[name] += len(batch)
    cosine = torch.nn.functional.cosine_similarity(vectors["fp32"], vectors["bf16"]).min()
    rate = {name: frames[name] / spent[name] for name in teachers}
    table = Table("", "frames/s", title=f"{arguments.model}, batches of {len(batch)}", title_justify="left")
    for name in teachers:
        table.add_row(name, f"{rate[name]:.1f}")
    table.add_row("bf16 / fp32", f"{rate['bf16'] / rate['fp32']:.2f}")
    table.add_row("lowest cosine", f"{cosine:.6f}")
    console = Console(soft_wrap=True)
    console.print(describe_machine())
    console.print(f"bf16 instructions: {'yes' if cpu_has_bf16() else 'no'}")
    console.print(table)


if __name__ == "__main__":
    main()
