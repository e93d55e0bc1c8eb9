"""Time and memory: frames, videos and queries a second, and peak memory, each beside a rival or a lower bound.

    python -m benchmarks.speed.ingest ratio FOLDER
    python -m benchmarks.speed.search vectors

Contenders take turns, so that a noisy machine slows all of them. Weights are seeded random ones, which cost the same.
"""
