"""A trained TFAM as a folder of two files (checkpoint_files.py), and what is known of it.

meta.json also says what the vectors were made with, by the fingerprints of their features: a model is never fed with
vectors of another kind.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from schemas.features import Feature
from schemas.models import META, WEIGHTS
from vimoclip.config.fusion import ROLES, FusionConfig, Role
from vimoclip.errors import CheckpointError, ConfigError
from vimoclip.models.checkpoint import (
    Get,
    Kind,
    Source,
    damaged,
    in_folder,
    not_its_own,
    read_body,
    read_weights,
    write_files,
)
from vimoclip.models.tfam import Tfam

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
    write_files(folder, TFAM, model.state_dict(), {**asdict(meta), "config": meta.config.to_dict()})


def read_checkpoint(where: Path | Get, name: object = None) -> tuple[Tfam, Meta]:
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
        features = {role: Source(**body["features"][role]) for role in ROLES[config.tfam.fusion]}
        meta = Meta(config=config, features=features, **known)
        with torch.device("meta"):
            meta.model()
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise damaged(where, TFAM, error) from error
    return meta, str(sha256)
