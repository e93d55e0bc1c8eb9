"""What a store holds, in a form that can be held against another's."""

from pathlib import Path

from vimoclip.store.feature_store import FeatureStore


def contents(path: str | Path) -> dict[str, str]:
    """All that a store holds, but for takes, times of ingest and numbers of attempts; floats to the last bit."""
    store = FeatureStore.open(path)
    features = {name: feature.fingerprint for name, feature in store.features.items()}
    held = {"features": repr(features), "settings": repr(store.config)}
    rows = [repr(label) for label in store.label_rows()]
    held["labels"] = "\n".join(sorted(rows))
    for row in store.rows():
        kept = {name: value for name, value in vars(row).items() if name not in ("take", "ingested_at", "attempts")}
        held[f"videos {row.video_id}"] = repr(sorted(kept.items()))
        if row.status == "ok":
            for name, table in (("frames", store.sequence(row.video_id)), ("flow", store.flow(row.video_id))):
                columns = [column for column in table.column_names if column != "take"]
                held |= {f"{name} {row.video_id} {column}": repr(table[column].to_pylist()) for column in columns}
    return held


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What two stores hold differently."""
    return [
        f"{what}: {found.get(what, 'nothing')[:300]} instead of {expected.get(what, 'nothing')[:300]}"
        for what in sorted(expected.keys() | found.keys())
        if expected.get(what) != found.get(what)
    ]
