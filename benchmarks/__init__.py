"""What ViMoCLIP costs, how good its answers are, and what it survives: scripts that print a figure with its machine.

    python -m benchmarks.FOLDER.SCRIPT --help

`reliability` harms runs and compares what is left, `speed` measures time and memory, `quality` measures how often
answers are right, and `worlds` draws the rendered world and trains the model that comes with the package. RESULTS.md
records every figure with its date and command. The scripts run in a checkout, whose tests they share helpers with.
"""
