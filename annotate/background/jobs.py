"""Jobs: asked for by a lead, done by one worker, which says how far it is; done again where it was killed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now

from annotate.background.kinds import kind_of, looks
from annotate.database.claims import renewing
from annotate.jobs.queue import Queue
from annotate.models import LIVE, MAX_ATTEMPTS, Job, Round, Run, RunStatus, User

#: How often a worker says that it is alive and how far it is.
RENEW_S = 2.0
#: A job that was not renewed for this long has lost its worker.
LOST_AFTER = timedelta(seconds=60)
#: A queued job that nobody took for this long has lost its message.
UNCLAIMED_AFTER = timedelta(minutes=1)
#: How long looks are kept.
KEPT_FOR = timedelta(hours=1)


class _Lost(Exception):
    """A job is not this worker's any more."""


def ask(kind: str, actor: User, *, round: Round | None = None, **values: Any) -> Job:
    """Queue a job, which the caller sends; asking for the same while it is under way returns that one."""
    asked: dict[str, Any] = {"kind": kind_of(kind).name, "round": round, "asked_by": actor, "values": values}
    return Job.objects.get_or_create(**asked, status__in=[*LIVE])[0]


def do(job_id: int, worker: UUID) -> Run | None:
    """Do a queued job from beginning to end, and give the run that it queued, if any, to be sent.

    Nothing happens where somebody else has it.
    """
    if not QUEUE.claim(job_id, worker, done=0, total=None, error=""):
        return None
    job = Job.objects.select_related("round__policy", "asked_by").get(pk=job_id)
    kind, progress = kind_of(job.kind), _Progress(job, worker)
    own = QUEUE.mine(job.pk, worker)
    try:
        with renewing(progress.store, RENEW_S):
            outcome = kind.do(job, progress.tell)
    except _Lost:
        return None
    except kind.refusals as error:
        own.update(status=RunStatus.FAILED, error=str(error) or type(error).__name__, ended_at=Now())
        return None
    result = outcome.result | ({"run": outcome.run.pk} if outcome.run else {})
    told = {"outcome": outcome.text, "link": outcome.link, "result": result}
    own.update(status=RunStatus.DONE, **told, **progress.columns, ended_at=Now())
    return outcome.run


def visible_jobs(user: User) -> QuerySet[Job]:
    """What leads asked for; looks are parts of pages, and in no list."""
    visible = Job.objects.select_related("round", "asked_by").exclude(kind__in=looks())
    return visible if user.is_lead else visible.none()


def cancel(job: Job) -> bool:
    """End a job that is not done; False where it had ended already.

    Its worker stops where it says next how far it is: what it had written by then stays, or goes with its
    transaction.
    """
    ended = {"status": RunStatus.CANCELLED, "ended_at": Now()}
    return bool(Job.objects.filter(pk=job.pk, status__in=[*LIVE]).update(**ended))


def forget(kind: str, round: Round | None = None) -> None:
    """Look again the next time: what a look found is known to be old."""
    Job.objects.filter(kind=kind, round=round, status=RunStatus.DONE).delete()


def remove_old_looks() -> None:
    """Looks found much to be shown once; nobody asks for them later."""
    Job.objects.filter(kind__in=looks(), ended_at__lt=Now() - KEPT_FOR).delete()


class _Progress:
    """How far a job is: kept here, and stored by a thread of its own.

    What the work itself writes may become visible all at once, at its end; its progress must not.
    """

    def __init__(self, job: Job, worker: UUID) -> None:
        self._job, self._worker = job, worker
        self.columns: dict[str, int | None] = {"done": 0, "total": None}
        self._is_lost = False

    def tell(self, done: int, total: int | None = None) -> None:
        """
        Raises:
            _Lost: somebody else has the job.
        """
        self.columns = {"done": done, "total": total}
        if self._is_lost:
            raise _Lost

    def store(self) -> None:
        if not QUEUE.mine(self._job.pk, self._worker).update(**self.columns, heartbeat_at=Now()):
            self._is_lost = Job.objects.filter(pk=self._job.pk).exists()


def _give_up(jobs: QuerySet[Job]) -> None:
    error = f"its worker was lost {MAX_ATTEMPTS} times; look at the worker's log, then ask again"
    jobs.update(status=RunStatus.FAILED, error=error, ended_at=Now())


QUEUE = Queue(
    Job,
    waiting=RunStatus.QUEUED,
    running=RunStatus.RUNNING,
    queued_at="heartbeat_at",
    lost_after=LOST_AFTER,
    unclaimed_after=UNCLAIMED_AFTER,
    give_up=_give_up,
)
