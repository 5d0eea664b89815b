"""Pairs whose answer is known, and qualification on them."""
