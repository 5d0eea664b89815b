"""What a study shows: copies of every video and reference, in one form, under names that say nothing."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.utils import timezone

from annotate.models import Study, StudyInput, StudyVideo
from annotate.services.runs import run_dir
from annotate.services.slots import FACTS_ALIKE
from generator.media import MediaError, MediaFacts, MediaKind
from generator.normalise import normalise
from generator.video import probe, read_clip, write_poster


def store_media(study: Study) -> bool:
    """Store what a study shows, and open it.

    What is stored already stays, so it may be called again. False, with the reason in `error`, where a file
    cannot be used.
    """
    if study.opened_at is not None:
        return True
    error = ""
    try:
        for asked in study.inputs.filter(shown=[]):
            shown = [_store_reference(study, item) for item in asked.sources]
            StudyInput.objects.filter(pk=asked.pk).update(shown=shown)
        videos = StudyVideo.objects.filter(model__study=study)
        for video in videos.filter(path=""):
            _store_video(study, video)
        _check_alike(list(videos))
    except (OSError, ValueError) as problem:
        error = " ".join(str(problem).split())
    Study.objects.filter(pk=study.pk, opened_at=None).update(
        error=error, opened_at=None if error else timezone.now()
    )
    study.refresh_from_db()
    return not error


def _copy(study: Study, source: str) -> tuple[str, MediaFacts]:
    """Copy a file of the run; its new path below the storage root.

    Raises:
        ValueError: it cannot be used.
    """
    place = run_dir(study.run).resolve(source)
    path = f"studies/{study.pk}/{uuid.uuid4()}"
    target = settings.STORAGE_ROOT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        suffix = probe(place).normal_suffix
        return f"{path}{suffix}", normalise(place, target.with_suffix(suffix))
    except (MediaError, OSError) as problem:
        raise ValueError(f"{place.parent.name}/{place.name} cannot be used: {problem}") from None


def _store_reference(study: Study, item: dict[str, str]) -> dict[str, Any]:
    path, facts = _copy(study, item["source"])
    poster = path
    if facts.kind is MediaKind.VIDEO:
        poster = path.removesuffix(".mp4") + ".jpg"
        first = read_clip(settings.STORAGE_ROOT / path, max_frames=1).frames[0]
        write_poster(settings.STORAGE_ROOT / poster, first)
    return {"name": item["name"], "is_clip": poster != path, "path": path, "poster": poster}


def _store_video(study: Study, video: StudyVideo) -> None:
    path, facts = _copy(study, video.source)
    known = {name: getattr(facts, name) for name in FACTS_ALIKE}
    if not StudyVideo.objects.filter(pk=video.pk, path="").update(path=path, facts=known):
        (settings.STORAGE_ROOT / path).unlink()  # another worker was faster


def _check_alike(videos: list[StudyVideo]) -> None:
    """
    Raises:
        ValueError: two videos could be told apart by their form.
    """
    for video in videos:
        for name in FACTS_ALIKE:
            here, there = video.facts[name], videos[0].facts[name]
            if here != there:
                raise ValueError(
                    f"videos differ in {name}: {there} in {videos[0].source}, {here} in {video.source}; "
                    "people would tell models apart by that. Bring all into one form, then try again"
                )
