"""OpenAI's layout: a network built here as theirs is, written in both of their forms, gives the teacher its outputs."""

import copy
import math
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import open_clip
import open_clip.factory
import open_clip.pretrained
import pytest
import torch
from torch import nn

from tests.models import MODEL
from vimoclip.config.store import ClipConfig
from vimoclip.errors import ModelError
from vimoclip.models.clip import ClipTeacher
from vimoclip.models.openai_weights import read_openai_weights

NAME = "ViT-tiny-openai"
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # as OpenAI published them
WIDTH, SIDE, PATCH, DIM, WORDS, LENGTH = 32, 32, 16, 16, 49408, 16
CPU = torch.device("cpu")


class QuickGelu(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    def __init__(self, mask: torch.Tensor | None) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 2)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential()
        for name, layer in (
            ("c_fc", nn.Linear(WIDTH, 4 * WIDTH)),
            ("gelu", QuickGelu()),
            ("c_proj", nn.Linear(4 * WIDTH, WIDTH)),
        ):
            self.mlp.add_module(name, layer)
        self.register_buffer("attn_mask", mask, persistent=False)  # which an archive keeps, and a state does not

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=self.attn_mask)[0]
        mixed: torch.Tensor = self.mlp(self.ln_2(x))
        return x + mixed


class Transformer(nn.Module):
    def __init__(self, mask: torch.Tensor | None = None) -> None:
        super().__init__()
        self.resblocks = nn.Sequential(Block(mask))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = self.resblocks(x)
        return mixed


class Visual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(WIDTH))
        self.positional_embedding = nn.Parameter(torch.randn((SIDE // PATCH) ** 2 + 1, WIDTH))
        self.ln_pre, self.ln_post = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.transformer = Transformer()
        self.proj = nn.Parameter(torch.randn(WIDTH, DIM))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        patches = self.conv1(pixels).flatten(2).permute(2, 0, 1)
        first = self.class_embedding.expand(1, patches.shape[1], -1)
        x = torch.cat([first, patches]) + self.positional_embedding[:, None]
        pooled: torch.Tensor = self.ln_post(self.transformer(self.ln_pre(x))[0])
        return pooled @ self.proj


class Clip(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.visual = Visual()
        self.transformer = Transformer(torch.full((LENGTH, LENGTH), -math.inf).triu(1))
        self.token_embedding = nn.Embedding(WORDS, WIDTH)
        self.positional_embedding = nn.Parameter(torch.randn(LENGTH, WIDTH))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, DIM))
        self.logit_scale = nn.Parameter(torch.tensor(4.6))
        for name, value in (("input_resolution", SIDE), ("context_length", LENGTH), ("vocab_size", WORDS)):
            self.register_buffer(name, torch.tensor(value))

    def forward(self, pixels: torch.Tensor, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.token_embedding(words) + self.positional_embedding
        x = self.ln_final(self.transformer(x.transpose(0, 1)))[-1]
        return self.visual(pixels), x @ self.text_projection * self.logit_scale.exp()


@pytest.fixture(scope="module")
def clip() -> Clip:
    """With the half-precision weights that OpenAI distributes."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Clip().half().float().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def files(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("openai")
    state = {name: value.half() if value.is_floating_point() else value for name, value in clip.state_dict().items()}
    torch.save(state, folder / "state.pt")
    example = (torch.zeros(2, 3, SIDE, SIDE), torch.zeros(2, LENGTH, dtype=torch.int64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch is done with TorchScript; OpenAI's files are what they are
        traced = torch.jit.trace(copy.deepcopy(clip), example).half()  # type: ignore[no-untyped-call]
        traced.save(str(folder / "archive.pt"))
    with pytest.raises(Exception, match="TorchScript"):
        torch.load(folder / "archive.pt", weights_only=True)
    return {"state": folder / "state.pt", "archive": folder / "archive.pt"}


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small architecture has a name and a tag of its own, as those that OpenAI published have."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, MODEL)
    tags = open_clip.pretrained._PRETRAINED
    monkeypatch.setitem(tags, NAME, {"openai": tags["ViT-B-32"]["openai"]})


@pytest.mark.parametrize("form", ["state", "archive"])
def test_both_forms_give_the_outputs_of_the_network_they_were_written_from(
    form: str, clip: Clip, files: dict[str, Path]
) -> None:
    teacher = ClipTeacher(ClipConfig(NAME, str(files[form]), "openai", precision="fp32"), CPU)
    images = torch.randint(0, 256, (4, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        expected = clip.visual((images / 255 - mean) / std)
    torch.testing.assert_close(teacher(images), expected, rtol=1e-4, atol=1e-4)
    assert (teacher.preprocessing.mean, teacher.preprocessing.std) == (MEAN, STD)
    assert teacher.training == "pretrained"
    plain = ClipConfig(NAME, str(files[form]), f'{{"mean": {list(MEAN)}, "std": {list(STD)}}}', precision="fp32")
    off = ClipTeacher(plain, CPU)(images) - expected
    assert off.abs().max() > 1e-2  # without QuickGELU it is another network


def test_both_forms_hold_the_same_weights_and_so_give_the_same_feature(files: dict[str, Path]) -> None:
    state, archive = read_openai_weights(files["state"]), read_openai_weights(files["archive"])
    assert state is not None and archive is not None
    assert state.keys() == archive.keys()
    assert all(torch.equal(state[name], archive[name]) for name in state)
    assert state["visual.proj"].dtype == torch.float16
    one, other = (ClipTeacher(ClipConfig(NAME, str(file), "openai"), CPU) for file in files.values())
    assert one.weights_sha256 == other.weights_sha256


def test_every_weight_of_the_network_is_there(clip: Clip, files: dict[str, Path]) -> None:
    sizes = {"input_resolution", "context_length", "vocab_size"}
    for file in files.values():
        found = read_openai_weights(file)
        assert found is not None
        assert {name: value.float() for name, value in found.items()}.keys() == clip.state_dict().keys() - sizes
        assert all(torch.equal(value.float(), clip.state_dict()[name]) for name, value in found.items())


@pytest.mark.parametrize("form", ["state", "archive"])
def test_weights_of_another_architecture_are_refused(
    form: str, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    deeper: dict[str, Any] = MODEL | {"vision_cfg": MODEL["vision_cfg"] | {"layers": 2}}
    larger: dict[str, Any] = MODEL | {"vision_cfg": MODEL["vision_cfg"] | {"image_size": 64}}
    for other in (deeper, larger):
        monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, other)
        with pytest.raises(ModelError, match="is the architecture"):
            ClipTeacher(ClipConfig(NAME, str(files[form]), "openai"), CPU)


def test_other_layouts_are_left_to_open_clip(tmp_path: Path) -> None:
    torch.save({"visual.proj": torch.zeros(2)}, tmp_path / "state.pt")
    torch.save({"visual.proj": torch.zeros(2)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save([1], tmp_path / "list.pt")
    for name in ("state.pt", "old.pt", "list.pt", "nothing.safetensors", "nothing.npz"):
        assert read_openai_weights(tmp_path / name) is None


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path("harmed"),))


def forged(source: Path, target: Path, data: bytes) -> None:
    """The archive with another pickle in it."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, data if name.endswith("/data.pkl") else old.read(name))


def test_an_archive_that_would_do_something_is_refused_and_does_nothing(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    forged(files["archive"], tmp_path / "harm.pt", pickle.dumps(Harm(), 2))
    with pytest.raises(ModelError, match="cannot be loaded"):
        ClipTeacher(ClipConfig(NAME, str(tmp_path / "harm.pt"), "openai"), CPU)
    with pytest.raises(pickle.UnpicklingError, match="which is not a tensor"):
        read_openai_weights(tmp_path / "harm.pt")
    assert not (tmp_path / "harmed").exists()
    pickle.loads(pickle.dumps(Harm(), 2))
    assert (tmp_path / "harmed").exists()  # it would have


@pytest.mark.parametrize("keep", [0.2, 0.9])
def test_a_file_cut_short_is_refused(files: dict[str, Path], tmp_path: Path, keep: float) -> None:
    for form, file in files.items():
        data = file.read_bytes()
        (tmp_path / f"{form}.pt").write_bytes(data[: int(keep * len(data))])
        with pytest.raises(ModelError, match="cannot be loaded"):
            ClipTeacher(ClipConfig(NAME, str(tmp_path / f"{form}.pt"), "openai"), CPU)
