"""Stored vectors as sequences for training: sampling, batches, memory-mapped caches."""
