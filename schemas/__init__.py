"""What lies on disk, and nothing else: one module a table, stdlib and pyarrow only.

A store is a directory of Lance tables, `<store>/<table>.lance`. Each module here holds one table's Arrow schema and the
small frozen record that becomes its rows. Anyone can read a store with these schemas and no other part of ViMoCLIP.

Key columns are non-null and carry `lance-schema:unenforced-primary-key` metadata: it is what makes Lance refuse two
concurrent upserts of one new key instead of keeping both.
"""

import pyarrow as pa

FORMAT_VERSION = 1
"""Version of everything in this package. It is kept in the `videos` table's schema metadata, and a store that names a
newer one is refused rather than guessed at."""

FORMAT_KEY = b"vimoclip:format"
SETTINGS_KEY = b"vimoclip:settings"
"""Schema metadata of the `videos` table: the format version, and the store's one set of settings as JSON."""


def key(name: str, kind: pa.DataType, position: int) -> pa.Field:
    """A non-null key column, `position` counting from 1 within its table's key."""
    return pa.field(
        name,
        kind,
        nullable=False,
        metadata={
            "lance-schema:unenforced-primary-key": "true",
            "lance-schema:unenforced-primary-key:position": str(position),
        },
    )
