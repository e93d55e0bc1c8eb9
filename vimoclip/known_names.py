"""Names that a user gives of what a store has: one that it lacks is refused, with the nearest of those there are."""

import difflib
from collections.abc import Iterable, Sequence

from vimoclip.errors import VimoclipError


def check_known(
    kind: str, asked: Iterable[str], known: Sequence[str], error: type[VimoclipError], besides: str = ""
) -> None:
    """Refuse the first name asked for that is not known. kind: of thing. besides: what else the message says.

    Raises:
        VimoclipError: of the type `error`.
    """
    for name in asked:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
            raise error(
                f"The store has no such {kind}{besides}.",
                received=name,
                expected=" or ".join(near) if near else f"a {kind}, of which the store has none",
                hint="`vimoclip status` lists what there is.",
            )
