"""Animal Kingdom's clips as sequences: its published labels, with made-up vectors of made-up lengths.

The published lists do not say how long a clip is; the data set's 50 hours in 30,100 clips are 5.98 s each. Lengths here
are log-normal, σ 0.7 around a median of 140 frames: 179 in the mean, 5.98 s at 30 frames a second. Of third parties
only torch and what it needs are imported.
"""

from pathlib import Path

import numpy as np
import torch

from vimoclip.config.fusion import HEADS, Fusion, Lengths
from vimoclip.sequences.sequences import PackedRows, Sequences

LISTS = Path(__file__).resolve().parents[3] / "shared" / "annotations" / "animal_kingdom"
CLASSES = 140
D = 512
RAW = 10.0  # about the length of a raw vector of ViT-B-32

TRAIN, VAL = "train_multi.txt", "val_multi.txt"


def lengths(clips: int, seed: int = 0) -> np.ndarray:
    """Made-up steps of clips, int64."""
    drawn = np.random.default_rng(seed).lognormal(np.log(140), 0.7, clips)
    return np.maximum(drawn, 1).astype(np.int64)


def clips(path: Path) -> list[tuple[str, list[int]]]:
    """Name and classes of every clip of a list."""
    rows = (line.split() for line in path.read_text().splitlines() if line.strip())
    return [(name, [int(label) for label in labels]) for name, *labels in rows]


def sequences(path: Path, fusion: Fusion, kind: Lengths, count: int, device: torch.device) -> Sequences:
    """`count` clips of a list, drawn at random; vectors are made where they are to lie."""
    listed = clips(path)
    steps = lengths(len(listed))
    chosen = np.sort(np.random.default_rng(1).permutation(len(listed))[:count])
    offsets = np.concatenate([[0], np.cumsum(steps[chosen])])
    targets = torch.zeros(len(chosen), CLASSES, dtype=torch.uint8)
    for row, clip in enumerate(chosen):
        targets[row, listed[clip][1]] = 1
    dims = dict.fromkeys(HEADS[fusion].roles, D)
    values = [torch.empty(int(offsets[-1]), dim, dtype=torch.float16, device=device) for dim in dims.values()]
    for each in values:
        for some in torch.split(each, 100_000):
            some.normal_(std=D**-0.5)  # about unit length
    norms = torch.full((int(offsets[-1]), len(dims)), RAW)
    names = [str(number) for number in range(CLASSES)]
    ids = [listed[clip][0] for clip in chosen]
    return Sequences(ids, offsets, PackedRows(values, offsets), norms, dims, kind, names, targets)
