"""What a study shows: copies of every video and reference, in one form, under names that say nothing."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.db.models.functions import Now

from annotate.jobs.runs import run_dir
from annotate.models import Study, StudyInput, StudyVideo
from annotate.storage.opening import site_storage
from generator.media.formats import MediaError, MediaFacts, MediaKind
from generator.media.harmonise import ClipForm, common_form, write_in_form
from generator.media.normalise import normalise
from generator.media.photo import write_photo
from generator.media.video import probe, read_clip


def store_media(study: Study) -> bool:
    """Store what a study shows, and open it.

    What is stored already stays, so it may be called again. False, with the reason in `error`, where a file
    cannot be used.
    """
    if study.opened_at is not None:
        return True
    error = ""
    try:
        form = _form_of(study)
        for video in StudyVideo.objects.filter(model__study=study, path=""):
            _store_video(study, video, form)
        for asked in study.inputs.filter(shown=[]):
            _store_references(study, asked)
    except (OSError, ValueError) as problem:
        error = " ".join(str(problem).split())
    Study.objects.filter(pk=study.pk, opened_at=None).update(error=error, opened_at=None if error else Now())
    study.refresh_from_db()
    return not error


def _form_of(study: Study) -> ClipForm:
    """What all videos are brought into: models must not be told apart by size, rate or length."""
    if study.form is None:
        sources = StudyVideo.objects.filter(model__study=study).values_list("source", flat=True)
        form = common_form([_probe(_source(study, source)) for source in sources])
        Study.objects.filter(pk=study.pk, form__isnull=True).update(form=asdict(form))
        study.refresh_from_db()
    assert study.form is not None
    return ClipForm(**study.form)


def _source(study: Study, source: str) -> Path:
    return run_dir(study.run).resolve(source)


def _probe(file: Path) -> MediaFacts:
    """
    Raises:
        ValueError: the file cannot be used; the message names it.
    """
    try:
        return probe(file)
    except (MediaError, OSError) as problem:
        raise ValueError(f"{file.parent.name}/{file.name} cannot be used: {problem}") from None


def _new_path(study: Study, suffix: str) -> str:
    return f"studies/{study.pk}/{uuid.uuid4()}{suffix}"


def _store_video(study: Study, video: StudyVideo, form: ClipForm) -> None:
    path = _new_path(study, ".mp4")
    with site_storage().writing(path) as copy:
        write_in_form(_source(study, video.source), copy, form)
    if not StudyVideo.objects.filter(pk=video.pk, path="").update(path=path):
        site_storage().remove([path])  # another worker was faster


def _store_references(study: Study, asked: StudyInput) -> None:
    shown = [_store_reference(study, item) for item in asked.sources]
    if not StudyInput.objects.filter(pk=asked.pk, shown=[]).update(shown=shown):
        # Another worker was faster.
        site_storage().remove({item[part] for item in shown for part in ("path", "poster")})


def _store_reference(study: Study, item: dict[str, str]) -> dict[str, Any]:
    source = _source(study, item["source"])
    facts = _probe(source)
    path = poster = _new_path(study, facts.normal_suffix)
    storage = site_storage()
    with storage.writing(path) as copy:
        normalise(source, copy)
        if facts.kind is MediaKind.VIDEO:
            poster = path.removesuffix(".mp4") + ".jpg"
            with storage.writing(poster) as still:
                write_photo(still, read_clip(copy, max_frames=1).frames[0])
    return {"name": item["name"], "is_clip": poster != path, "path": path, "poster": poster}
