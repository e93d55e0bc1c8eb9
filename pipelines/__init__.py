"""Orchestration: each pipeline is `run(config, …) → report`. Only the demo prints; else the command line does."""
