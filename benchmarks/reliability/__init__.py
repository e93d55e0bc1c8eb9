"""What a store holds after something went wrong: kill -9, Ctrl-C, a full disk, out of memory, damaged video files.

    python -m benchmarks.reliability.kills --kills 30
    python -m benchmarks.reliability.camera_traps CAMERA_TRAPS

Each script harms the real command, runs `verify`, runs the command again, and compares the store with one that nothing
harmed. It exits 1 unless every outcome was as it should be.
"""
