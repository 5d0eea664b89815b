"""Display copies of videos that came without one: sampled by an earlier version, or by another program."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings

from annotate.models import Round, VideoSample
from annotate.rounds.rounds import open_ready_pairs
from generator.media.display_copies import write_display_copy
from generator.media.formats import MediaError


def write_missing_copies(*, at_most: int) -> int:
    """Write display copies that are missing, and open the pairs that waited for them.

    Safe to repeat, and at the same time: a copy has the same bytes whoever writes it. Returns how many videos
    were seen to.
    """
    missing = VideoSample.objects.filter(shown_path="", error="").exclude(path="").order_by("id")
    written = list(_write(missing[:at_most].iterator()))
    rounds = Round.objects.filter(is_open=True, pairs__slots=None, pairs__gold=None).distinct()
    for round in rounds if written else ():
        open_ready_pairs(round)
    return len(written)


def _write(samples: Iterator[VideoSample]) -> Iterator[int]:
    for sample in samples:
        place = f"shown/{sample.pk}.mp4"
        changes = {"shown_path": place}
        try:
            write_display_copy(
                settings.STORAGE_ROOT / sample.path, settings.STORAGE_ROOT / place, name=sample.sha256
            )
        except (MediaError, OSError) as problem:
            changes = {"error": f"its display copy cannot be written: {problem}"}
        VideoSample.objects.filter(pk=sample.pk, shown_path="").update(**changes)
        yield sample.pk
