"""A trained TFAM as a folder: model.safetensors, its weights, and meta.json, all that is needed to build it again.

meta.json also says what the vectors were made with, by the fingerprints of their features: a model is never fed with
vectors of another kind. It is written last and names the SHA-256 of the weights, so that a folder in which an older
run's files are half replaced is refused rather than read.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load, save

from schemas.features import Feature
from vimoclip.atomic import replacing
from vimoclip.errors import CheckpointError, ConfigError
from vimoclip.fusion_config import ROLES, FusionConfig, Role
from vimoclip.tfam import Tfam

FORMAT = "vimoclip-tfam"
VERSION = 1
WEIGHTS, META = "model.safetensors", "meta.json"

_HINT = "Name the folder of a finished run of `vimoclip train-fusion`."


@dataclass(frozen=True)
class Source:
    """What a sequence was of. name: of the feature. fingerprint: of what made it. model: for people."""

    name: str
    fingerprint: str
    dim: int
    model: str

    @classmethod
    def of(cls, feature: Feature) -> "Source":
        return cls(feature.name, feature.fingerprint, feature.dim, feature.model)


@dataclass(frozen=True)
class Meta:
    """All about a model but its weights.

    classes: in the order of its outputs. counts: how many videos of the train split show each. features: of each role
    that it reads. store, versions: where it was trained, and on which snapshot. metrics: of its last epoch.
    """

    config: FusionConfig
    classes: list[str]
    counts: list[int]
    features: dict[Role, Source]
    store: str
    versions: dict[str, int]
    metrics: dict[str, Any] = field(default_factory=dict)

    def model(self) -> Tfam:
        """The model with weights that are yet to come."""
        return Tfam(self.config.tfam, {role: source.dim for role, source in self.features.items()}, len(self.classes))

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


def write_checkpoint(folder: Path, model: Tfam, meta: Meta) -> None:
    """Write both files, the folder too; one that is there already is replaced.

    Raises:
        RunError: they cannot be written.
    """
    data = save({name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()})
    with replacing(folder / WEIGHTS) as path:
        path.write_bytes(data)
    head = {"format": FORMAT, "version": VERSION, "weights_sha256": hashlib.sha256(data).hexdigest()}
    body = {**head, **asdict(meta), "config": meta.config.to_dict()}
    with replacing(folder / META) as path:
        path.write_text(json.dumps(body, ensure_ascii=False, indent=2, allow_nan=False), encoding="utf-8")


def read_checkpoint(folder: Path) -> tuple[Tfam, Meta]:
    """The model, on the CPU and in eval mode, and all about it.

    Raises:
        CheckpointError: no checkpoint, one of another format or a newer version, or a damaged one.
    """
    meta, sha256 = _meta(folder)
    try:
        data = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"{folder / WEIGHTS} cannot be read.", received=error.strerror, expected="the model's weights", hint=_HINT
        ) from error
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS} is not the file that {META} was written for.",
            received=f"SHA-256 {hashlib.sha256(data).hexdigest()}",
            expected=sha256,
            hint="It is damaged, or its run was stopped while it was written; run the same training again.",
        )
    model = meta.model()
    try:
        model.load_state_dict(load(data))
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise CheckpointError(
            f"The weights in {folder} are not those of its own {META}.",
            received=str(error).splitlines()[-1].strip()[:200],
            hint="It was changed by hand; restore it, or train anew.",
        ) from error
    return model.eval(), meta


def _meta(folder: Path) -> tuple[Meta, str]:
    path = folder / META
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read.", received=error.strerror, hint=_HINT) from error
    except ValueError as error:
        raise CheckpointError(f"{path} is no JSON.", received=error, hint=_HINT) from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        found = body.get("format", "none") if isinstance(body, dict) else type(body).__name__
        raise CheckpointError(f"{folder} holds no TFAM.", received=f"format {found}", expected=FORMAT, hint=_HINT)
    if body.get("version") != VERSION:
        raise CheckpointError(
            f"{folder} was written by another version of ViMoCLIP.",
            received=f"version {body.get('version')}",
            expected=VERSION,
            hint="Install the newest version.",
        )
    try:
        sha256 = body["weights_sha256"]
        known = {name: body[name] for name in ("classes", "counts", "store", "versions", "metrics")}
        config = FusionConfig.from_dict(body["config"])
        features = {role: Source(**body["features"][role]) for role in ROLES[config.tfam.fusion]}
        meta = Meta(config=config, features=features, **known)
        with torch.device("meta"):
            meta.model()
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else error
        raise CheckpointError(f"{path} is damaged.", received=said, hint=_HINT) from error
    return meta, str(sha256)
