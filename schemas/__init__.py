"""What a store holds on disk. It needs pyarrow and no other part of ViMoCLIP.

A store is a directory of Lance tables, `<store>/<table>.lance`. Each module holds the Arrow schema of one table and the
small frozen record that becomes its rows. Anyone can read a store with them.

    videos      one row per video: the record of what is committed
    frames      one row per stored frame, with the vectors of every feature
    features    what each vector column of `frames` is, and what made it
    flow        the optical flow of each stored frame
    labels      what a video shows, and when
    segments    windows over the frames, which search looks through
    models      not a table: the files of the trained models that a store keeps

Key columns are non-null and carry `lance-schema:unenforced-primary-key` metadata. With it, Lance refuses one of two
concurrent upserts of the same new key instead of keeping both rows.
"""

import pyarrow as pa

FORMAT_VERSION = 2
"""Version of everything in this package. It is kept in the `videos` table's schema metadata, and a store that names a
newer one is refused rather than guessed at. A store of an older one can be read; `vimoclip upgrade` makes it writable.

    2   `labels` has `subject` and `clock`, and `source` and `subject` are part of its key; `videos` has
        `repaired_times`, `repaired_at`, `container_start_s`, `first_frame_s` and `levels`. All were null before.
"""

SINCE_FORMAT: dict[str, dict[str, int]] = {
    "labels": {"subject": 2, "clock": 2},
    "videos": {"repaired_times": 2, "repaired_at": 2, "container_start_s": 2, "first_frame_s": 2, "levels": 2},
}
"""The format with which a column came, by table; a column that is not here was there from the first. All of them may be
null, and a table that lacks one is read as if it were null."""

FORMAT_KEY = b"vimoclip:format"
SETTINGS_KEY = b"vimoclip:settings"
"""Schema metadata of the `videos` table: the format version, and the store's one set of settings as JSON."""


def key(name: str, kind: pa.DataType, position: int) -> pa.Field:
    """A non-null key column.

    Args:
        name: the column.
        kind: its Arrow type.
        position: its place in the table's key, counted from 1.
    """
    return pa.field(
        name,
        kind,
        nullable=False,
        metadata={
            "lance-schema:unenforced-primary-key": "true",
            "lance-schema:unenforced-primary-key:position": str(position),
        },
    )
