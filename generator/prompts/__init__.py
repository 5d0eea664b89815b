"""Differential prompts: only what changes from the primary reference."""
