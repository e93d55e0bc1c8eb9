"""Losses of behaviours: logits x and targets y, both (B, C), to one number, the mean over videos (and classes).

y is 1 where a video shows a behaviour, else 0, or between them where two videos were mixed. p = σ(x).

The motion student's are L = L_cls + L_distill (Eq. 4): `weighted`, and `distillation`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from vimoclip.config.fusion import LossConfig
from vimoclip.sequences.sequences import Batch

_TINY = 1e-30  # in place of 0 under a power, whose gradient may be infinite there


def make_loss(config: LossConfig) -> Callable[[Tensor, Tensor], Tensor]:
    """The function of logits and targets that a config names."""
    if config.name == "bce":
        return binary_cross_entropy
    if config.name == "cross-entropy":
        return cross_entropy
    positive, negative, margin = config.gamma_positive, config.gamma_negative, config.margin
    return lambda logits, targets: asymmetric(logits, targets, positive, negative, margin)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """L = −mean [y log p + (1 − y) log(1 − p)], over videos and classes: the paper's."""
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float())


def asymmetric(logits: Tensor, targets: Tensor, gamma_positive: float, gamma_negative: float, margin: float) -> Tensor:
    """L = −mean [y (1 − p)^γ₊ log p + (1 − y) p_m^γ₋ log(1 − p_m)], p_m = max(p − m, 0), over videos and classes.

    The asymmetric loss of Ridnik et al. (ICCV 2021), against many classes of which a video shows few: easy negatives
    weigh little (γ₋), and those under the margin m nothing. γ₊ = γ₋ = m = 0 is binary cross-entropy.
    """
    x, y = logits.float(), targets.float()
    p, q = torch.sigmoid(x), torch.sigmoid(-x)
    p_m = (p - margin).clamp(min=_TINY)
    log_not = F.logsigmoid(-x) if margin == 0 else (q + margin).clamp(max=1).log()  # 1 − p_m, without cancellation
    positive = q.clamp(min=_TINY) ** gamma_positive * F.logsigmoid(x)
    negative = p_m**gamma_negative * log_not
    return -(y * positive + (1 - y) * negative).mean()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """L = −mean Σ_c y_c log softmax(x)_c, over videos: for one behaviour a video, so that Σ_c y_c = 1."""
    return F.cross_entropy(logits.float(), targets.float())


def weighted(logits: Tensor, targets: Tensor, positive_weight: float) -> Tensor:
    """L_cls = −mean [w y log p + (1 − y) log(1 − p)], over segments and classes, w the weight of positives.

    The paper writes its Eq. 5 as the sum over positives alone. Taken as it stands, all logits grow without end, since
    nothing is lost by giving every class to every video. The published code has the negatives, and w = 10, and so has
    this.
    """
    weight = logits.new_tensor(positive_weight, dtype=torch.float32)
    return F.binary_cross_entropy_with_logits(logits.float(), targets.float(), pos_weight=weight)


def distillation(z: Tensor, z_image: Tensor) -> Tensor:
    """L_distill = mean (1 − cos(ẑ, z_image)), over frames: Eq. 6. z, z_image: (N, D), of any length."""
    return 1 - F.cosine_similarity(z.float(), z_image.float(), dim=-1).mean()


# Mixup of embeddings: pairs of videos become one, and so do their labels (Zhang et al., ICLR 2018).


def mixup(batch: Batch, alpha: float) -> Batch:
    """Each video a with the one before it in the batch, b: z_t = λ z_t(a) + (1 − λ) z_t(b), y = λ y(a) + (1 − λ) y(b).

    λ ~ Beta(α, α), of each pair its own, and at least ½, so that a is the one that is heard. Its steps are those of a:
    where b has no vector, z_t is a's own. λ is drawn from torch's global generator of the CPU.
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
