"""Runs: queued, claimed by one worker, followed, ended once."""
