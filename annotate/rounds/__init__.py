"""Rounds, their pairs and funnels."""
