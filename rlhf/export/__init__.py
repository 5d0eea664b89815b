"""Frozen, hashed sets of preference pairs."""
