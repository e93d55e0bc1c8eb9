"""Losses of behaviours, from logits x and targets y, both (B, C), to one number; and mixup of embeddings.

y is 1 where a video shows a behaviour, otherwise 0; or in between where two videos were mixed. p = σ(x). Losses are
means over videos (and classes).

The motion student's are L = L_cls + L_distill (Eq. 4): `weighted` and `distillation`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vimoclip.config.fusion import LossConfig
from vimoclip.sequences.sequences import Batch

_TINY = 1e-30  # in place of 0 under a power, whose gradient may be infinite there


def make_loss(config: LossConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function of logits and targets that a config names."""
    if config.name == "bce":
        return binary_cross_entropy
    if config.name == "cross-entropy":
        return cross_entropy
    positive, negative, margin = config.gamma_positive, config.gamma_negative, config.margin
    return lambda logits, targets: asymmetric(logits, targets, positive, negative, margin)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute the paper's L = −mean [y log p + (1 − y) log(1 − p)], over videos and classes."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float())


def asymmetric(logits: Tensor, targets: Tensor, gamma_positive: float, gamma_negative: float, margin: float) -> Tensor:
    """Compute the asymmetric loss of Ridnik et al. (ICCV 2021), over videos and classes.

    L = −mean [y (1 − p)^γ₊ log p + (1 − y) p_m^γ₋ log(1 − p_m)], p_m = max(p − m, 0). It is for many classes where a
    video shows few: easy negatives weigh little (γ₋), and those under the margin m nothing. γ₊ = γ₋ = m = 0 is binary
    cross-entropy.

    Args:
        logits: (B, C).
        targets: (B, C).
        gamma_positive: γ₊.
        gamma_negative: γ₋.
        margin: m.
    """
    x, y = logits.float(), targets.float()
    p, q = torch.sigmoid(x), torch.sigmoid(-x)
    p_m = (p - margin).clamp(min=_TINY)
    log_not = F.logsigmoid(-x) if margin == 0 else (q + margin).clamp(max=1).log()  # 1 − p_m, without cancellation
    positive = q.clamp(min=_TINY) ** gamma_positive * F.logsigmoid(x)
    negative = p_m**gamma_negative * log_not
    return -(y * positive + (1 - y) * negative).mean()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute L = −mean Σ_c y_c log softmax(x)_c, over videos that show one behaviour each: Σ_c y_c = 1."""
    return F.cross_entropy(logits.float(), targets.float())


def weighted(logits: Tensor, targets: Tensor, positive_weight: float) -> Tensor:
    """Compute L_cls = −mean [w y log p + (1 − y) log(1 − p)], over clips and classes.

    The paper writes its Eq. 5 as the sum over positives alone. Taken literally, all logits grow without end, since
    giving every class to every video costs nothing. The published code includes the negatives, with w = 10, and so does
    this.

    Args:
        logits: (B, C).
        targets: (B, C).
        positive_weight: w.
    """
    weight = logits.new_tensor(positive_weight, dtype=torch.float32)
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float(), pos_weight=weight)


def distillation(z: Tensor, z_image: Tensor) -> Tensor:
    """Compute L_distill = mean (1 − cos(ẑ, z_image)), over frames: Eq. 6. z, z_image: (N, D), of any length."""
    return 1 - F.cosine_similarity(z.float(), z_image.float(), dim=-1).mean()


def mixup(batch: Batch, alpha: float) -> Batch:
    """Mix each video a, and its labels, with the one before it in the batch, b (Zhang et al., ICLR 2018).

    z_t = λ z_t(a) + (1 − λ) z_t(b), y = λ y(a) + (1 − λ) y(b). λ ~ Beta(α, α) is drawn for each pair, from torch's
    global generator of the CPU, and is at least ½, so that a dominates. The steps are those of a: where b has no
    vector, z_t is a's own.

    Args:
        batch: the videos.
        alpha: α.
    """
    weights = torch.distributions.Beta(alpha, alpha).sample((len(batch.videos),))
    weights = torch.maximum(weights, 1 - weights).to(batch.targets.device)
    vectors = {}
    for role, z in batch.vectors.items():
        both = (batch.present[role] & batch.present[role].roll(1, dims=0))[..., None]
        other = z.roll(1, dims=0)
        vectors[role] = torch.where(both, torch.lerp(other, z, weights[:, None, None]), z)
    targets = torch.lerp(batch.targets.roll(1, dims=0), batch.targets, weights[:, None])
    return Batch(batch.videos, vectors, batch.present, targets)
