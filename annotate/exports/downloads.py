"""Files of judgments: asked for by a lead, written by one worker, thrown away after some days.

A file is stored only once it is whole, under a name that is its worker's own. What a killed worker leaves
behind, the next one removes before it begins again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.database.moments import in_words
from annotate.exports.judgment_rows import judgment_rows, open_writer, wanted_judgments
from annotate.jobs.queue import Queue
from annotate.models import LIVE, MAX_ATTEMPTS, JudgmentFile, Round, RunStatus, User
from annotate.privacy.file_removal import remove_after_commit
from annotate.storage.opening import site_storage
from generator.files import file_sha256

#: Where files of judgments are stored.
FOLDER = "judgments"
#: Longer than the database takes to put many millions of rows in order before the first one comes.
LOST_AFTER = timedelta(minutes=5)
#: A queued file that nobody took for this long has lost its message.
UNCLAIMED_AFTER = timedelta(minutes=1)


class _Lost(Exception):
    """A file is not this worker's to write any more: it was stopped, or somebody else has it."""


class DownloadError(Exception):
    """A file cannot be given; the message says why and what to do."""


@transaction.atomic
def request_file(
    actor: User,
    *,
    round: Round | None = None,
    track: str = "",
    file_format: str = "jsonl",
    includes_simulated: bool = True,
    includes_names: bool = False,
) -> JudgmentFile:
    """Ask for a file. Whoever asked for people's names is in the audit chain."""
    file = JudgmentFile.objects.create(
        round=round,
        track=track,
        file_format=file_format,
        includes_simulated=includes_simulated,
        includes_names=includes_names,
        requested_by=actor,
    )
    record_event("request_judgments", file, actor=actor, includes_names=includes_names)
    return file


def cancel_file(file: JudgmentFile) -> bool:
    """Stop a file that is not whole yet; its worker notices within a chunk. False when it had ended."""
    live = JudgmentFile.objects.filter(pk=file.pk, status__in=[*LIVE])
    return bool(live.update(status=RunStatus.CANCELLED, ended_at=Now()))


def write_file(file_id: int, worker: UUID) -> bool:
    """Write a queued file from beginning to end; False when it is not this worker's, or was cancelled."""
    if not QUEUE.claim(file_id, worker, rows_written=0, error=""):
        return False
    file = JudgmentFile.objects.get(pk=file_id)
    path = f"{FOLDER}/judgments-{file.pk}-{worker.hex}{file.suffix}"
    storage = site_storage()
    try:
        storage.remove(stored_files(file))
        with storage.writing(path) as pending:
            _write_rows(file, worker, pending)
            facts = {"sha256": file_sha256(pending), "size_bytes": pending.stat().st_size}
        if not _say_done(file, worker, path=path, **facts):
            storage.remove([path])
            return False
    except _Lost:
        return False
    except OSError as error:
        QUEUE.mine(file.pk, worker).update(
            status=RunStatus.FAILED,
            error=f"the file cannot be written ({error.strerror or error}); look at the disk, then ask again",
            ended_at=Now(),
        )
        return False
    return True


def stored_files(file: JudgmentFile) -> Iterator[str]:
    """What is stored of it, by whichever worker, also half-written."""
    for item in site_storage().list(FOLDER, with_partial=True):
        if PurePosixPath(item.key).match(f"*-{file.pk}-*"):
            yield item.key


def _write_rows(file: JudgmentFile, worker: UUID, pending: Path) -> None:
    """
    Raises:
        _Lost: it is another worker's, or was cancelled.
    """
    own = QUEUE.mine(file.pk, worker)
    own.update(num_rows=wanted_judgments(file).count())
    with closing(open_writer(file.file_format, pending)) as writer:
        for rows in judgment_rows(file):
            writer.write(rows)
            if not own.update(rows_written=F("rows_written") + len(rows), heartbeat_at=Now()):
                raise _Lost


def _say_done(file: JudgmentFile, worker: UUID, **facts: Any) -> bool:
    """Say where the whole file is; False when it is not this worker's any more."""
    done = QUEUE.mine(file.pk, worker).update(
        status=RunStatus.DONE,
        num_rows=F("rows_written"),
        ended_at=Now(),
        expires_at=Now() + timedelta(days=settings.DOWNLOAD_DAYS),
        **facts,
    )
    return bool(done)


def _give_up(files: QuerySet[JudgmentFile]) -> None:
    error = f"its worker was lost {MAX_ATTEMPTS} times; look at the worker's log, then ask again"
    files.update(status=RunStatus.FAILED, error=error, ended_at=Now())


QUEUE = Queue(
    JudgmentFile,
    waiting=RunStatus.QUEUED,
    running=RunStatus.RUNNING,
    queued_at="heartbeat_at",
    lost_after=LOST_AFTER,
    unclaimed_after=UNCLAIMED_AFTER,
    give_up=_give_up,
)


def remove_expired_files() -> int:
    """Delete files whose days are over; their rows stay. Safe to repeat."""
    with transaction.atomic():
        expired = JudgmentFile.objects.filter(expires_at__lt=Now()).exclude(path="")
        paths = list(expired.select_for_update().values_list("path", flat=True))
        remove_after_commit(paths)
        expired.update(path="")
    return len(paths)


def file_path(file: JudgmentFile) -> str:
    """Where a whole file lies, below the storage.

    Raises:
        DownloadError: it is not whole yet, was stopped or withdrawn, or its days are over.
    """
    if file.withdrawn:
        raise DownloadError(f"{file} was withdrawn ({file.withdrawn}); ask for a new one")
    if file.status != RunStatus.DONE:
        raise DownloadError(f"{file} is {file.status}; only a file that is done can be downloaded")
    if not file.path:
        assert file.expires_at is not None
        raise DownloadError(
            f"{file} was removed on {in_words(file.expires_at)}, {settings.DOWNLOAD_DAYS} days after it was "
            "written; ask for a new one"
        )
    return file.path
