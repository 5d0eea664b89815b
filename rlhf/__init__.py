"""Learns from videos and people's preferences; knows nothing of the web."""
