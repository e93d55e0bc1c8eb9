"""A trained model as two files: model.safetensors, its weights, and meta.json, all that is needed to build it again.

meta.json is written last and names the SHA-256 of the weights, so that a folder in which an older run's files are half
replaced is refused rather than read. The functions down to `not_its_own` serve every kind of model.

`write_checkpoint` and `read_checkpoint` are for fusion heads, whose `Meta` also holds the fingerprints of the features
that the vectors came from: a model is never given vectors of another kind. The format is named after TFAM, the first
head; the config says which head it is, by `head`, or without it by `tfam.fusion`. The motion student's checkpoint is in
vimoclip/models/motion_student.py.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor

from schemas.features import Feature
from schemas.models import META, WEIGHTS
from vimoclip.atomic import atomic_write
from vimoclip.config.fusion import HEADS, FusionConfig, Modality
from vimoclip.errors import CheckpointError, ConfigError, RemovedSettingError
from vimoclip.models.heads import FusionHead, build_head

Get = Callable[[str], bytes]
"""Gives the bytes of a file by its name, or raises OSError."""


@dataclass(frozen=True)
class Kind:
    """The kind of model that a checkpoint holds.

    Attributes:
        format: the format that its meta.json names.
        version: version of that format.
        what: the model, in words.
        command: the command that trains one.
    """

    format: str
    version: int
    what: str
    command: str

    @property
    def hint(self) -> str:
        """What to do where there is not one."""
        return f"Name the folder of a finished run of `vimoclip {self.command}`."


@dataclass(frozen=True)
class Source:
    """The feature that a model's vectors came from.

    Attributes:
        name: of the feature.
        fingerprint: of the feature; see `schemas.features.Feature.fingerprint`.
        dim: the width of its vectors.
        model: the model that made them, for messages.
    """

    name: str
    fingerprint: str
    dim: int
    model: str

    @classmethod
    def of(cls, feature: Feature) -> "Source":
        """The source that a feature of a store is."""
        return cls(feature.name, feature.fingerprint, feature.dim, feature.model)


def write_files(folder: Path, kind: Kind, state: Mapping[str, Tensor], body: Mapping[str, Any]) -> None:
    """Write both files, and replace older ones. The folder is created if need be.

    Args:
        folder: where to.
        kind: names the format.
        state: the weights by name.
        body: what meta.json says beside the format and the hash.

    Raises:
        RunError: they cannot be written.
    """
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    with atomic_write(folder / WEIGHTS) as path:
        path.write_bytes(data)
    head = {"format": kind.format, "version": kind.version, "weights_sha256": hashlib.sha256(data).hexdigest()}
    with atomic_write(folder / META) as path:
        path.write_text(json.dumps({**head, **body}, ensure_ascii=False, indent=2, allow_nan=False), encoding="utf-8")


def in_folder(folder: Path) -> Get:
    """The reader of a folder's files."""
    return lambda name: (folder / name).read_bytes()


def read_body(get: Get, where: object, kind: Kind) -> dict[str, Any]:
    """Read meta.json.

    Args:
        get: reads the files.
        where: their place, for messages.
        kind: the model that is expected.

    Raises:
        CheckpointError: it cannot be read, or is of another format or version.
    """
    path = f"{where}/{META}"
    try:
        body = json.loads(get(META).decode("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read.", received=error.strerror, hint=kind.hint) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON.", received=error, hint=kind.hint) from error
    if not isinstance(body, dict) or body.get("format") != kind.format:
        found = body.get("format", "none") if isinstance(body, dict) else type(body).__name__
        raise CheckpointError(
            f"{where} holds no {kind.what}.", received=f"format {found}", expected=kind.format, hint=kind.hint
        )
    if body.get("version") != kind.version:
        raise CheckpointError(
            f"{where} was written by another version of ViMoCLIP.",
            received=f"version {body.get('version')}",
            expected=kind.version,
            hint="Install the newest version.",
        )
    return body


def damaged(where: object, kind: Kind, error: Exception) -> CheckpointError:
    """The error that says what is wrong in meta.json.

    Args:
        where: the place of the files, for messages.
        kind: the model that is expected.
        error: what reading meta.json raised.
    """
    if isinstance(error, RemovedSettingError):
        return CheckpointError(
            f"The {kind.what} in {where} is of an earlier version of ViMoCLIP. {error.what}",
            received=error.received,
            expected=error.expected,
            hint=f"Train it anew with `vimoclip {kind.command}`, without that setting.",
        )
    said = f"{error} is missing" if isinstance(error, KeyError) else error
    return CheckpointError(f"{where}/{META} is damaged.", received=said, hint=kind.hint)


def read_weights(get: Get, where: object, kind: Kind, sha256: str) -> dict[str, Tensor]:
    """Read the weights.

    Args:
        get: reads the files.
        where: their place, for messages.
        kind: the model that is expected.
        sha256: the hash that meta.json names.

    Returns:
        The tensors by name, on the CPU.

    Raises:
        CheckpointError: they cannot be read, or are not those that meta.json was written for.
    """
    path = f"{where}/{WEIGHTS}"
    try:
        data = get(WEIGHTS)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read.", received=error.strerror, expected="the model's weights", hint=kind.hint
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointError(
            f"{path} is not the file that {META} was written for.",
            received=f"SHA-256 {hashlib.sha256(data).hexdigest()}",
            expected=sha256,
            hint="It is damaged, or its run was stopped while it was written; run the same training again.",
        )
    try:
        return load(data)
    except safetensors.SafetensorError as error:
        raise not_its_own(where, error) from error


def not_its_own(where: object, error: Exception) -> CheckpointError:
    """The error for weights that do not belong to the model that meta.json describes."""
    return CheckpointError(
        f"The weights in {where} are not those of its own {META}.",
        received=str(error).splitlines()[-1].strip()[:200],
        hint="It was changed by hand; restore it, or train anew.",
    )


__all__ = ["META", "WEIGHTS", "Meta", "Source", "read_checkpoint", "write_checkpoint"]

TFAM = Kind("vimoclip-tfam", 1, "TFAM", "train-fusion")


@dataclass(frozen=True)
class Meta:
    """Everything about a fusion model except its weights.

    Attributes:
        config: the settings of its run.
        classes: the behaviours, in the order of its outputs.
        counts: for each class, how many videos of the train split show it; with `window_s`, how many training clips.
        features: the feature that each role was read from.
        store: where it was trained.
        versions: the version of each of the store's tables then.
        metrics: of its last epoch.
        calibrated_on: which videos its calibration was fitted on, in words.
        taught: the content hash of each video that it was trained on, in order; None where an earlier version trained
            it and did not note them.
        split: how its videos were drawn at random, as `vimoclip.training.splits.TrainingSplit.rule`; None where an
            earlier version trained it.
    """

    config: FusionConfig
    classes: list[str]
    counts: list[int]
    features: dict[Modality, Source]
    store: str
    versions: dict[str, int]
    metrics: dict[str, Any] = field(default_factory=dict)
    calibrated_on: str = "the training videos"
    taught: list[str] | None = None
    split: dict[str, Any] | None = None

    def model(self) -> FusionHead:
        """The model, with random weights."""
        return build_head(self.config, {role: source.dim for role, source in self.features.items()}, len(self.classes))

    def check(self, features: Mapping[str, Feature]) -> None:
        """Refuse a store whose features are not those that the model was trained on.

        Args:
            features: the store's, by name.

        Raises:
            CheckpointError: it names the feature that differs.
        """
        for role, source in self.features.items():
            found = features.get(source.name)
            if found is None or found.fingerprint != source.fingerprint:
                raise CheckpointError(
                    f"The model was trained on other {role} vectors than the store has.",
                    received=f"{source.name} of {found.model}, {found.fingerprint}" if found else f"no {source.name}",
                    expected=f"{source.name} of {source.model}, {source.fingerprint}",
                    hint="Use a store that was made with the same settings, or train the model anew on this one.",
                )


def write_checkpoint(folder: Path, model: FusionHead, meta: Meta) -> None:
    """Write a fusion model's two files, and replace older ones. The folder is created if need be.

    Raises:
        RunError: they cannot be written.
    """
    write_files(folder, TFAM, model.state_dict(), {**asdict(meta), "config": meta.config.to_dict()})


def read_checkpoint(where: Path | Get, name: object = None) -> tuple[FusionHead, Meta]:
    """Read a fusion model.

    Args:
        where: a run's folder, or a reader of the two files.
        name: their place, for messages; by default `where`.

    Returns:
        The model, on the CPU and in evaluation mode, and everything else about it.

    Raises:
        CheckpointError: there is not a checkpoint, or it is damaged, of another format, or of another version.
    """
    get = in_folder(where) if isinstance(where, Path) else where
    name = where if name is None else name
    meta, sha256 = _meta(get, name)
    state = read_weights(get, name, TFAM, sha256)
    model = meta.model()
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise not_its_own(name, error) from error
    return model.eval(), meta


def _meta(get: Get, where: object) -> tuple[Meta, str]:
    body = read_body(get, where, TFAM)
    try:
        sha256 = body["weights_sha256"]
        known = {name: body[name] for name in ("classes", "counts", "store", "versions", "metrics")}
        known |= {name: body[name] for name in ("calibrated_on", "taught", "split") if name in body}
        config = FusionConfig.from_dict(body["config"])
        features = {role: Source(**body["features"][role]) for role in HEADS[config.head_name].roles}
        meta = Meta(config=config, features=features, **known)
        with torch.device("meta"):
            meta.model()
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise damaged(where, TFAM, error) from error
    return meta, str(sha256)
