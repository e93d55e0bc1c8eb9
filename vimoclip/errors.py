"""Every error ViMoCLIP raises on purpose, as one tree:

    VimoclipError
    ├── UsageError            the arguments contradict each other (exit 2)
    ├── ConfigError           a setting has a value it cannot have
    │   └── RemovedSettingError   a value that an earlier version had
    ├── SourceError           a folder or file to ingest is missing, empty, or collides with a known id
    ├── VideoError            one video cannot be ingested; `.kind` names how
    ├── ModelError            a model or its weights cannot be had
    ├── LabelError            a label file cannot be read
    ├── ExportError           an export names what is not there, or cannot be written
    ├── SearchError           a search asks for what is not there, or cannot be compared
    ├── ShadowedError         another package has the name of one of ours
    ├── RunError              a training run cannot be started, resumed or read
    │   ├── CheckpointError       a checkpoint cannot be read, or was made for other features
    │   └── DivergedError         a loss is not finite
    └── StoreError
        ├── StoreMissingError     no store there
        ├── StoreNewerError       written by a newer version of ViMoCLIP
        ├── SettingsError         made with other settings than were asked for
        ├── StoreLockedError      another writer holds it
        ├── StoreReadOnlyError    cannot be written to
        ├── StoreUnreachableError an object store does not answer, or refuses
        ├── NoSpaceError          the disk is full
        ├── StoreDamagedError     a table cannot be read
        ├── UnknownVideoError     no such video in the store
        ├── UnknownColumnError    no such column in its frames
        └── FeatureError          a feature cannot be added, renamed or dropped like that

Every message says what was wrong, what was received, what was expected, and what to do next.
"""

import copyreg
import difflib
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any


class VimoclipError(Exception):
    """Base of the tree.

    Args:
        what: what was wrong, as a sentence.
        received: what was found or given, if it helps.
        expected: what would have been right, if it helps.
        hint: what to do next, as a sentence.

    >>> str(VimoclipError("--fps must be positive.", received="-1", expected="a number above 0", hint="Leave it out."))
    '--fps must be positive. Received: -1. Expected: a number above 0. Leave it out.'
    """

    exit_code = 1

    def __init__(self, what: str, *, received: object = None, expected: object = None, hint: str = "") -> None:
        self.what, self.received, self.expected, self.hint = what, received, expected, hint
        parts = [what]
        if received is not None:
            parts.append(f"Received: {received}.")
        if expected is not None:
            parts.append(f"Expected: {expected}.")
        if hint:
            parts.append(hint)
        super().__init__(" ".join(parts))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the error with its attributes: exceptions are otherwise rebuilt from their message alone."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]


class UsageError(VimoclipError):
    """The arguments contradict each other."""

    exit_code = 2


class ConfigError(VimoclipError):
    """A setting has a value it cannot have."""


class RemovedSettingError(ConfigError):
    """A setting has a value that an earlier version had and this one has not."""


class SourceError(VimoclipError):
    """A folder or file to ingest is missing, empty, or collides with a known id."""


class VideoError(VimoclipError):
    """One video cannot be ingested.

    Attributes:
        kind: `no-video-stream`, `no-frames`, `corrupt-after-N-frames`, `encrypted`, `too-small`, `unreadable`,
            `decoder-crashed`, `timed-out`; `changed`, its content is not what was stored; or, where the video decodes,
            `embedding-failed`, `not-finite` or `no-flow`; `bad-vectors`, those that another tool made cannot be its.
    """

    def __init__(
        self, kind: str, what: str, *, received: object = None, expected: object = None, hint: str = ""
    ) -> None:
        super().__init__(what, received=received, expected=expected, hint=hint)
        self.kind = kind


class ModelError(VimoclipError):
    """A model or its weights cannot be had."""


class LabelError(VimoclipError):
    """A label file cannot be read."""


class ExportError(VimoclipError):
    """An export names what the store does not hold, or its folder cannot be written."""


class SearchError(VimoclipError):
    """A search asks for what the store does not hold, or for what cannot be compared."""


class ShadowedError(VimoclipError, ImportError):
    """Another package has the name of one of ours, and would be imported instead."""


class RunError(VimoclipError):
    """A training run cannot be started, resumed or read."""


class CheckpointError(RunError):
    """A checkpoint is missing, damaged, of another format, or was made for other features than the store has."""


class DivergedError(RunError):
    """A loss is not finite; the message names the videos of its batch."""


class StoreError(VimoclipError):
    """Something is wrong with the store itself."""


class StoreMissingError(StoreError):
    """There is no store at that place."""


class StoreNewerError(StoreError):
    """The store was written by a newer version of ViMoCLIP."""


class SettingsError(StoreError):
    """The store was made with other settings than were asked for."""


class StoreLockedError(StoreError):
    """Another process is writing to the store."""


class StoreReadOnlyError(StoreError):
    """The store cannot be written to."""


class StoreUnreachableError(StoreError):
    """The object store that holds the store does not answer, or refuses."""


class NoSpaceError(StoreError):
    """The disk that holds the store is full."""


class StoreDamagedError(StoreError):
    """A table of the store cannot be read."""


class UnknownVideoError(StoreError):
    """The store holds no such video."""


class UnknownColumnError(StoreError):
    """The frames of the store have no such column."""


class FeatureError(StoreError):
    """A feature cannot be added, renamed or dropped like that."""


def split_hint(text: str) -> tuple[str, str]:
    """Split the text of an error into what was wrong and what to do next: the opposite of `VimoclipError`.

    A received or expected text of several sentences counts as ended after its first, so a hint may begin with the rest
    of one. No sentence is lost.

    Args:
        text: of a VimoclipError, such as the `error` of a videos row.

    Returns:
        The text without the hint, and the hint, empty where there is none.

    >>> split_hint("It is encrypted. Received: x. Decrypt it first.")
    ('It is encrypted. Received: x.', 'Decrypt it first.')
    """
    begun = max(text.rfind(" Received: "), text.rfind(" Expected: "), 0)
    before, end, hint = text[begun:].partition(". ")
    return (text[:begun] + before + end.rstrip(), hint) if end else (text, "")


def spellings(name: str, known: Collection[str]) -> list[str]:
    """Find the known names that are a typed one, perhaps spelled in another way.

    Args:
        name: what a person typed.
        known: the names that exist, whose spelling counts.

    Returns:
        The name itself where it is known; else the names that differ from it in their Unicode form alone (NFC, NFD);
        else those that differ in case too. Several are ambiguous; where there is none, the name is unknown.
    """
    if name in known:
        return [name]
    for form in (_nfc, _folded):
        wanted = form(name)
        if same := [each for each in known if form(each) == wanted]:
            return same
    return []


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _folded(name: str) -> str:
    """The name as it is compared without case; folding case can undo NFC."""
    return _nfc(_nfc(name).casefold())


def nearest(name: str, known: Iterable[str], n: int = 3, cutoff: float = 0.4) -> str:
    """The known names that are most like an unknown one, as a hint.

    Names that it is but for a suffix or folders are the only ones, where there are any.

    Args:
        name: the name that a user gave.
        known: the names that exist.
        n: how many to name at most.
        cutoff: the least similarity, 0 to 1, as in `difflib.get_close_matches`.

    Returns:
        `a or b`; empty where no name is similar.
    """
    known = list(known)
    close = names_it(name, known) or difflib.get_close_matches(name, known, n=n, cutoff=cutoff)
    return " or ".join(close[:n])


def names_it(name: str, known: Iterable[str]) -> list[str]:
    """List the known names that a name is but for their suffix or folders, in any case: `a` of `site/A.MP4`."""
    wanted = _folded(name)
    return [each for each in known if wanted in _parts(_folded(each))]


def _parts(name: str) -> tuple[str, str, str]:
    """A file's name without its suffix, without its folders, and without both."""
    last = name.rpartition("/")[2]
    stem = last.rpartition(".")[0]
    return (name[: len(name) - len(last) + len(stem)] if stem else name, last, stem or last)


def require_known(
    kind: str,
    asked: Iterable[str],
    known: Collection[str],
    error: type[VimoclipError],
    besides: str = "",
    hint: str = "`vimoclip status` lists what there is.",
) -> tuple[str, ...]:
    """Look up names, and refuse the first that the store does not have.

    Args:
        kind: what the names are of, in words: `feature`, `label`.
        asked: the names that the user gave, in any spelling (see `spellings`).
        known: the names in the store.
        error: the type of the error to raise.
        besides: added to the message, after "The store has no such {kind}".
        hint: what to do next about a name that is unknown.

    Returns:
        The names as the store spells them.

    Raises:
        VimoclipError: of the type `error`; it names the known names that are most like the unknown one, or the several
            that an ambiguous one may be.
    """
    found = []
    for name in asked:
        match spellings(name, known):
            case [one]:
                found.append(one)
            case []:
                some = " or ".join([*known][:5]) or f"a {kind}, of which the store has none"
                expected = nearest(name, known) or some
                raise error(f"The store has no such {kind}{besides}.", received=name, expected=expected, hint=hint)
            case several:
                what = f"The store has several of this {kind} in other spellings{besides}."
                raise error(what, received=name, expected=" or ".join(several))
    return tuple(found)
