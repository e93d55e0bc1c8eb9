"""Mixup against its equation."""

import numpy as np
import torch

from vimoclip.sequences.sequences import Batch
from vimoclip.training.losses import mixup


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    present = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 1]], dtype=torch.bool)
    moving = torch.tensor([[1, 1, 1], [0, 0, 0], [1, 1, 0]], dtype=torch.bool)
    vectors = {role: torch.randn(3, 3, 4, generator=generator) for role in ("image", "motion")}
    return Batch(np.arange(3), vectors, {"image": present, "motion": moving}, torch.eye(3))  # type: ignore[arg-type]


def test_the_equation() -> None:
    torch.manual_seed(0)
    before = batch()
    after = mixup(before, 0.8)
    weights = after.targets.diagonal()
    assert ((weights >= 0.5) & (weights <= 1)).all() and len(set(weights.tolist())) == 3
    for a in range(3):
        b = (a - 1) % 3
        assert after.targets[a, b] == 1 - weights[a] and after.targets[a].sum() == 1
        for role in ("image", "motion"):
            for t in range(3):
                own = before.vectors[role][a, t]
                if before.present[role][a, t] and before.present[role][b, t]:
                    own = weights[a] * own + (1 - weights[a]) * before.vectors[role][b, t]
                torch.testing.assert_close(after.vectors[role][a, t], own)
    assert after.present == before.present and after.videos is before.videos


def test_what_is_missing_is_not_mixed_in() -> None:
    before = batch()
    before.vectors["motion"][1] = torch.nan
    after = mixup(before, 0.8)
    assert torch.isfinite(after.vectors["motion"][[0, 2]]).all()


def test_one_video_alone_stays_as_it_is() -> None:
    before = batch()
    one = Batch(
        before.videos[:1],
        {role: z[:1] for role, z in before.vectors.items()},
        {role: there[:1] for role, there in before.present.items()},
        before.targets[:1],
    )
    after = mixup(one, 0.8)
    torch.testing.assert_close(after.vectors["image"], one.vectors["image"])
    torch.testing.assert_close(after.targets, one.targets)
