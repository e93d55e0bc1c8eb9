"""A trained model as two files: model.safetensors, its weights, and meta.json, all that is needed to build it again.

meta.json is written last and names the SHA-256 of the weights, so that a folder in which an older run's files are half
replaced is refused rather than read. What is in it beside that is said where each kind of model is.
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
"""The bytes of a file by its name. Raises OSError."""


@dataclass(frozen=True)
class Kind:
    """What a checkpoint is of. format, version: of its meta.json. what: for people. command: that makes one."""

    format: str
    version: int
    what: str
    command: str

    @property
    def hint(self) -> str:
        """What to do where there is none."""
        return f"Name the folder of a finished run of `vimoclip {self.command}`."


@dataclass(frozen=True)
class Source:
    """What vectors were of. name: of the feature. fingerprint: of what made it. model: for people."""

    name: str
    fingerprint: str
    dim: int
    model: str

    @classmethod
    def of(cls, feature: Feature) -> "Source":
        return cls(feature.name, feature.fingerprint, feature.dim, feature.model)


def write_files(folder: Path, kind: Kind, state: Mapping[str, Tensor], body: Mapping[str, Any]) -> None:
    """Write both files, the folder too; one that is there already is replaced.

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
    """The files of a folder."""
    return lambda name: (folder / name).read_bytes()


def read_body(get: Get, where: object, kind: Kind) -> dict[str, Any]:
    """What meta.json says. where: for people.

    Raises:
        CheckpointError: it cannot be read, or is of another format or version.
    """
    path = f"{where}/{META}"
    try:
        body = json.loads(get(META).decode("utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read.", received=error.strerror, hint=kind.hint) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON.", received=error, hint=kind.hint) from error
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
    """The error that says what of meta.json cannot be."""
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
    """The tensors by name.

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
    """The error that says that weights are not of the model that meta.json describes."""
    return CheckpointError(
        f"The weights in {where} are not those of its own {META}.",
        received=str(error).splitlines()[-1].strip()[:200],
        hint="It was changed by hand; restore it, or train anew.",
    )


# A trained fusion head as a folder of two files, and what is known of it.
#
# The format is called by TFAM, the first head. Which head it is, the config says: `head`, and without it `tfam.fusion`.
# meta.json also says what the vectors were made with, by the fingerprints of their features: a model is never fed with
# vectors of another kind.


__all__ = ["META", "WEIGHTS", "Meta", "Source", "read_checkpoint", "write_checkpoint"]

TFAM = Kind("vimoclip-tfam", 1, "TFAM", "train-fusion")


@dataclass(frozen=True)
class Meta:
    """All about a model but its weights.

    classes: in the order of its outputs. counts: how many videos of the train split show each, or, with `window_s`, how
    many stretches of them. features: of each role that it reads. store, versions: where it was trained, and on which
    snapshot. metrics: of its last epoch.
    """

    config: FusionConfig
    classes: list[str]
    counts: list[int]
    features: dict[Modality, Source]
    store: str
    versions: dict[str, int]
    metrics: dict[str, Any] = field(default_factory=dict)

    def model(self) -> FusionHead:
        """The model with weights that are yet to come."""
        return build_head(self.config, {role: source.dim for role, source in self.features.items()}, len(self.classes))

    def check(self, features: Mapping[str, Feature]) -> None:
        """Refuse the features of a store that are not those the model was trained on.

        Raises:
            CheckpointError: naming them.
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
    """Write both files, the folder too; one that is there already is replaced.

    Raises:
        RunError: they cannot be written.
    """
    write_files(folder, TFAM, model.state_dict(), {**asdict(meta), "config": meta.config.to_dict()})


def read_checkpoint(where: Path | Get, name: object = None) -> tuple[FusionHead, Meta]:
    """The model, on the CPU and in eval mode, and all about it: of a run's folder, or of the files that are to be had
    from elsewhere; name: of that, for people.

    Raises:
        CheckpointError: no checkpoint, one of another format or a newer version, or a damaged one.
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
        config = FusionConfig.from_dict(body["config"])
        features = {role: Source(**body["features"][role]) for role in HEADS[config.head_name].roles}
        meta = Meta(config=config, features=features, **known)
        with torch.device("meta"):
            meta.model()
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise damaged(where, TFAM, error) from error
    return meta, str(sha256)
