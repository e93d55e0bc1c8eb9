"""Which precision and memory format a tower gets: what is tried, what is chosen at given times, and when nothing is."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vimoclip.config.store import ClipConfig, MemoryFormat, Precision
from vimoclip.models import tower_timing
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.motion_student import MoClip
from vimoclip.models.tower_timing import Arithmetic, pick_arithmetic

CPU = torch.device("cpu")
USUAL = Arithmetic("fp32", "contiguous")
LAST = Arithmetic("fp32", "channels_last")
HALF = Arithmetic("bf16", "contiguous")
HALF_LAST = Arithmetic("bf16", "channels_last")


class Tower(nn.Module):
    """Two convolutions and a linear layer on 32 pixels a side."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.Conv2d(8, 16, 3, groups=2)
        self.last = nn.Linear(16, 12)

    def forward(self, pixels: Tensor) -> Tensor:
        seen = self.second(self.first(pixels).relu()).relu()
        made: Tensor = self.last(seen.mean((2, 3)))
        return made


class Contiguous(Tower):
    """The same, which takes its channels to be contiguous."""

    def forward(self, pixels: Tensor) -> Tensor:
        made: Tensor = self.last(self.second(self.first(pixels)).view(len(pixels), -1)[:, :16])
        return made


def normalised(images: Tensor) -> Tensor:
    return images.float() / 255 - 0.5


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where decisions are remembered."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "vimoclip" / "towers.json"


Times = dict[Arithmetic, float]


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Times], list[Arithmetic]]:
    """Makes every tower worth timing, with given times; returns what is timed."""
    seen = list[Arithmetic]()

    def set_times(times: Times) -> list[Arithmetic]:
        def seconds(self: object, way: Arithmetic) -> float:
            seen.append(way)
            return times[way]

        monkeypatch.setattr(tower_timing, "_LEAST_WORK", 1)
        monkeypatch.setattr(tower_timing._Trial, "_seconds", seconds)
        return seen

    return set_times


def pick(
    tower: nn.Module | None = None, precision: Precision = "auto", memory_format: MemoryFormat = "auto"
) -> Arithmetic:
    config = ClipConfig(precision=precision, memory_format=memory_format, batch_size=8)
    return pick_arithmetic(config, CPU, tower or Tower().eval(), "weights", 32, normalised)


def bf16(monkeypatch: pytest.MonkeyPatch, has: bool) -> None:
    monkeypatch.setattr("vimoclip.device.cpu_has_bf16", lambda: has)


@pytest.mark.parametrize(("share", "chosen"), [(0.5, LAST), (0.8, LAST), (0.85, USUAL), (1.0, USUAL), (3.0, USUAL)])
def test_another_format_has_to_be_clearly_faster(
    timed: Callable[[Times], object], monkeypatch: pytest.MonkeyPatch, share: float, chosen: Arithmetic
) -> None:
    bf16(monkeypatch, False)
    timed({USUAL: 1.0, LAST: share})
    assert pick() == chosen


@pytest.mark.parametrize(
    ("times", "chosen"),
    [
        ((1.0, 0.5, 0.9, 0.5), HALF_LAST),
        ((1.0, 0.5, 0.9, 0.45), HALF_LAST),  # not clearly faster than the one before
        ((1.0, 0.5, 0.9, 0.3), LAST),
        ((1.0, 0.9, 0.2, 0.9), USUAL),
        ((1.0, 0.9, 0.9, 0.9), HALF),
    ],
)
def test_where_there_is_bf16_both_precisions_are_tried(
    timed: Callable[[Times], object],
    monkeypatch: pytest.MonkeyPatch,
    times: tuple[float, ...],
    chosen: Arithmetic,
) -> None:
    bf16(monkeypatch, True)
    timed(dict(zip((HALF, HALF_LAST, USUAL, LAST), times, strict=True)))
    assert pick() == chosen


def test_what_is_given_is_not_tried_otherwise(
    timed: Callable[[Times], list[Arithmetic]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bf16(monkeypatch, True)
    seen = timed({HALF: 1.0, HALF_LAST: 0.9, USUAL: 0.9, LAST: 0.1})
    assert pick(precision="bf16", memory_format="contiguous") == HALF
    assert pick(precision="fp32", memory_format="channels_last") == LAST
    assert seen == []
    assert pick(precision="fp32") == LAST and set(seen) == {USUAL, LAST}
    seen.clear()
    assert pick(memory_format="channels_last") == LAST and set(seen) == {HALF_LAST, LAST}


def test_vectors_that_do_not_agree_are_not_chosen(
    timed: Callable[[Times], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    bf16(monkeypatch, False)
    timed({USUAL: 1.0, LAST: 0.1})

    class Other(Tower):
        def forward(self, pixels: Tensor) -> Tensor:
            last = not pixels.is_contiguous()
            return super().forward(pixels) + (torch.arange(12) * 0.1 if last else 0)

    assert pick(Other().eval()) == USUAL
    assert pick(Tower().eval()) == USUAL  # the same weights, by their hash: remembered


def test_a_network_that_cannot_be_computed_so_keeps_the_usual(
    timed: Callable[[Times], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    bf16(monkeypatch, False)
    timed({USUAL: 1.0, LAST: 0.1})
    tower = Contiguous().eval().to(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="view"):
        tower(torch.zeros(2, 3, 32, 32).contiguous(memory_format=torch.channels_last))
    assert pick(Contiguous().eval()) == USUAL


def test_what_was_decided_is_remembered(
    timed: Callable[[Times], list[Arithmetic]], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    bf16(monkeypatch, False)
    seen = timed({USUAL: 1.0, LAST: 0.5})
    assert pick() == LAST and seen
    seen.clear()
    timed({USUAL: 1.0, LAST: 2.0})
    assert pick() == LAST and not seen
    assert pick(precision="fp32") == USUAL  # another question
    assert sorted(json.loads(cache.read_text()).values()) == ["fp32/channels_last", "fp32/contiguous"]
    for broken in ("no json", "[]", json.dumps({key: ["what"] for key in json.loads(cache.read_text())})):
        cache.write_text(broken)
        assert pick() == USUAL


def test_a_cache_that_cannot_be_written_changes_nothing(
    timed: Callable[[Times], object], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    bf16(monkeypatch, False)
    timed({USUAL: 1.0, LAST: 0.5})
    cache.parent.parent.write_text("a file where the folder would be")
    assert pick() == LAST == pick()


def test_without_memory_for_a_trial_the_usual_stays(
    timed: Callable[[Times], object], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    bf16(monkeypatch, False)
    timed({USUAL: 1.0, LAST: 0.1})

    class Large(Tower):
        def forward(self, pixels: Tensor) -> Tensor:
            if pixels.is_meta or len(pixels) == 1:
                return super().forward(pixels)
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert pick(Large().eval()) == USUAL
    assert not cache.exists()  # there may be memory the next time


@pytest.mark.parametrize("model", ["vimoclip-tiny", "ViT-S-32-alt", "timm:test_efficientnet", "timm:test_resnet"])
def test_small_networks_and_plain_transformers_are_not_timed(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("timed")

    monkeypatch.setattr(tower_timing, "_Trial", never)
    from vimoclip.device import pick_precision
    from vimoclip.models.backbones import load_backbone

    config = load_backbone(ClipConfig(model, "none"), CPU).config
    assert (config.precision, config.memory_format) == (pick_precision("auto", CPU), "contiguous")


def test_multiplications_are_counted_from_shapes() -> None:
    tower = Tower()
    first, second, last = 16 * 16 * 8 * 27, 14 * 14 * 16 * 4 * 9, 16 * 12
    assert tower_timing._multiplications(tower, 32) == first + second + last
    assert not any(module._forward_hooks for module in tower.modules())
    patches = nn.Sequential(nn.Conv2d(3, 64, 16, 16), nn.Flatten(), nn.Linear(256, 1000))
    assert tower_timing._multiplications(patches, 32) == 0


def test_a_real_trial_agrees_with_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tower_timing, "_LEAST_WORK", 1)
    tower = Tower().eval()
    before = {name: tensor.clone() for name, tensor in tower.state_dict().items()}
    assert pick(tower) in (USUAL, LAST, HALF, HALF_LAST)
    assert all(torch.equal(before[name], tensor) for name, tensor in tower.state_dict().items())
    assert tower.first.weight.is_contiguous()


# A tower in channels_last.


def images(count: int, size: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(1).integers(0, 256, (count, 3, size, size), np.uint8))


@pytest.fixture(scope="module")
def teachers() -> Iterator[dict[str, ClipTeacher]]:
    formats: tuple[MemoryFormat, ...] = ("contiguous", "channels_last")
    yield {
        each: ClipTeacher(ClipConfig("vimoclip-tiny", precision="fp32", memory_format=each), CPU) for each in formats
    }


def test_the_format_changes_the_last_bits_alone(teachers: dict[str, ClipTeacher]) -> None:
    last, usual = teachers["channels_last"], teachers["contiguous"]
    batch = images(8, 96)
    cosine = torch.nn.functional.cosine_similarity(last(batch), usual(batch))
    assert cosine.min() > 0.999999
    assert last.weights_sha256 == usual.weights_sha256
    assert last.config.memory_format == "channels_last"
    convolution = next(module for module in last.tower.modules() if isinstance(module, nn.Conv2d))
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
    assert last.pixels(batch).is_contiguous(memory_format=torch.channels_last)


def test_in_channels_last_too_a_vector_depends_on_nothing_else(teachers: dict[str, ClipTeacher]) -> None:
    teacher, batch = teachers["channels_last"], images(8, 96)
    alone = torch.zeros_like(batch)
    alone[0] = batch[5]
    assert torch.equal(teacher(alone)[0], teacher(batch)[5])


def test_trained_weights_and_the_student_keep_the_format(teachers: dict[str, ClipTeacher]) -> None:
    teacher = teachers["channels_last"]
    model = MoClip.of(teacher, 3, alpha=0.1, hidden=6)
    assert all(
        module.weight.is_contiguous(memory_format=torch.channels_last)
        for module in model.tower.modules()
        if isinstance(module, nn.Conv2d)
    )
    state = {name: tensor.contiguous() for name, tensor in model.tower.state_dict().items()}
    served = teacher.with_weights(state)
    batch = images(8, 96)
    assert torch.equal(served(batch), teacher(batch))
    assert served.weights_sha256 == teacher.weights_sha256
