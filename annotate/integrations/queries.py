"""Reads of the programmatic doors: files of judgments, webhooks, entry links."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Count, IntegerField, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce, Now

from annotate.gold.qualification_queries import standing_of
from annotate.judging.no_pair import NoPair, Reason
from annotate.judging.queries import no_pair, num_held, open_pairs_for
from annotate.models import (
    Entry,
    EntryLink,
    GoldPair,
    JudgingWork,
    JudgmentFile,
    Slot,
    Study,
    StudyAnswer,
    User,
    WebhookEndpoint,
    WebhookMessage,
)


def visible_files(user: User) -> QuerySet[JudgmentFile]:
    files = JudgmentFile.objects.select_related("round", "requested_by").order_by("-id")
    return files if user.is_lead else files.none()


def visible_endpoints(user: User) -> QuerySet[WebhookEndpoint]:
    """Endpoints that are still told things, with how many messages are in which state."""
    waiting = Q(messages__next_attempt_at__isnull=False)
    delivered = Q(messages__delivered_at__isnull=False)
    endpoints = WebhookEndpoint.objects.filter(ended_at=None).annotate(
        num_waiting=Count("messages", filter=waiting),
        num_delivered=Count("messages", filter=delivered),
        num_dead=Count("messages", filter=~waiting & ~delivered & Q(messages__isnull=False)),
    )
    return endpoints if user.is_lead else endpoints.none()


def visible_messages(user: User) -> QuerySet[WebhookMessage]:
    messages = WebhookMessage.objects.filter(endpoint__ended_at=None).select_related("endpoint")
    return messages if user.is_lead else messages.none()


def dead_messages(endpoint: WebhookEndpoint) -> QuerySet[WebhookMessage]:
    """What was refused too often, and is sent again only by hand."""
    return WebhookMessage.objects.filter(endpoint=endpoint, delivered_at=None, next_attempt_at=None)


def due_messages() -> QuerySet[WebhookMessage]:
    """What is to be sent now, without what is for endpoints that rest after refusals."""
    rested = Q(endpoint__resting_until=None) | Q(endpoint__resting_until__lte=Now())
    due = WebhookMessage.objects.filter(rested, endpoint__ended_at=None, next_attempt_at__lte=Now())
    return due.order_by("next_attempt_at", "id")


def due_endpoints() -> list[int]:
    return list(due_messages().order_by("endpoint_id").values_list("endpoint_id", flat=True).distinct())


def visible_links(user: User) -> QuerySet[EntryLink]:
    links = EntryLink.objects.select_related("judging__round", "study").annotate(
        num_entered=Count("entries"), num_finished=Count("entries__finished_at")
    )
    return links.order_by("-id") if user.is_lead else links.none()


def find_link(token: str) -> EntryLink | None:
    return EntryLink.objects.select_related("judging__round", "study").filter(token=token).first()


def entries_of(link: EntryLink) -> QuerySet[Entry]:
    """Who came in by a link, with how much they have judged of its work."""
    work, account = link.work, OuterRef("participant__account")
    judged: QuerySet[Any, Any]
    if isinstance(work, Study):
        answered = StudyAnswer.objects.filter(task__seat__study=work, task__seat__participant=account)
        judged = answered.order_by().values("task__seat").annotate(count=Count("id"))
    else:
        slots = _judged(work).filter(annotator=account).order_by().values("annotator")
        judged = slots.annotate(count=Count("id"))
    count = Coalesce(Subquery(judged.values("count"), output_field=IntegerField()), 0)
    return link.entries.select_related("participant__account").annotate(num_judged=count)


def own_entries(account: User) -> QuerySet[Entry]:
    """A participant's ways in, the newest first."""
    entries = Entry.objects.filter(participant__account=account)
    return entries.select_related("link__judging", "link__study", "participant__account").order_by("-id")


def _judged(work: JudgingWork) -> QuerySet[Slot]:
    return Slot.objects.filter(round=work.round_id, track=work.track, judged_at__isnull=False)


def num_judged(account: User, work: JudgingWork) -> int:
    return _judged(work).filter(annotator=account).count()


def has_open_pair(account: User, work: JudgingWork) -> bool:
    """Whether somebody holds a pair of this work, or could be given one now."""
    return open_pairs_for(account, work.track, work.round_id) > 0


@dataclass(frozen=True)
class Scope:
    """What may be leased to a participant: pairs of one round, so many of it in all."""

    round_id: int
    person_cap: int
    is_used_up: bool


def scope_of(account: User, track: str) -> Scope | None:
    """What a participant may be given on a track, or None where no open link gives them anything."""
    entry = (
        own_entries(account)
        .filter(finished_at=None, link__ended_at=None, link__judging__track=str(track))
        .first()
    )
    if entry is None:
        return None
    work = entry.link.judging
    given = Slot.objects.filter(annotator=account, round=work.round_id)
    here, elsewhere = given.filter(track=work.track).count(), given.exclude(track=work.track).count()
    return Scope(work.round_id, work.pairs_a_person + elsewhere, here >= work.pairs_a_person)


def open_pairs(user: User, track: str) -> int:
    """How many pairs of a track somebody could be given, whichever way they came in."""
    if not (standing := standing_of(user, track)).is_qualified:
        training = GoldPair.objects.filter(track=track, is_training=True, retired_at=None)
        unmet = training.filter(pair__round__is_open=True).exclude(pair__exposures__annotator=user)
        return 0 if standing.again_at else min(unmet.count(), standing.asked - standing.judged)
    if not user.is_participant:
        return open_pairs_for(user, track)
    if (scope := scope_of(user, track)) is None:
        return 0
    return num_held(user, track) if scope.is_used_up else open_pairs_for(user, track, scope.round_id)


def why_no_pair(user: User, track: str) -> NoPair:
    """Why somebody gets no pair of a track, whichever way they came in."""
    if not user.is_participant:
        return no_pair(user, track)
    entry = own_entries(user).filter(link__judging__track=str(track)).first()
    if entry is None:
        return NoPair(
            Reason.NOT_ENTERED,
            "You have not come in for this question. Open the study from its page on the platform again.",
        )
    return why_no_pair_of(entry)


def why_no_pair_of(entry: Entry) -> NoPair:
    """Why somebody gets no further pair of what they came in for."""
    if entry.finished_at is not None:
        return NoPair(Reason.FINISHED, "You have finished. Your completion code is on the study's page.")
    if entry.link.ended_at is not None:
        return NoPair(
            Reason.LINK_ENDED, "The study was ended. That says nothing of your answers; they are kept."
        )
    work, account = entry.link.judging, entry.participant.account
    if num_judged(account, work) >= work.pairs_a_person:
        return NoPair(Reason.SHARE_DONE, "You have judged all pairs that this study has for one person.")
    return why_no_work(account, work)


def why_no_work(account: User, work: JudgingWork) -> NoPair:
    """Why nothing of this work can be given to somebody now."""
    found = no_pair(account, work.track, work.round_id)
    if found.is_screened_out or work.round.is_open:
        return found
    return NoPair(
        Reason.ROUND_CLOSED,
        "This study takes no more answers at present. That says nothing of yours; they are kept.",
    )
