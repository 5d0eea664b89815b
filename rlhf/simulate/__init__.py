"""Simulated annotators: `python -m rlhf.simulate`."""
