"""What is wrong with the trained models that `features` and `segments` name (schemas/models.py)."""

import functools
import hashlib
import json
from collections.abc import Iterable

from schemas.features import Feature
from schemas.models import META, WEIGHTS, folder_of, student_id
from vimoclip.errors import StoreDamagedError
from vimoclip.search.segments import settings_in
from vimoclip.store.location import Place
from vimoclip.store.sound_tables import SoundTables


def check_models(sound: SoundTables, at: Place, features: Iterable[Feature]) -> None:
    """Note those that are not there, or not whole. In memory at one time: one model's files."""
    named = [("features", feature.name, id) for feature in features if (id := student_id(feature)) is not None]
    if (table := sound.opened.get("segments")) is not None:
        try:
            made = settings_in(table).behaviour
        except StoreDamagedError:  # a fault of its own
            made = None
        if made is not None:
            named.append(("segments", "behaviour", made.id))
    wrong = functools.cache(functools.partial(_wrong, at))
    for name, user, id in named:
        if why := wrong(id):
            sound.faults.add("missing-model", name, None, f"{user} was made with {folder_of(id)}, {why}")


def _wrong(at: Place, id: str) -> str | None:
    """What is wrong with a model's files, in words."""
    files = {name: at.read(f"{folder_of(id)}/{name}") for name in (WEIGHTS, META)}
    weights, meta = files[WEIGHTS], files[META]
    if weights is None or meta is None:
        return f"which has no {' and no '.join(name for name, data in files.items() if data is None)}"
    sha256 = hashlib.sha256(weights).hexdigest()
    if not sha256.startswith(id):
        return f"whose {WEIGHTS} is another, or damaged"
    try:
        whole = json.loads(meta)["weights_sha256"] == sha256
    except (ValueError, TypeError, KeyError):
        whole = False
    return None if whole else f"whose {META} is another, or damaged"
