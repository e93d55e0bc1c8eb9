"""What the segments of a store were made from: its features, and the settings that the table `segments` keeps.

vimoclip/search/segments.py makes them.
"""

import pyarrow as pa

from schemas.features import Kind
from schemas.segments import INDEX_KEY, MadeFrom, SegmentSettings, Space, segments_schema
from vimoclip.errors import FeatureError, StoreDamagedError
from vimoclip.store.feature_store import FeatureStore
from vimoclip.store.table import Table

WINDOW_S, STRIDE_S = 2.0, 1.0


DEFAULT_FEATURES: dict[Space, tuple[str, Kind]] = {"appearance": ("clip", "image"), "motion": ("moclip", "motion")}
"""For each space that is a mean of vectors: the feature it is made from by default, and the kind it must have."""


def made_from(store: FeatureStore, asked: dict[Space, str]) -> dict[str, MadeFrom]:
    """Choose the features of each space that the store can have.

    Args:
        store: the snapshot.
        asked: features by space; the other spaces take their default, where the store has it.

    Raises:
        FeatureError: the store has no such feature, or it is of another kind.
    """
    found = {}
    for space, (own, kind) in DEFAULT_FEATURES.items():
        name = asked.get(space, own)
        feature = store.features.get(name)
        if feature is not None and feature.kind == kind:
            found[str(space)] = MadeFrom(name, feature.fingerprint)
        elif space in asked:
            fitting = [other.name for other in store.features.values() if other.kind == kind]
            raise FeatureError(
                f"Segments cannot have their {space} from this feature.",
                received=name if feature is None else f"{name}, a feature of kind {feature.kind}",
                expected=" or ".join(fitting) or f"a feature of kind {kind}, of which the store has none",
                hint="`vimoclip features` lists them.",
            )
    return found


def read_segment_settings(store: FeatureStore) -> SegmentSettings | None:
    """Read what the store's segments were made from; None where it has none.

    Raises:
        StoreDamagedError: the table does not say.
    """
    table = store.tables.get("segments")
    return None if table is None else parse_segment_settings(table)


def parse_segment_settings(table: Table) -> SegmentSettings:
    """Read what a version of the table `segments` was made from.

    Raises:
        StoreDamagedError: the table does not say.
    """
    try:
        return SegmentSettings.from_json((table.schema.metadata or {})[INDEX_KEY])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StoreDamagedError(
            f"The table segments of {table.place} does not say what it was made from.",
            hint="Remove segments.lance from it; `vimoclip index` makes it anew.",
        ) from error


def changed_spaces(store: FeatureStore, settings: SegmentSettings) -> list[Space]:
    """List the spaces whose feature has changed since the segments were made, or is gone."""
    reads = {space: [settings.spaces[space]] for space in settings.names if space in settings.spaces}
    if settings.behaviour is not None:
        reads["behaviour"] = list(settings.behaviour.reads.values())
    return [space for space, made in reads.items() if any(_now(store, each) != each.fingerprint for each in made)]


def _now(store: FeatureStore, made: MadeFrom) -> str | None:
    feature = store.features.get(made.feature)
    return None if feature is None else feature.fingerprint


def segments_schema_of(store: FeatureStore, settings: SegmentSettings) -> pa.Schema:
    """Return the schema of the store's segments with these settings."""
    dims = {space: store.features[made.feature].dim for space, made in settings.spaces.items()}
    if settings.behaviour is not None:
        dims["behaviour"] = settings.behaviour.dim
    return segments_schema(dims, settings)
