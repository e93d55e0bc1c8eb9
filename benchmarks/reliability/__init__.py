"""What a store holds after something went wrong: kill -9, Ctrl-C, a full disk, out of memory, damaged video files.

    python -m benchmarks.reliability.run --kills 100 --clips FOLDER
    python -m benchmarks.reliability.kills --kills 30
    python -m benchmarks.reliability.files ingest FOLDER
    python -m benchmarks.reliability.camera_traps CAMERA_TRAPS
    python -m benchmarks.reliability.frame_times FOLDER

The scripts run the real command, harm it or its files, and compare the store with one that nothing harmed. They exit 1
unless every outcome was as it should be. inject.py has the faults, compare.py says what two stores hold differently,
and memory_limit/ is put on a command's PYTHONPATH to let it run out of memory.
"""
