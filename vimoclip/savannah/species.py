"""All species by name."""

from functools import cache

from vimoclip.savannah.birds import eagle, ostrich, stork
from vimoclip.savannah.mammals import elephant, giraffe, hare, lion, wildebeest, zebra
from vimoclip.savannah.skeleton import Species

_MAKERS = {make.__name__: make for make in (elephant, giraffe, zebra, lion, wildebeest, ostrich, eagle, stork, hare)}

SPECIES = tuple(_MAKERS)


@cache
def species(name: str) -> Species:
    """The species of this name, one of SPECIES."""
    return _MAKERS[name]()
