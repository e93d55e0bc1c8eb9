"""Names of splits as Hugging Face's `datasets` takes them."""

import re
from collections.abc import Iterable

UNSPLIT = "unsplit"
"""The split of the videos that have none: they may not be taken for training data."""

_LONGEST = 60  # characters, in a file's name


def split_names(splits: Iterable[str | None]) -> dict[str | None, str]:
    """A name for each of the splits: letters, digits and _, but not `all`; no two alike, whatever their case.

    What has such a name keeps it; of several that differ in case alone, one does.
    """
    names: dict[str | None, str] = {}
    each = set(splits)
    kept = {split for split in each if split is not None and _fits(split)}
    for split in sorted(each, key=lambda split: (split not in kept, split is not None, split or "")):
        name = base = _mended(split)
        number = 2
        while name.casefold() in (other.casefold() for other in names.values()):
            name, number = f"{base}_{number}", number + 1
        names[split] = name
    return names


def _fits(split: str) -> bool:
    return split != "all" and re.fullmatch(rf"\w{{1,{_LONGEST}}}", split) is not None


def _mended(split: str | None) -> str:
    if split is None:
        return UNSPLIT
    name = re.sub(r"\W", "_", split)[:_LONGEST]
    return f"{name}_" if name in ("", "all") else name
