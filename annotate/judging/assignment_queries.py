"""What an entry link's participant is assigned, and why there may be nothing to judge."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet

from annotate.gold.qualification_queries import standing_of
from annotate.judging.no_pair import NoPair, Reason
from annotate.judging.queries import no_pair, num_held, open_pairs_for
from annotate.models import Entry, GoldPair, JudgingWork, Slot, User


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
