"""Frozen sets of preference pairs, and files of judgments."""
