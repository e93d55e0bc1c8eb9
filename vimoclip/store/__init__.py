"""The store on disk: Lance tables, the snapshot that readers see, the one writer and its lock, and `verify`.

- location.py: where a store lies, a folder or a prefix of an object store.
- table.py: one version of one Lance table; the only importer of lance.
- vector_index.py: the approximate nearest-neighbour index of a large table.
- feature_store.py: `FeatureStore`, a consistent snapshot to read from; how a store is made and opened.
- frame_reader.py: `FrameReader`, the frames of many videos, in order and in bounded memory.
- labels.py: which labels a part of a video has.
- segments.py: what the table `segments` was made from.
- lock.py: the write lock: a file lock on a disk, a lease in an object store.
- writer.py: `StoreWriter`, which commits videos, frames, flow and labels, and optimizes the store.
- rows.py: embedded frames as checked Arrow rows, and the buffer in which they wait for a commit.
- features.py: `FeatureWriter`, which adds a feature to stored videos, and `promote_feature`.
- models.py: the trained models that a store keeps.
- verify.py, verify_checks.py, verify_faults.py: whether a store is whole; the single checks; the faults and remedies.
"""
