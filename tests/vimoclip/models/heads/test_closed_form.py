"""The heads of closed form against formulas written otherwise, and by hand."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.vimoclip.made_up_sequences import CLASSES, CONFIG, D, sequences
from vimoclip.config.fusion import ClosedFormConfig, FusionConfig
from vimoclip.errors import ConfigError
from vimoclip.models.checkpoint import Meta, Source, read_checkpoint, write_checkpoint
from vimoclip.models.heads import build_head
from vimoclip.models.heads.closed_form import (
    PENALTIES,
    ClosedFormHead,
    Examples,
    LinearHead,
    PrototypeHead,
    left_out_residuals,
)
from vimoclip.sequences.sequences import Sequences
from vimoclip.training.fusion import FusionTask, scores

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
DIMS = {"image": 2, "motion": 1}
Labels = Literal["several", "one"]
Values = NDArray[np.float64]
Means = tuple[Values, NDArray[np.bool_]]
HEADS = ("linear", "prototype")


def config(head: str, labels: Labels, thirds: bool = True) -> FusionConfig:
    made = CONFIG.with_head(head)
    fitted = FusionConfig(
        head=head,
        loss=made.loss.fitting(labels == "one"),
        training=made.training,
        mixup=None,
        closed_form=ClosedFormConfig(thirds),
    )
    return fitted


def fitted(head: str, train: Sequences, labels: Labels, thirds: bool = True) -> ClosedFormHead:
    task = FusionTask(config(head, labels, thirds), train, None, CPU)
    (batch,) = task.plan(0)
    loss = task.loss(batch)
    assert not loss.requires_grad and 0 < float(loss) < 0.25 and task.fitted["penalty"] in PENALTIES
    assert isinstance(task.model, ClosedFormHead)
    return task.model


def means_by_hand(made: Sequences, thirds: bool) -> Means:
    """Of each video: every step is repeated three times, so that thirds have whole steps."""
    rows, seen = [], []
    for video in range(len(made)):
        batch = made.batch(np.array([video]))
        own, there = [], []
        for role in ("image", "motion"):
            z, mask = batch.vectors[role][0].double().numpy(), batch.present[role][0].numpy()
            parts = np.array_split(np.arange(3 * len(z)) // 3, 3) if thirds else [np.arange(len(z))]
            for part in parts:
                kept = part[mask[part]]
                own.append(z[kept].mean(0) if len(kept) else np.zeros(D))
                there.append(np.full(D, bool(len(kept))))
        rows.append(np.concatenate(own))
        seen.append(np.concatenate(there))
    return np.array(rows), np.array(seen)


def scaled(means: Values, seen: NDArray[np.bool_], like: Means) -> Values:
    """Less the mean of `like`, each feature of mean square length 1 over `like`; what is missing is 0."""
    count = like[1].sum(0)
    center = np.where(like[1], like[0], 0).sum(0) / np.maximum(count, 1)
    x, y = np.where(seen, means - center, 0), np.where(like[1], like[0] - center, 0)
    half = x.shape[1] // 2
    for part in (slice(0, half), slice(half, None)):
        x[:, part] /= np.sqrt((y[:, part] ** 2).sum(1).mean())
    return x


def packed(rows: list[list[float]], steps: int) -> tuple[Tensor, Tensor]:
    """Vectors (B, steps, 1) and their mask; what is beyond a row is masked, and not a number."""
    z, present = torch.full((len(rows), steps, 1), torch.nan), torch.zeros(len(rows), steps, dtype=torch.bool)
    for n, row in enumerate(rows):
        z[n, : len(row), 0], present[n, : len(row)] = torch.tensor(row), True
    return z, present


def test_the_thirds_of_a_video_share_the_steps_on_their_bounds() -> None:
    head = build_head(FusionConfig().with_head("linear"), {"image": 1, "motion": 1}, 2)
    assert isinstance(head, LinearHead)
    image, present = packed([[1, 2, 3, 4, 5, 6], [6, 3], [7], [1, 2, 4, 8]], 7)
    motion, moving = packed([[1, 1, 1, 1, 1, 1], [], [], [5]], 7)
    means, there = head.means({"image": image, "motion": motion}, {"image": present, "motion": moving})
    expected = [[1.5, 3.5, 5.5], [6, 4.5, 3], [7, 7, 7], [(3 + 2) / 4, (2 * 2 + 2 * 4) / 4, (4 + 3 * 8) / 4]]
    torch.testing.assert_close(means[:, :3], torch.tensor(expected))
    assert there[:, :3].all()
    assert there[:, 3:].tolist() == [[True] * 3, [False] * 3, [False] * 3, [True, False, False]]
    assert means[3, 3] == 5
    whole = build_head(
        FusionConfig(closed_form=ClosedFormConfig(False)).with_head("linear"), {"image": 1, "motion": 1}, 2
    )
    assert isinstance(whole, LinearHead)
    means, there = whole.means({"image": image, "motion": motion}, {"image": present, "motion": moving})
    torch.testing.assert_close(means, torch.tensor([[3.5, 1], [4.5, 0], [7, 0], [3.75, 5]]))
    assert there.tolist() == [[True, True], [True, False], [True, False], [True, True]]


@pytest.mark.parametrize("labels", ["several", "one"])
@pytest.mark.parametrize("thirds", [True, False])
@pytest.mark.parametrize("videos", [30, 90])  # fewer, and more, than the 48 or 16 means of a video
def test_linear_is_ridge_regression(labels: Labels, thirds: bool, videos: int) -> None:
    train, other = sequences(videos, 1, labels), sequences(15, 2, labels)
    head = fitted("linear", train, labels, thirds)
    like = means_by_hand(train, thirds)
    x, new = scaled(*like, like), scaled(*means_by_hand(other, thirds), like)
    y = train.targets.double().numpy()
    singular = np.linalg.svd(x, compute_uv=False) ** 2
    mean_variance = singular[singular > 1e-7 * singular[0]].mean()

    def predict(rows: NDArray[np.bool_], of: Values, penalty: float) -> Values:
        one = np.column_stack([np.ones(int(rows.sum())), x[rows]])
        gram = one.T @ one + penalty * mean_variance * np.diag([0] + [1] * x.shape[1])
        return np.column_stack([np.ones(len(of)), of]) @ np.linalg.solve(gram, one.T @ y[rows])

    errors = []
    for penalty in PENALTIES:
        missed = [y[n] - predict(np.arange(videos) != n, x[n : n + 1], penalty)[0] for n in range(videos)]
        errors.append((np.array(missed) ** 2).mean())
    best = PENALTIES[int(np.argmin(errors))]
    expected = predict(np.ones(videos, bool), new, best)
    np.testing.assert_allclose(scores(head.eval(), other).numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("groups", [[0, 1, 2, 3, 4, 5, 6, 7], [0, 0, 1, 1, 1, 2, 3, 3], [5, 1, 5, 0, 1, 0, 5, 1]])
def test_what_is_left_out_is_as_if_it_had_not_been_there(groups: list[int]) -> None:
    random = np.random.default_rng(3)
    x, y = random.normal(size=(8, 4)), random.normal(size=(8, 2))
    x -= x.mean(0)
    values, vectors = np.linalg.eigh(x.T @ x)
    z = x @ vectors / np.sqrt(values + 0.7)
    found = left_out_residuals(torch.from_numpy(z), torch.from_numpy(y), np.array(groups)).numpy()
    for group in set(groups):
        own = np.array(groups) == group
        one = np.column_stack([np.ones(int((~own).sum())), x[~own]])
        weights = np.linalg.solve(one.T @ one + 0.7 * np.diag([0, 1, 1, 1, 1]), one.T @ y[~own])
        expected = y[own] - np.column_stack([np.ones(int(own.sum())), x[own]]) @ weights
        np.testing.assert_allclose(found[own], expected, atol=1e-10)


@pytest.mark.parametrize("labels", ["several", "one"])
@pytest.mark.parametrize("videos", [30, 90])
def test_prototypes_are_cosines_to_class_means_of_whitened_vectors(labels: Labels, videos: int) -> None:
    train, other = sequences(videos, 1, labels), sequences(15, 2, labels)
    like = means_by_hand(train, True)
    y = train.targets.double().numpy()
    fold = np.argsort(np.argsort(np.array(train.video_ids))) % 5

    def cosines(rows: NDArray[np.bool_], of: Means, penalty: float) -> Values:
        base = (like[0][rows], like[1][rows])
        x, new, own = scaled(*base, base), scaled(*of, base), y[rows]
        variance, axes = np.linalg.eigh(x.T @ x)
        kept = variance > 1e-7 * variance[-1]
        roots = np.sqrt(variance[kept] + penalty * variance[kept].mean())
        z, to = x @ axes[:, kept] / roots, new @ axes[:, kept] / roots
        z, to = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (z, to))
        means = [z[own[:, c] == 1].mean(0) - (0 if labels == "one" else z[own[:, c] == 0].mean(0)) for c in range(3)]
        found: Values = to @ np.array([each / np.linalg.norm(each) for each in means]).T
        return found

    tried = []
    for penalty in PENALTIES:
        left = np.zeros_like(y)
        for n in range(5):
            left[fold == n] = cosines(fold != n, (like[0][fold == n], like[1][fold == n]), penalty)
        a, b = left - left.mean(0), y - y.mean(0)
        slope = (a * b).sum() / (a * a).sum()
        tried.append((((b - slope * a) ** 2).mean(), penalty, slope))
    _, penalty, slope = min(tried)
    expected = y.mean(0) + slope * cosines(np.ones(videos, bool), means_by_hand(other, True), penalty)
    head = fitted("prototype", train, labels)
    assert isinstance(head, PrototypeHead)
    np.testing.assert_allclose(scores(head.eval(), other).numpy(), expected, atol=2e-4)


@pytest.mark.parametrize("head", HEADS)
def test_what_is_masked_and_who_is_beside_it_do_not_matter(head: str) -> None:
    model = fitted(head, sequences(40, 1), "several").eval()
    batch = sequences(20, 2).batch(np.arange(20))
    together = model(batch.vectors, batch.present)
    assert together.dtype == torch.float32 and torch.isfinite(together).all()
    for video, steps in enumerate(sequences(20, 2).steps.tolist()):
        vectors = {role: z[video : video + 1, :steps] for role, z in batch.vectors.items()}
        present = {role: mask[video : video + 1, :steps] for role, mask in batch.present.items()}
        torch.testing.assert_close(model(vectors, present), together[video : video + 1], atol=1e-5, rtol=0)
        longer = {role: torch.cat([z, torch.full((1, 3, D), torch.nan)], dim=1) for role, z in vectors.items()}
        padded = {role: torch.cat([mask, torch.zeros(1, 3, dtype=torch.bool)], dim=1) for role, mask in present.items()}
        torch.testing.assert_close(model(longer, padded), together[video : video + 1], atol=1e-5, rtol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(batch.vectors, batch.present), together)
    nothing = {role: torch.zeros_like(mask) for role, mask in batch.present.items()}
    assert torch.equal(model.pooled(batch.vectors, nothing), torch.zeros(20, model.width))


@pytest.mark.parametrize("head", HEADS)
def test_missing_motion_counts_as_the_training_mean(head: str) -> None:
    train = sequences(40, 1)
    model = fitted(head, train, "several").eval()
    image = torch.randn(1, 6, D, generator=torch.Generator().manual_seed(0))
    all_there, none = torch.ones(1, 6, dtype=torch.bool), torch.zeros(1, 6, dtype=torch.bool)
    mean = model.center[3 * D :].reshape(3, D).repeat_interleave(2, dim=0)[None]
    without = model({"image": image, "motion": torch.full_like(image, torch.nan)}, {"image": all_there, "motion": none})
    at_mean = model({"image": image, "motion": mean}, {"image": all_there, "motion": all_there})
    torch.testing.assert_close(without, at_mean, atol=1e-5, rtol=0)


@pytest.mark.parametrize("labels", ["several", "one"])
@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_was_fitted_goes_through_a_checkpoint(tmp_path: Path, head: str, labels: Labels) -> None:
    train, other = sequences(25, 1, labels), sequences(10, 2, labels)
    model = fitted(head, train, labels)
    before = scores(model.eval(), other)
    model.calibrate(2.5, -0.5)
    torch.testing.assert_close(scores(model, other), 2.5 * before - 0.5)
    source = {role: Source(role, "f", D, "m") for role in ("image", "motion")}
    meta = Meta(config(head, labels), CLASSES, train.counts(), source, "s", {})  # type: ignore[arg-type]
    write_checkpoint(tmp_path, model, meta)
    kept, said = read_checkpoint(tmp_path)
    assert said.config == meta.config and kept.width == model.width == len(model.axes) > 1
    assert torch.equal(scores(kept, other), scores(model, other))


@pytest.mark.parametrize("labels", ["several", "one"])
@pytest.mark.parametrize("head", HEADS)
def test_it_learns_what_the_videos_show(head: str, labels: Labels) -> None:
    other = sequences(60, 2, labels)
    found = scores(fitted(head, sequences(60, 1, labels), labels).eval(), other)
    if labels == "one":
        still = [video for video in range(60) if video % 9 == 8 and other.targets[video, 2]]  # nothing says `moving`
        right = found.argmax(1) == other.targets.argmax(1)
        assert right[[video for video in range(60) if video not in still]].float().mean() > 0.85
    else:
        assert ((found[:, 0] > found[:, 1]) == (other.targets[:, 0] > other.targets[:, 1])).float().mean() > 0.9


@pytest.mark.parametrize("head", HEADS)
def test_examples_that_say_nothing_give_finite_scores(head: str) -> None:
    model = build_head(FusionConfig().with_head(head), DIMS, 2)  # type: ignore[arg-type]
    assert isinstance(model, ClosedFormHead)
    for count in (1, 2, 6):
        means = torch.ones(count, 9, dtype=torch.float64)
        targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64).repeat(3, 1)[:count]
        same = Examples(means, means > 0, targets, np.zeros(count, np.int64), one_each=True)
        said = model.fit(same)
        z = torch.randn(1, 4, 3)
        there = torch.ones(1, 4, dtype=torch.bool)
        logits = model({"image": z[..., :2], "motion": z[..., 2:]}, {"image": there, "motion": there})
        assert np.isfinite(list(said.values())).all() and torch.isfinite(logits).all()
        torch.testing.assert_close(logits[0], targets.mean(0).float())


def test_widths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match="head linear cannot be built"):
        build_head(FusionConfig().with_head("linear"), {"image": 4}, 2)
    with pytest.raises(ConfigError, match="head prototype cannot be built"):
        build_head(FusionConfig().with_head("prototype"), {"image": 4, "motion": 4}, 0)
