"""Mixup of embeddings: pairs of videos become one, and so do their labels (Zhang et al., ICLR 2018)."""

import torch

from vimoclip.sequences.sequences import Batch


def mixed(batch: Batch, alpha: float) -> Batch:
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
