"""Settings: frozen dataclasses that are checked when they are made. They do no I/O.

- `base`: what all settings share: round trips through plain dicts, and common checks.
- `store`: of a store (`StoreConfig`) and of one run into it (`RunConfig`); the table of flow estimators.
- `fusion`: of a run that trains a fusion head; the table of heads, and the presets.
- `motion`: of a run that trains the motion student, and its presets.
"""
