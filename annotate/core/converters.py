"""Parts of addresses."""

from __future__ import annotations

from rlhf.records import Track


class TrackConverter:
    """A track by its name."""

    regex = "|".join(Track)

    def to_python(self, value: str) -> Track:
        return Track(value)

    def to_url(self, value: Track) -> str:
        return str(value)
