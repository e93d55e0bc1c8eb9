"""TFAM, the paper's temporal fusion attention module: Q of z_image, K and V of z_motion over t = 1 … T.

    fusion       layers over                                      parameters (D 512, 140 classes, the paper's head)
    cross        z_image, attending to z_motion                   16,984,460
    temporal     [z_image; z_motion], a sequence of 2T            12,777,868
    embedding    W [z_image, z_motion], 1024 → 512                13,302,668
    image        z_image                                          12,777,868
    motion       z_motion                                         12,777,868

A layer is post-norm: self-attention; in `cross`, then attention to motion; then a feed-forward with ReLU. Each is
followed by a residual sum and a LayerNorm. Head: pooling over time, LayerNorm → hidden → GELU → dropout → classes.
Vectors of another width than the module's are projected first. The state of a layer has the names and shapes of torch's
TransformerDecoderLayer (`cross`) or TransformerEncoderLayer.

Every sequence has a mask, and what is masked has no effect: a video's logits depend neither on its batch mates nor on
how far it was padded. A video may lack motion altogether, such as one of a single frame. Attention over nothing is the
sum of no values, 0: a `cross` layer is then the same layer without the values, whose output projection's bias, residual
and norm still act, as for every other video. In `embedding` a missing vector is 0; elsewhere it takes no part.
"""

import math
from collections.abc import Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vimoclip.config.fusion import HEADS, FusionConfig, Modality, TfamConfig
from vimoclip.errors import ConfigError
from vimoclip.models.heads import FusionHead, scale_layer


def build(config: FusionConfig, dims: Mapping[Modality, int], classes: int) -> "Tfam":
    """Make TFAM from a run's settings; raises ConfigError, as `Tfam` does."""
    return Tfam(config.tfam, dims, classes)


class Tfam(FusionHead):
    """TFAM with any of its five fusions.

    Args:
        config: the settings.
        dims: the width of each feature that `config.fusion` reads: `{"image": D, "motion": D}`.
        classes: the number of classes.

    Raises:
        ConfigError: a width that is missing, or one that the fusion does not read; or no classes.
    """

    def __init__(self, config: TfamConfig, dims: Mapping[Modality, int], classes: int) -> None:
        super().__init__(dims, classes, config.width)
        self.config, roles = config, HEADS[config.fusion].roles
        if set(dims) != set(roles) or classes < 1:
            raise ConfigError(
                f"TFAM with fusion {config.fusion} cannot be built.",
                received=f"widths of {', '.join(dims) or 'nothing'}; {classes} classes",
                expected=f"a width of {' and of '.join(roles)}, and a class or more",
            )
        embedding = config.fusion == "embedding"
        widths = {"fused": sum(dims.values())} if embedding else {str(role): dim for role, dim in dims.items()}
        self.projection = nn.ModuleDict({name: _projection(dim, config.width) for name, dim in widths.items()})
        layer = CrossLayer if config.fusion == "cross" else SelfLayer
        self.layers = nn.ModuleList(layer(config) for _ in range(config.layers))
        self.pool = MeanPooling()
        self.head = nn.Sequential(
            nn.LayerNorm(config.width),
            nn.Linear(config.width, config.hidden),
            nn.Sequential(
                nn.GELU(), nn.Dropout(config.head_dropout)
            ),  # as one, whatever the names in older checkpoints
            nn.Linear(config.hidden, classes),
        )

    def forward(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """See `FusionHead.forward`."""
        pooled = self.pooled(vectors, present)
        with torch.autocast(pooled.device.type, enabled=False):  # bf16 logits would tie, and ties have no order
            logits: Tensor = self.head(pooled)
        return logits

    def pooled(self, vectors: Mapping[Modality, Tensor], present: Mapping[Modality, Tensor]) -> Tensor:
        """See `FusionHead.pooled`. It is the layers' output, pooled over time; 0 where there are no steps."""
        z = {role: vectors[role].masked_fill(~present[role][..., None], 0) for role in self.dims}
        memory, memory_mask = None, None
        if self.config.fusion == "embedding":
            x = self._embed("fused", torch.cat([z["image"], z["motion"]], dim=-1))
            mask = present["image"]
        elif self.config.fusion == "temporal":
            x = torch.cat([self._embed("image", z["image"]), self._embed("motion", z["motion"])], dim=1)
            mask = torch.cat([present["image"], present["motion"]], dim=1)
        elif self.config.fusion == "cross":
            x, mask = self._embed("image", z["image"]), present["image"]
            memory, memory_mask = self._embed("motion", z["motion"]), present["motion"]
        else:
            role: Modality = self.config.fusion
            x, mask = self._embed(role, z[role]), present[role]
        for layer in self.layers:
            x = layer(x, mask) if memory is None else layer(x, mask, memory, memory_mask)
        pooled: Tensor = self.pool(x, mask)
        return pooled

    def calibrate(self, scale: float, bias: float) -> None:
        """See `FusionHead.calibrate`."""
        last = self.head[-1]
        assert isinstance(last, nn.Linear)
        scale_layer(last, scale, bias)

    def _embed(self, name: str, z: Tensor) -> Tensor:
        x: Tensor = self.projection[name](z)
        return with_positions(x, self.config.positions)


class _Layer(nn.Module):
    def __init__(self, config: TfamConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config.width, config.heads, config.dropout)
        self.linear1 = nn.Linear(config.width, config.feed_forward)
        self.linear2 = nn.Linear(config.feed_forward, config.width)
        self.norm1, self.norm2 = nn.LayerNorm(config.width), nn.LayerNorm(config.width)
        self.dropout = nn.Dropout(config.dropout)

    def _feed_forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.dropout(self.linear2(self.dropout(F.relu(self.linear1(x)))))
        return y


class SelfLayer(_Layer):
    """x ← LN(x + self-attention(x)); x ← LN(x + feed-forward(x))."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """One layer.

        Args:
            x: float (B, T, d).
            mask: bool (B, T), True where x is present.
        """
        x = self.norm1(x + self.dropout(self.self_attn(x, x, mask)))
        x = self.norm2(x + self._feed_forward(x))
        return x


class CrossLayer(_Layer):
    """x ← LN(x + self-attention(x)); x ← LN(x + attention(Q = x; K, V = memory)); x ← LN(x + feed-forward(x))."""

    def __init__(self, config: TfamConfig) -> None:
        super().__init__(config)
        self.multihead_attn = Attention(config.width, config.heads, config.dropout)
        self.norm3 = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor, memory: Tensor, memory_mask: Tensor) -> Tensor:
        """One layer.

        Args:
            x: float (B, T, d).
            mask: bool (B, T), True where x is present.
            memory: float (B, S, d), what x attends to.
            memory_mask: bool (B, S), True where memory is present.
        """
        x = self.norm1(x + self.dropout(self.self_attn(x, x, mask)))
        x = self.norm2(x + self.dropout(self.multihead_attn(x, memory, memory_mask)))
        x = self.norm3(x + self._feed_forward(x))
        return x


class Attention(nn.Module):
    """Scaled dot-product attention of several heads, with the parameters of torch's MultiheadAttention."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, queries: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """Attend. Where a video's mask is False throughout, the sum over its values is 0.

        Args:
            queries: float (B, T, d).
            memory: float (B, S, d), what is attended to.
            mask: bool (B, S), True where memory is present.

        Returns:
            float (B, T, d).
        """
        width = queries.shape[-1]
        if queries is memory:
            q, k, v = F.linear(queries, self.in_proj_weight, self.in_proj_bias).chunk(3, dim=-1)
        else:
            weights, biases = self.in_proj_weight, self.in_proj_bias
            q = F.linear(queries, weights[:width], biases[:width])
            k, v = F.linear(memory, weights[width:], biases[width:]).chunk(2, dim=-1)
        q, k, v = (each.view(*each.shape[:2], self.heads, -1).transpose(1, 2) for each in (q, k, v))
        dropout = self.dropout if self.training else 0.0
        seen = mask[:, None, None]
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, dropout_p=dropout)
        z = z.masked_fill(~seen.any(dim=-1, keepdim=True), 0)  # as torch's CPU kernels do by themselves
        y: Tensor = self.out_proj(z.transpose(1, 2).flatten(2))
        return y


class MeanPooling(nn.Module):
    """The mean over the steps that are present; 0 where there are none."""

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """From x, float (B, T, d), and mask, bool (B, T), to fp32 (B, d)."""
        kept = x.float().masked_fill(~mask[..., None], 0)
        steps = mask.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.div(kept.sum(dim=1), steps)


def with_positions(x: Tensor, positions: Literal["sinusoidal"] | None) -> Tensor:
    """Add positions: x_t + p_t · |x_t| / |p_t|, p_t the sinusoids of Vaswani et al. (2017), t = 1 … T.

    They are scaled because their length is √(d/2), 16 for d = 512, which would drown unit vectors.

    Args:
        x: float (B, T, d).
        positions: None adds nothing.
    """
    if positions is None:
        return x
    steps, width = x.shape[1:]
    rates = torch.exp(torch.arange(0, width, 2, device=x.device) * (-math.log(10000.0) / width))
    angles = torch.arange(1, steps + 1, device=x.device)[:, None] * rates
    sinusoids = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)
    lengths = torch.linalg.vector_norm(x.float(), dim=-1, keepdim=True)
    moved: Tensor = x + sinusoids * (lengths / math.sqrt(width / 2))
    return moved


def _projection(dim: int, width: int) -> nn.Module:
    return nn.Identity() if dim == width else nn.Linear(dim, width)
