"""The tiny model's training: it learns, repeats itself, and writes a model that open_clip reads."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from benchmarks.worlds import train_tiny
from benchmarks.worlds.rendered import ATTRIBUTES, Attribute, Shots
from benchmarks.worlds.train_tiny import MODEL, PREPROCESS, RATE, RENDERED, Trainer, cross_entropy, rate_at

CPU = torch.device("cpu")
CLASSES: dict[Attribute, tuple[str, ...]] = {
    "species": ("lion", "zebra"),
    "behaviour": ("walking", "resting"),
    "habitat": ("desert", "woodland"),
    "light": ("noon", "night"),
    "weather": ("rain", "clear"),
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Batches this small are no faster on two, and slower by far where other work has the second core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def shots(monkeypatch: pytest.MonkeyPatch) -> Shots:
    """Forty frames whose brightness is their species, in batches of sixteen."""
    monkeypatch.setattr(train_tiny, "BATCH", 16)
    rng = np.random.default_rng(0)
    holds = {name: np.eye(2, dtype=bool)[rng.integers(0, 2, 40)] for name in ATTRIBUTES}
    images = np.where(holds["species"][:, :1, None, None], 40, 200) + rng.integers(-9, 9, (40, 3, RENDERED, RENDERED))
    boxes = np.tile(np.array([0, 0, 1, 1], np.float32), (40, 1))
    boxes[:20] = (0.25, 0.5, 0.5, 0.75)
    return Shots(images.astype(np.uint8), np.arange(40), boxes, ["a caption"] * 40, CLASSES, holds)


def test_it_learns_what_is_easy_and_repeats_itself(shots: Shots) -> None:
    trainer, again, other = (Trainer(shots, seed, CPU) for seed in (3, 3, 4))
    losses = [trainer.step(0.75)["species"] for _ in range(14)]
    assert losses[:3] == [again.step(0.75)["species"] for _ in range(3)]
    assert losses[0] != other.step(0.75)["species"]
    assert losses[0] > 0.5 and np.mean(losses[-5:]) < 0.3  # ignorance costs 0.69


def test_what_it_writes_is_a_plain_open_clip_model(shots: Shots, tmp_path: Path) -> None:
    trainer = Trainer(shots, 0, CPU)
    trainer.step(0.05)
    trainer.write(tmp_path / "model")
    model = open_clip.create_model(f"local-dir:{tmp_path / 'model'}", require_pretrained=True)
    assert type(model) is open_clip.CLIP
    assert json.loads((tmp_path / "model" / "open_clip_config.json").read_text()) == {
        "model_cfg": MODEL,
        "preprocess_cfg": {
            name: list(value) if isinstance(value, tuple) else value for name, value in PREPROCESS.items()
        },
    }
    for name, tensor in trainer.model.visual.state_dict().items():
        assert torch.equal(model.visual.state_dict()[name].float(), tensor.half().float())
    known = model.token_embedding.weight.abs().sum(1) > 0
    tokens = open_clip.SimpleTokenizer()("a lion resting hippopotamus")[0].tolist()
    assert known[tokens[2]] and not known[tokens[4]]


def test_cross_entropy_of_rows_with_one_true_several_and_none() -> None:
    logits = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [5.0, 1.0, 2.0]])
    true = torch.tensor([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    first = math.log(math.exp(1) + math.exp(2) + math.exp(3)) - 3
    assert float(cross_entropy(logits, true)) == pytest.approx((first + math.log(3)) / 2)
    assert float(cross_entropy(logits, torch.zeros(3, 3))) == 0


def test_the_rate_warms_up_and_falls_to_nothing() -> None:
    rates = [rate_at(step / 1000) for step in range(1000)]
    assert rates[0] == RATE / 50 and max(rates) > 0.98 * RATE and rates[-1] < 1e-4 * RATE
    top = int(np.argmax(rates))
    assert 40 <= top <= 50 and rates == sorted(rates[:top]) + sorted(rates[top:], reverse=True)


def test_windows_hold_what_moves_and_widen(shots: Shots) -> None:
    trainer, box = Trainer(shots, 0, CPU), np.array([0.5, 0.25, 0.75, 0.5], np.float32)
    for progress, least, most in ((0.0, 0.25, 0.3), (1.0, 0.25, 1.0)):
        windows = np.array([trainer._window(box, progress) for _ in range(300)])
        sides = windows[:, 2] - windows[:, 0]
        assert np.allclose(sides, windows[:, 3] - windows[:, 1])
        assert windows.min() >= 0 and windows.max() <= 1
        assert least <= sides.min() and sides.max() <= most + 1e-9
        close = sides < train_tiny.LEAST_CROP
        assert (windows[close, :2] <= box[:2] + 1e-6).all() and (windows[close, 2:] >= box[2:] - 1e-6).all()
        assert close.all() if progress == 0 else 0.1 < close.mean() < 0.3
