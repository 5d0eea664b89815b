"""What services refuse, in one line that names the remedy."""

from __future__ import annotations


class RoundError(Exception):
    """A round cannot take this step; the message names the reason and the remedy."""
