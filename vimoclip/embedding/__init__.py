"""From decoded frames, or from stored flow, to vectors.

- `worker`: `EmbedWorker`, videos in, embedded frames out; and the worker that makes given features of a store again.
- `embedder`: how the frames of one video become batches of vectors; vectors from the flow that a store keeps.
- `feature_models`: which models a worker needs for the features that were added to a store.
"""
