"""Pairs that votes did not settle, decided by leads."""
