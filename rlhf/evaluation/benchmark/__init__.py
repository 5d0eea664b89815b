"""Benchmark sets: `python -m rlhf.evaluation.benchmark`."""
