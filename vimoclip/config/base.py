"""What all settings share: round trips through plain dicts, type checks, and checks that several of them need."""

import dataclasses
import math
import types
import typing
from typing import Any, Literal, Self

from vimoclip.errors import ConfigError, RemovedSettingError

BEFORE = "before"
"""Key of a field's metadata: what a setting was before it was one, in stores that do not name it."""


class Config:
    """Base of every settings dataclass: it checks types, and an unknown key is an error."""

    def to_dict(self) -> dict[str, Any]:
        """The settings as dicts, strings, numbers, booleans and None; nested settings become nested dicts."""
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`; missing keys take their defaults.

        Args:
            values: the settings by name; nested settings as dicts.

        Raises:
            ConfigError: an unknown key, or a value that the field cannot have.
        """
        fields = {f.name: f.type for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise ConfigError(
                f"Unknown setting in {cls.__name__}.", received=", ".join(unknown), expected=", ".join(sorted(fields))
            )
        made: dict[str, Any] = {}
        for name, value in values.items():
            kind = fields[name]
            if isinstance(kind, type) and issubclass(kind, Config):
                if not isinstance(value, dict):
                    raise ConfigError(f"{name} is a table of settings.", received=repr(value), expected=f"[{name}]")
                value = kind.from_dict(value)
            made[name] = value
        return cls(**made)

    @classmethod
    def from_stored(cls, values: dict[str, Any]) -> Self:
        """Settings that a store keeps: as `from_dict`, but what an older version did not write is what it did.

        A setting that came later, and whose default would give old stores other vectors, says so in its field:
        `field(default="auto", metadata={BEFORE: "contiguous"})`.

        Args:
            values: the settings by name, of this version or an older one.

        Raises:
            ConfigError: see `from_dict`; or they are not a table.
        """
        if not isinstance(values, dict):
            raise ConfigError("Stored settings are a table.", received=repr(values), expected="names and values")
        return cls.from_dict(cls._completed(values))

    @classmethod
    def _completed(cls, values: dict[str, Any]) -> dict[str, Any]:
        found = dict(values)
        for f in dataclasses.fields(cls):  # type: ignore[arg-type]
            if f.name not in found and BEFORE in f.metadata:
                found[f.name] = f.metadata[BEFORE]
            if isinstance(f.type, type) and issubclass(f.type, Config) and isinstance(found.get(f.name, {}), dict):
                found[f.name] = f.type._completed(found.get(f.name, {}))
        return found

    def changed(self, *changes: dict[str, Any]) -> Self:
        """The same settings with changes.

        Args:
            changes: dicts such as `{"training": {"lr": 3e-4}, "mixup": "none"}`; later ones win. "none" means None, for
                which TOML does not have a word.

        Raises:
            ConfigError: an unknown setting, or a value that it cannot have.
        """
        values = self.to_dict()
        for change in changes:
            for name, value in change.items():
                own = values.get(name)
                values[name] = own | _with_none(value) if isinstance(own, dict) and isinstance(value, dict) else value
        return self.from_dict(_with_none(values))

    def __post_init__(self) -> None:
        """Check every field against its annotation. Subclasses call this and then check their own bounds.

        Raises:
            ConfigError: a value of another type, or one that is not a choice of its Literal.
        """
        for f in dataclasses.fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if not _fits(value, f.type):
                raise ConfigError(f"{f.name} has a value it cannot have.", received=repr(value), expected=_say(f.type))


def _with_none(values: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value == "none" else value for name, value in values.items()}


_UNIONS = (types.UnionType, typing.Union)  # `|` of a Literal and None makes a typing.Union


def _fits(value: object, kind: Any) -> bool:
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if typing.get_origin(kind) in _UNIONS:
        return any(_fits(value, part) for part in typing.get_args(kind))
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _say(kind: Any) -> str:
    if typing.get_origin(kind) is Literal:
        return " or ".join(str(choice) for choice in typing.get_args(kind))
    if typing.get_origin(kind) in _UNIONS:
        return " or ".join(_say(part) for part in typing.get_args(kind))
    return "nothing" if kind is type(None) else str(getattr(kind, "__name__", kind))


def at_least_one(name: str, value: int) -> None:
    """Check that a setting is 1 or more; raises ConfigError."""
    if value < 1:
        raise ConfigError(f"{name} must be positive.", received=value, expected="1 or more")


def fraction(name: str, value: float) -> None:
    """Check that a setting is in [0, 1); raises ConfigError."""
    if not 0 <= value < 1:
        raise ConfigError(f"{name} is a fraction.", received=value, expected="0 or more, and less than 1")


def not_negative(name: str, value: float) -> None:
    """Check that a setting is finite and 0 or more; raises ConfigError."""
    if not (math.isfinite(value) and value >= 0):
        raise ConfigError(f"{name} cannot be negative.", received=value, expected="a finite number, 0 or more")


def positive(name: str, value: float | None) -> None:
    """Check that a setting is finite and above 0, or None; raises ConfigError."""
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ConfigError(f"{name} must be positive.", received=value, expected="a finite number above 0")


def only_choice(name: str, value: str, choice: str, removed: str) -> None:
    """Check a setting that has one choice left. It stays a setting because runs and checkpoints name it.

    Args:
        name: the setting.
        value: its value.
        choice: the choice that is left.
        removed: the choice that an earlier version had.

    Raises:
        RemovedSettingError: the value is the choice that was removed.
        ConfigError: the value is any other.
    """
    if value == removed:
        raise RemovedSettingError(
            f"{name} {removed} was removed.", received=removed, expected=choice, hint=f"Leave it out; it is {choice}."
        )
    if value != choice:
        raise ConfigError(f"{name} has a value it cannot have.", received=repr(value), expected=choice)


def check_window(window_s: float, stride_s: float) -> None:
    """Check the length and the stride of windows, in seconds.

    Raises:
        ConfigError: one of them is not a finite time of at least 1 ms.
    """
    for name, value in (("window", window_s), ("stride", stride_s)):
        if not (math.isfinite(value) and value >= 0.001):
            raise ConfigError(
                f"The {name} is a time.", received=f"{value:g} s", expected="a finite one of at least 1 ms"
            )
