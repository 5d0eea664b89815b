"""Synthetic portraits: a small drawn world in which identity and elements are known exactly."""
