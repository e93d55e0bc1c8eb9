"""Losses of behaviours, from logits x and targets y, both (B, C), to one number; and mixup of embeddings.

y is 1 where a video shows a behaviour, otherwise 0; or in between where two videos were mixed. p = σ(x). Losses are
means over videos (and classes).

The motion student's are L = L_cls + L_distill (Eq. 6): `weighted` and `distillation`.

`explain_labels` says which videos show several behaviours, on which the choice of the loss depends.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from vimoclip.config.fusion import Loss, LossConfig
from vimoclip.sequences.sequences import Batch, Sequences

if TYPE_CHECKING:  # a loss is computed where there is no Lance (benchmarks/speed/gpu.py)
    from vimoclip.store.feature_store import FeatureStore

NAMES: dict[Loss, str] = {
    "bce": "binary cross-entropy",
    "asymmetric": "asymmetric loss",
    "cross-entropy": "cross-entropy",
}
"""The losses as messages name them."""

_NAMED = 3  # videos that a message names

_TINY = 1e-30  # in place of 0 under a power, whose gradient may be infinite there


def explain_loss(asked: LossConfig, chosen: LossConfig, store: "FeatureStore", parts: Iterable[Sequences]) -> str:
    """Say which loss a training takes, and which of its videos are the reason.

    Args:
        asked: the settings, before they were fitted to the labels.
        chosen: after.
        store: the snapshot that has the labels.
        parts: the videos, or clips, of every part of the training.
    """
    labels = explain_labels(store, parts)
    if asked.name == asked.of_one:
        return f"Loss: {NAMES[chosen.name]}, as the settings say; {labels}."
    return f"Loss: {NAMES[chosen.name]}, since {labels}."


def explain_labels(store: "FeatureStore", parts: Iterable[Sequences]) -> str:
    """Say how many videos, or clips, show several behaviours or none, and which: a clause, for a message.

    Of a few videos it names the labels and, where they come from more than one source, who gave which.

    Args:
        store: the snapshot that has the labels.
        parts: the videos, or clips, of every part of a training.
    """
    parts = list(parts)
    item = "training clip" if any(part.report.cut for part in parts) else "video"
    several: dict[str, set[str]] = {}  # labels that clips with several show, by video
    count = many = none = 0
    for part in parts:
        shown = part.targets.sum(dim=1, dtype=torch.int64).tolist()
        count += len(shown)
        none += shown.count(0)
        for video_id, number, own in zip(part.video_ids, shown, part.targets, strict=True):
            if number > 1:
                many += 1
                several.setdefault(video_id, set()).update(part.classes[c] for c in own.nonzero().flatten().tolist())
    if not many and not none:
        return f"every {item} shows exactly one behaviour"
    said = []
    if many:
        named = _labels_by_source(store, dict(list(several.items())[:_NAMED]))
        more = ["…"] if len(several) > _NAMED else []
        said.append(
            f"{many} of {count} {item}s {'shows' if many == 1 else 'show'} several behaviours "
            f"({'; '.join(named + more)})"
        )
    if none:
        said.append(f"{none} of {count} {item}s {'shows' if none == 1 else 'show'} none")
    return " and ".join(said)


def _labels_by_source(store: "FeatureStore", several: dict[str, set[str]]) -> list[str]:
    """`a.mp4: groom from first.csv, rest from second.csv`, of each video; without sources where there is one."""
    import polars as pl

    every = store.labels().filter(pl.col("video_id").is_in(list(several)))
    found = []
    for video_id, labels in several.items():
        own = every.filter((pl.col("video_id") == video_id) & pl.col("label").is_in(sorted(labels)))
        by = {label: rows["source"].unique().sort().to_list() for (label,), rows in own.group_by("label")}
        differ = len({tuple(sources) for sources in by.values()}) > 1
        said = (f"{label} from {' and '.join(by[label])}" if differ else str(label) for label in sorted(by))
        found.append(f"{video_id}: {', '.join(said)}")
    return found


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
    """Compute L_distill = mean (1 − cos(ẑ, z_image)), over frames: Eq. 4. z, z_image: (N, D), of any length."""
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
