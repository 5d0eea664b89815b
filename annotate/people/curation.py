"""Stage 1, second half: examine every reference once, judge it, and take people's word above the filters'.

A reference is claimed in one statement and renewed while it is examined; one that lost its worker is queued
again. Whoever repeats the work writes the same record, so a kill costs one clip's time and nothing else.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from annotate.database.claims import renewing
from annotate.database.patience import patiently
from annotate.jobs.queue import Queue
from annotate.models import MAX_ATTEMPTS, Curation, IdentityGroup, Reference
from annotate.people.filtering import judge_people
from annotate.people.queries import annotation_path, open_references
from annotate.storage.opening import site_storage
from generator.curation.annotation import Box, ClipAnnotation, save_annotation
from generator.curation.curate import annotate_media
from generator.curation.detection.loading import load_detectors
from generator.curation.detection.protocols import Detectors
from generator.curation.duplicates import fingerprint
from generator.curation.filters import measure
from generator.curation.people import find_people
from generator.portraits.annotation import annotate_portrait

logger = logging.getLogger(__name__)

#: A reference under way that was not renewed for this long has lost its worker.
LOST_AFTER = timedelta(seconds=30)
#: How often it is renewed.
RENEW_S = 5.0
#: A queued reference that nobody took for this long has lost its message.
UNCLAIMED_AFTER = timedelta(seconds=60)
#: Messages that one search for lost ones sends: a long queue must not fill up with copies of itself.
MAX_REQUEUED = 200


def claim_curation(reference_id: int, worker: UUID) -> Reference | None:
    """Take a queued reference for this worker, or None when somebody else has it or it is done."""
    taken = QUEUE.claim(reference_id, worker)
    return Reference.objects.select_related("group").get(pk=reference_id) if taken else None


def curate_reference(reference_id: int) -> bool:
    """Examine one queued reference, store what was seen, and judge its person's references anew.

    False when there was nothing to do: somebody else has it, or it is done.
    """
    worker = uuid4()
    reference = claim_curation(reference_id, worker)
    if reference is None:
        return False
    logger.debug("begins reference %s", reference.pk)
    try:
        with renewing(lambda: QUEUE.renew(reference.pk, worker), RENEW_S):
            with site_storage().local(reference.path) as path:
                annotation, quality = _annotate(reference, path)
            with site_storage().writing(annotation_path(reference)) as record:
                save_annotation(record, annotation)
    except (ValueError, OSError, ImportError) as error:
        line = " ".join(str(error).split()) or type(error).__name__
        patiently(lambda: _end_failed(reference, worker, line))
    else:
        patiently(lambda: _end_done(reference, worker, annotation, quality))
    return True


@functools.cache
def _detectors() -> Detectors:
    """Opened once a process, when it is first needed."""
    return load_detectors(settings.DETECTORS)


def _annotate(reference: Reference, path: Path) -> tuple[ClipAnnotation, dict[str, Any]]:
    """What is seen in a reference, and the columns of its quality."""
    truth = reference.group.truth
    if truth is None:
        annotation = annotate_media(path, _detectors(), settings.CURATION)
    else:
        seed, humans = truth["identity_seed"], _detectors().humans
        annotation = annotate_portrait(path, identity_seed=seed, name=reference.source_name, humans=humans)
    return annotation, {"measures": asdict(measure(annotation)), "fingerprint": fingerprint(path)}


def _end_failed(reference: Reference, worker: UUID, line: str) -> None:
    QUEUE.mine(reference.pk, worker).update(
        curation=Curation.FAILED, curation_error=line[:500], curation_worker=None
    )


@transaction.atomic
def _end_done(
    reference: Reference, worker: UUID, annotation: ClipAnnotation, quality: dict[str, Any]
) -> None:
    """Two references of a person end one after the other (its row is locked), so the last one sees both."""
    group = IdentityGroup.objects.select_for_update().get(pk=reference.group_id)
    done = QUEUE.mine(reference.pk, worker).update(
        curation=Curation.DONE,
        curation_error="",
        curation_worker=None,
        quality=quality,
        boxes=_unified_boxes(annotation),
    )
    if done:
        judge_people([group])


def _unified_boxes(annotation: ClipAnnotation) -> dict[str, dict[str, Any]]:
    """The smallest boxes around all that the subject's face, and people's bodies, ever cover."""
    faces = [face.box for face in find_people(annotation).subject]
    humans = [human for frame in annotation.frames for human in frame.humans]
    boxes: dict[str, dict[str, Any]] = {"face": _around(faces)} if faces else {}
    if humans:
        is_estimated = all(human.is_estimated for human in humans)
        boxes["human"] = _around([human.box for human in humans]) | {"is_estimated": is_estimated}
    return boxes


def _around(boxes: Sequence[Box]) -> dict[str, Any]:
    left, top = min(box.left for box in boxes), min(box.top for box in boxes)
    right, bottom = max(box.left + box.width for box in boxes), max(box.top + box.height for box in boxes)
    return asdict(Box(left, top, right - left, bottom - top))


def queue_curation(references: QuerySet[Reference]) -> list[int]:
    """Queue references to be examined once more; returns those that an entry point must send.

    One that is under way, or queued already, stays as it is.
    """
    ended = references.filter(curation__in=[Curation.DONE, Curation.FAILED])
    ids = list(ended.values_list("pk", flat=True))
    again = Reference.objects.filter(pk__in=ids, curation__in=[Curation.DONE, Curation.FAILED])
    again.update(curation=Curation.PENDING, curation_error="", curation_attempts=0, curation_queued_at=Now())
    return ids


def _give_up(references: QuerySet[Reference]) -> None:
    error = f"its worker was lost {MAX_ATTEMPTS} times; look at the worker's log and the file"
    references.update(curation=Curation.FAILED, curation_worker=None, curation_error=error)


QUEUE = Queue(
    Reference,
    status="curation",
    prefix="curation_",
    waiting=Curation.PENDING,
    running=Curation.RUNNING,
    lost_after=LOST_AFTER,
    unclaimed_after=UNCLAIMED_AFTER,
    give_up=_give_up,
    most=MAX_REQUEUED,
)


def curate_people(groups: Iterable[int], on_done: Callable[[], object] = lambda: None) -> None:
    """Curate everything of these people that is not done, here; what a worker has is waited for.

    Safe to stop and to repeat.
    """
    waiting = open_references(groups)
    open_before = set(waiting.values_list("pk", flat=True))
    while True:
        still_open = set(waiting.values_list("pk", flat=True))
        for _ in open_before - still_open:
            on_done()
        open_before = still_open
        following = waiting.filter(curation=Curation.PENDING).order_by("pk").first()
        if following is not None:
            curate_reference(following.pk)
        elif still_open:
            time.sleep(0.5)
            QUEUE.requeue_lost()
        else:
            return
