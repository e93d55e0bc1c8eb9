"""TFAM against torch's own layers with the same weights, and what its masks promise."""

import dataclasses
import typing

import pytest
import torch
from torch import Tensor, nn

from vimoclip.config.fusion import HEADS, PRESETS, Fusion, Modality, TfamConfig
from vimoclip.errors import ConfigError
from vimoclip.models.tfam import Attention, CrossLayer, MeanPooling, SelfLayer, Tfam, with_positions

FUSIONS: tuple[Fusion, ...] = typing.get_args(Fusion)
SMALL = TfamConfig(layers=2, width=32, heads=4, feed_forward=64, hidden=16, dropout=0.0)
PAPER = dataclasses.replace(SMALL, positions=None, pooling="mean")
D = 32


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def randomised(module: nn.Module) -> nn.Module:
    """With every parameter random, those that start at 0 or 1 too, or what they do would go unseen."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return module.eval()


def tfam(fusion: Fusion, config: TfamConfig = SMALL, dim: int = D) -> Tfam:
    made = Tfam(dataclasses.replace(config, fusion=fusion), dict.fromkeys(HEADS[fusion].roles, dim), 5)
    return typing.cast(Tfam, randomised(made))


def inputs(
    lengths: list[int], still: tuple[int, ...] = (), dim: int = D
) -> tuple[dict[Modality, Tensor], dict[Modality, Tensor]]:
    """Videos of these lengths, padded to the longest; those in `still` have no motion."""
    present = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    moving = present.clone()
    moving[list(still)] = False
    shape = (*present.shape, dim)
    return {"image": torch.randn(shape), "motion": torch.randn(shape)}, {"image": present, "motion": moving}


@pytest.mark.parametrize(
    ("fusion", "count"),
    [
        ("cross", 16_984_460),
        ("temporal", 12_777_868),
        ("embedding", 13_302_668),
        ("image", 12_777_868),
        ("motion", 12_777_868),
    ],
)
def test_the_papers_parameters(fusion: Fusion, count: int) -> None:
    with torch.device("meta"):
        made = Tfam(TfamConfig(fusion=fusion, pooling="mean"), dict.fromkeys(HEADS[fusion].roles, 512), 140)
    assert sum(parameter.numel() for parameter in made.parameters()) == count


def test_the_published_head_has_a_dropout_and_the_parameters_of_one_without() -> None:
    """Linear, GELU, dropout of 0.1, linear; the state of a checkpoint without is its state."""
    config = dataclasses.replace(PRESETS["paper"].tfam, layers=1, width=16, heads=2, feed_forward=16, hidden=400)
    torch.manual_seed(0)
    made = Tfam(config, {"image": 16, "motion": 16}, 5)
    plain = Tfam(dataclasses.replace(config, head_dropout=0.0), {"image": 16, "motion": 16}, 5)
    assert (config.head_dropout, TfamConfig().head_dropout) == (0.1, 0.0)
    assert [name for name in plain.state_dict() if name.startswith("head")] == [
        f"head.{layer}.{kind}" for layer in (0, 1, 3) for kind in ("weight", "bias")
    ]
    plain.load_state_dict(made.state_dict())
    x = torch.randn(3, 16)
    seen: list[Tensor] = []
    for model, training in ((made, True), (plain, True), (made, False)):
        hook = model.train(training).head[3].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        model.head(x)
        hook.remove()
    dropped, whole, kept = seen
    torch.testing.assert_close(whole, kept, atol=0, rtol=0)
    share = (dropped == 0).float().mean()
    assert 0.05 < share < 0.15
    torch.testing.assert_close(dropped[dropped != 0], (whole / 0.9)[dropped != 0])


def test_attention_is_torchs() -> None:
    ours = typing.cast(Attention, randomised(Attention(D, 4, 0.1)))
    torchs = nn.MultiheadAttention(D, 4, batch_first=True).eval()
    torchs.load_state_dict(ours.state_dict())
    x, memory = torch.randn(3, 7, D), torch.randn(3, 9, D)
    mask = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    expected = torchs(x, memory, memory, key_padding_mask=~mask, need_weights=False)[0]
    torch.testing.assert_close(ours(x, memory, mask), expected, atol=1e-5, rtol=0)
    expected = torchs(memory, memory, memory, key_padding_mask=~mask, need_weights=False)[0]
    torch.testing.assert_close(ours(memory, memory, mask), expected, atol=1e-5, rtol=0)


def test_attention_over_nothing_sums_no_values() -> None:
    """A further zero key with a zero value, which torch can add, is all there is to attend to: torch's own answer."""
    ours = typing.cast(Attention, randomised(Attention(D, 4, 0.1)))
    torchs = nn.MultiheadAttention(D, 4, batch_first=True, add_zero_attn=True).eval()
    torchs.load_state_dict(ours.state_dict())
    x, memory, nothing = torch.randn(2, 7, D), torch.randn(2, 9, D), torch.zeros(2, 9, dtype=torch.bool)
    expected = torchs(x, memory, memory, key_padding_mask=~nothing, need_weights=False)[0]
    found = ours(x, memory, nothing)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, ours.out_proj.bias.expand_as(found))


def test_a_cross_layer_is_torchs_decoder_layer() -> None:
    ours = randomised(CrossLayer(SMALL))
    torchs = nn.TransformerDecoderLayer(D, 4, 64, batch_first=True).eval()
    torchs.load_state_dict(ours.state_dict())
    z, present = inputs([7, 5, 2])
    x, mask, memory, moving = z["image"], present["image"], z["motion"], present["motion"]
    expected = torchs(x, memory, tgt_key_padding_mask=~mask, memory_key_padding_mask=~moving)
    torch.testing.assert_close(ours(x, mask, memory, moving)[mask], expected[mask], atol=1e-5, rtol=0)


def test_a_self_layer_is_torchs_encoder_layer() -> None:
    ours = randomised(SelfLayer(SMALL))
    torchs = nn.TransformerEncoderLayer(D, 4, 64, batch_first=True).train()  # not its fast path, whose padding is 0
    torchs.load_state_dict(ours.state_dict())
    for module in torchs.modules():
        if isinstance(module, nn.Dropout | nn.MultiheadAttention):
            module.eval()
    z, present = inputs([7, 5, 2])
    x, mask = z["image"], present["image"]
    expected = torchs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, mask)[mask], expected[mask], atol=1e-5, rtol=0)


def test_cross_is_torchs_decoder_with_the_papers_head() -> None:
    ours = tfam("cross", PAPER)
    layers = [nn.TransformerDecoderLayer(D, 4, 64, batch_first=True).eval() for _ in range(2)]
    for torchs, own in zip(layers, ours.layers, strict=True):
        torchs.load_state_dict(own.state_dict())
    z, present = inputs([7, 5, 1])
    x, mask = z["image"], present["image"]
    for layer in layers:
        x = layer(x, z["motion"], tgt_key_padding_mask=~mask, memory_key_padding_mask=~mask)
    pooled = torch.stack([video[keep].mean(dim=0) for video, keep in zip(x, mask, strict=True)])
    torch.testing.assert_close(ours(z, present), ours.head(pooled), atol=1e-5, rtol=0)


def test_a_motionless_video_has_the_layer_without_its_values() -> None:
    """The rest of torch's decoder layer, written out: what torch gives for such a video is NaN."""
    ours = typing.cast(CrossLayer, randomised(CrossLayer(SMALL)))
    torchs = nn.TransformerDecoderLayer(D, 4, 64, batch_first=True).eval()
    torchs.load_state_dict(ours.state_dict())
    z, present = inputs([6, 6], still=(0, 1))
    x, mask = z["image"], present["image"]
    y = torchs.norm1(x + torchs.self_attn(x, x, x, need_weights=False)[0])
    y = torchs.norm2(y + torchs.multihead_attn.out_proj.bias)
    expected = torchs.norm3(y + torchs.linear2(torch.relu(torchs.linear1(y))))
    torch.testing.assert_close(ours(x, mask, z["motion"], present["motion"]), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
@pytest.mark.parametrize("config", [SMALL, PAPER], ids=["default", "paper"])
def test_padding_does_not_change_a_score(fusion: Fusion, config: TfamConfig) -> None:
    ours = tfam(fusion, config)
    z, present = inputs([60])
    alone = ours(z, present)
    for length in (60, 120, 300, 900):
        padded_z = {role: torch.randn(1, length, D) * 50 for role in z}
        padded_present = {role: torch.zeros(1, length, dtype=torch.bool) for role in present}
        for role in z:
            padded_z[role][:, :60], padded_present[role][:, :60] = z[role], present[role]
        torch.testing.assert_close(ours(padded_z, padded_present), alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_batch_mates_do_not_change_a_score(fusion: Fusion) -> None:
    ours = tfam(fusion)
    lengths = [9, 1, 30, 12]
    z, present = inputs(lengths, still=(1, 3))
    together = ours(z, present)
    assert torch.isfinite(together).all()
    for i, length in enumerate(lengths):
        alone = ours(
            {role: z[role][i : i + 1, :length] for role in z},
            {role: present[role][i : i + 1, :length] for role in present},
        )
        torch.testing.assert_close(alone[0], together[i], atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_masked_is_never_seen_not_even_nan(fusion: Fusion) -> None:
    ours = tfam(fusion)
    z, present = inputs([8, 5], still=(1,))
    clean = ours(z, present)
    for role in z:
        z[role][~present[role]] = torch.nan
    logits = ours(z, present)
    torch.testing.assert_close(logits, clean, atol=0, rtol=0)
    logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in ours.parameters() if p.grad is not None)


def test_without_motion_temporal_is_image_alone() -> None:
    both, alone = tfam("temporal"), tfam("image")
    alone.load_state_dict(both.state_dict())
    z, present = inputs([8, 5], still=(0, 1))
    torch.testing.assert_close(both(z, present), alone(z, present), atol=1e-5, rtol=0)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_is_there_is_seen(fusion: Fusion) -> None:
    ours = tfam(fusion)
    z, present = inputs([8])
    before = ours(z, present)
    for role in HEADS[fusion].roles:
        changed = {**z, role: z[role].clone()}
        changed[role][0, 7] += 1
        assert (ours(changed, present) - before).abs().max() > 1e-4


@pytest.mark.parametrize("fusion", FUSIONS)
def test_positions_tell_the_order(fusion: Fusion) -> None:
    z, present = inputs([8])
    backwards = {role: z[role].flip(1) for role in z}
    blind, seeing = tfam(fusion, PAPER), tfam(fusion, SMALL)
    torch.testing.assert_close(blind(z, present), blind(backwards, present), atol=1e-5, rtol=0)
    assert (seeing(z, present) - seeing(backwards, present)).abs().max() > 1e-3


def test_positions_are_as_long_as_their_vectors() -> None:
    x = torch.randn(2, 50, 64) * torch.tensor([1.0, 12.0])[:, None, None]
    added = with_positions(x, "sinusoidal") - x
    torch.testing.assert_close(added.norm(dim=-1), x.norm(dim=-1), rtol=1e-4, atol=1e-4)
    assert torch.equal(with_positions(x, None), x)
    direction = torch.nn.functional.normalize(added, dim=-1)  # of (sin t, cos t, …), t from 1
    torch.testing.assert_close(direction[0, :, 0] / direction[0, :, 1], torch.arange(1, 51).tan(), rtol=1e-2, atol=1e-2)


def test_pooling() -> None:
    x, mask = torch.randn(3, 6, D), torch.arange(6) < torch.tensor([6, 2, 0])[:, None]
    mean = MeanPooling()(x, mask)
    torch.testing.assert_close(mean[1], x[1, :2].mean(dim=0))
    assert torch.equal(mean[2], torch.zeros(D))


@pytest.mark.parametrize("fusion", FUSIONS)
def test_vectors_of_another_width_are_projected(fusion: Fusion) -> None:
    ours = tfam(fusion, dim=20)
    assert ours(*inputs([4, 3], dim=20)).shape == (2, 5)


@pytest.mark.parametrize("dims", [{}, {"image": 8}, {"motion": 8}])
def test_widths_must_be_those_that_are_read(dims: dict[Modality, int]) -> None:
    with pytest.raises(ConfigError, match="a width of image and of motion"):
        Tfam(SMALL, dims, 5)


def test_logits_are_fp32_under_autocast() -> None:
    with torch.autocast("cpu", torch.bfloat16):
        logits = tfam("cross")(*inputs([4, 3]))
    assert logits.dtype == torch.float32
    assert not torch.equal(logits, logits.bfloat16().float())


def test_the_head_is_given_what_is_pooled() -> None:
    model = Tfam(TfamConfig(layers=1, width=16, heads=2, feed_forward=8, hidden=4), {"image": 8, "motion": 8}, 3).eval()
    z: dict[Modality, Tensor] = {"image": torch.randn(2, 5, 8), "motion": torch.randn(2, 5, 8)}
    seen: dict[Modality, Tensor] = {role: torch.tensor([[True] * 5, [True, True, False, False, False]]) for role in z}
    pooled = model.pooled(z, seen)
    assert pooled.shape == (2, 16)
    assert torch.equal(model.head(pooled), model(z, seen))
    alone = model.pooled({role: z[role][1:, :2] for role in z}, {role: seen[role][1:, :2] for role in z})
    assert torch.allclose(alone[0], pooled[1], atol=1e-6)
