"""Slots, judgments, tracks, evidence, and what votes settle."""
