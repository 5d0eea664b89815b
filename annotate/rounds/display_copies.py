"""Display copies of videos that came without one: sampled by an earlier version, or by another program."""

from __future__ import annotations

from annotate.models import Round, VideoSample
from annotate.rounds.rounds import open_ready_pairs
from annotate.storage.opening import site_storage
from generator.media.display_copies import write_display_copy
from generator.media.formats import MediaError


def write_missing_copies(*, at_most: int) -> int:
    """Write display copies that are missing, and open the pairs that waited for them.

    Safe to repeat, and at the same time: a copy has the same bytes whoever writes it. Returns how many videos
    were seen to.
    """
    missing = VideoSample.objects.filter(shown_path="", error="").exclude(path="").order_by("id")
    samples = list(missing[:at_most])
    for sample in samples:
        _write_copy(sample)
    rounds = Round.objects.filter(is_open=True, pairs__slots=None, pairs__gold=None).distinct()
    for round in rounds if samples else ():
        open_ready_pairs(round)
    return len(samples)


def _write_copy(sample: VideoSample) -> None:
    storage, shown_path = site_storage(), f"shown/{sample.pk}.mp4"
    changes = {"shown_path": shown_path}
    try:
        with storage.local(sample.path) as video, storage.writing(shown_path) as copy:
            write_display_copy(video, copy, name=sample.sha256, encoding=sample.encoding)
    except (MediaError, OSError) as problem:
        changes = {"error": f"its display copy cannot be written: {problem}"}
    VideoSample.objects.filter(pk=sample.pk, shown_path="").update(**changes)
