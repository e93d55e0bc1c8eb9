"""Stored vectors as sequences for training and prediction.

- sequences.py: `Sequences` and its batches, how frames are sampled, and windows as sequences.
- reader.py: `read_sequences`, from a snapshot of a store; training clips with the labels of their spans.
- cache.py: vectors that do not fit into memory, mapped from files.
"""
