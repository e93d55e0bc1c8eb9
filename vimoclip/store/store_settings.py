"""What a user may ask of a store that has settings of its own: nothing else, but for where weights lie now."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from vimoclip.config.store import StoreConfig
from vimoclip.errors import SettingsError
from vimoclip.store.location import Place


def located(own: StoreConfig, asked: dict[str, dict[str, Any]]) -> StoreConfig:
    """A store's own settings, with weights looked for where the user says they lie."""
    clip, flow = (
        {name: value for name, value in asked.get(section, {}).items() if _is_place(name, value)}
        for section in ("clip", "flow")
    )
    return replace(own, clip=replace(own.clip, **clip), flow=replace(own.flow, **flow))


def check_settings(at: Place, config: StoreConfig, asked: dict[str, Any]) -> None:
    """As `FeatureStore.check_settings`, of the store at a place."""
    StoreConfig.from_dict(asked)
    own = config.to_dict()
    clashes = []
    for section, values in asked.items():
        if not isinstance(values, dict):
            values, stored, of = {section: values}, {section: own[section]}, ""
        else:
            stored, of = own[section], f"{section} "
        # They ask for nothing definite.
        open_ended = {"weights": "default", "precision": "auto", "batch_size": 0, "estimator": "auto"}
        clashes += [
            f"{of}{name} is {stored[name]!r} in the store and {value!r} was asked for"
            for name, value in values.items()
            if stored[name] != value
            and open_ended.get(name, ...) != value
            and not (_is_place(name, value) and stored[name] is not None)  # DIS has no weights to look for
        ]
    if clashes:
        raise SettingsError(
            f"The store {at} was made with other settings.",
            received="; ".join(clashes),
            expected="the store's own settings",
            hint="Leave those flags out, or make another store with --store.",
        )


def _is_place(name: str, value: object) -> bool:
    """Whether a setting says where weights lie rather than which they are; the SHA-256 of the features says that."""
    return isinstance(value, str) and (
        (name == "model" and value.startswith("local-dir:")) or (name == "weights" and Path(value).is_file())
    )
