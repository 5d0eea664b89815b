"""What somebody could be given, from the queue or by an entry link, and why there may be nothing."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from annotate.database.statements import rows
from annotate.gold.qualification_queries import standing_of
from annotate.judging.no_pair import NoPair, Reason
from annotate.judging.queries import is_disqualified, num_held
from annotate.models import (
    Entry,
    Exposure,
    GoldPair,
    JudgingWork,
    Round,
    RoundState,
    Slot,
    Use,
    User,
    VideoSample,
)
from annotate.privacy.consent_queries import given, given_sql


def own_entries(account: User) -> QuerySet[Entry]:
    """A participant's ways in, the newest first."""
    entries = Entry.objects.filter(participant__account=account)
    return entries.select_related("link__judging", "link__study", "participant__account").order_by("-id")


def judged_slots(work: JudgingWork) -> QuerySet[Slot]:
    return Slot.objects.filter(round=work.round_id, track=work.track, judged_at__isnull=False)


def num_judged(account: User, work: JudgingWork) -> int:
    return judged_slots(work).filter(annotator=account).count()


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
    return Scope(work.round_id, work.pairs_per_person + elsewhere, here >= work.pairs_per_person)


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
        return NoPair.of(Reason.NOT_ENTERED)
    return why_no_pair_of(entry)


def why_no_pair_of(entry: Entry) -> NoPair:
    """Why somebody gets no further pair of what they came in for."""
    if entry.finished_at is not None:
        return NoPair.of(Reason.FINISHED)
    if entry.link.ended_at is not None:
        return NoPair.of(Reason.LINK_ENDED)
    work, account = entry.link.judging, entry.participant.account
    if num_judged(account, work) >= work.pairs_per_person:
        return NoPair.of(Reason.SHARE_DONE)
    return why_no_work(account, work)


def why_no_work(account: User, work: JudgingWork) -> NoPair:
    """Why nothing of this work can be given to somebody now."""
    why = no_pair(account, work.track, work.round_id)
    if why.is_screened_out or work.round.is_open:
        return why
    return NoPair.of(Reason.ROUND_CLOSED)


#: Open pairs are counted up to here: more would only be another number, and cost what it says.
MAX_COUNTED = 1_000


# `_far_enough`, `_free` and `_unmet` of wanted slots, round by round in the order of the queue, which ends
# with as many as are counted. `OFFSET 0` has each looked at by its indexes.
_NUM_FREE = f"""
WITH recent AS MATERIALIZED (
    SELECT i.group_id FROM (
        SELECT pair_id, track FROM annotate_exposure WHERE annotator_id = %(annotator)s
        ORDER BY id DESC LIMIT %(gap)s
    ) e
    JOIN annotate_videopair p ON p.id = e.pair_id
    JOIN annotate_instance i ON i.id = p.instance_id
    WHERE e.track <> %(track)s
), free AS (
    SELECT s.pair_id FROM annotate_round r CROSS JOIN LATERAL (
        SELECT s.pair_id FROM annotate_slot s
        WHERE s.round_id = r.id AND s.track = %(track)s AND s.judged_at IS NULL
          AND (s.lease_expires_at IS NULL OR s.lease_expires_at < statement_timestamp())
          AND NOT EXISTS (SELECT 1 FROM annotate_slot o
                          WHERE o.pair_id = s.pair_id AND o.annotator_id = %(annotator)s OFFSET 0)
          AND NOT EXISTS (SELECT 1 FROM annotate_exposure e WHERE e.pair_id = s.pair_id
                          AND e.annotator_id = %(annotator)s AND e.track <> s.track OFFSET 0)
          AND EXISTS (SELECT 1 FROM annotate_videopair p
                      JOIN annotate_instance i ON i.id = p.instance_id
                      JOIN annotate_identitygroup g ON g.id = i.group_id
                      WHERE p.id = s.pair_id AND p.gold_verdicts IS NULL AND {given_sql("g", Use.SHOW)}
                        AND i.group_id NOT IN (SELECT group_id FROM recent) OFFSET 0)
        ORDER BY s.random_key LIMIT %(most)s
    ) s
    WHERE r.is_open AND (%(round)s::bigint IS NULL OR r.id = %(round)s)
    LIMIT %(most)s
)
SELECT count(DISTINCT pair_id) FROM free
"""


def wanted_slots(track: str) -> QuerySet[Slot]:
    """Votes of open rounds that nobody has given yet, whether somebody is at it or not."""
    return _open_slots(track).filter(given("pair__instance__group", Use.SHOW))


def _open_slots(track: str) -> QuerySet[Slot]:
    """Gold has no slots that anybody waits for."""
    return Slot.objects.filter(
        track=track, judged_at=None, round__is_open=True, pair__gold_verdicts__isnull=True
    ).order_by()


def _is_paused(track: str, here: Q) -> bool:
    """Whether votes are wanted in a round that gives out nothing for now."""
    wanted = Slot.objects.filter(here, track=track, judged_at=None, pair__gold_verdicts__isnull=True)
    return wanted.filter(round__state=RoundState.PAUSED).exists()


def _unmet(annotator: User, slots: QuerySet[Slot]) -> QuerySet[Slot]:
    """Without pairs that this person holds or has judged, or has met on the other track."""
    own = Slot.objects.filter(pair=OuterRef("pair"), annotator=annotator)
    met = Exposure.objects.filter(pair=OuterRef("pair"), annotator=annotator).exclude(track=OuterRef("track"))
    return slots.filter(~Exists(own), ~Exists(met))


def _free(slots: QuerySet[Slot]) -> QuerySet[Slot]:
    return slots.filter(Q(lease_expires_at=None) | Q(lease_expires_at__lt=Now()))


def open_pairs_for(annotator: User, track: str, round_id: int | None = None) -> int:
    """How many pairs of a track this person holds or could be given; `MAX_COUNTED` is that many or more.

    A gold pair takes the place of another one: with every pair that is judged, whatever it is, this falls
    by one. While anything is left it is at least one.
    """
    if is_disqualified(annotator) or _only_looks(annotator):
        return 0
    rounds = Round.objects.filter(is_open=True)
    own = Slot.objects.filter(annotator=annotator, track=track, round__in=rounds)
    if round_id is not None:
        own = own.filter(round=round_id)
    met = Exposure.objects.filter(annotator=annotator, pair__round__in=rounds, pair__gold__is_training=False)
    met = met.filter(Q(track=track) | Q(is_less_on_both=True))
    num_gold = (met if round_id is None else met.filter(pair__round=round_id)).count()
    # So many slots are so many pairs at least, and are found without looking at the others.
    most = (MAX_COUNTED + num_gold) * (rounds.aggregate(most=Max("votes_wanted"))["most"] or 1)
    left = _num_free(annotator, track, round_id, most)
    held = own.filter(judged_at=None).count()
    return min(max(held + left - num_gold, min(held + left, 1)), MAX_COUNTED)


def _num_free(annotator: User, track: str, round_id: int | None, most: int) -> int:
    """How many pairs the first so many slots of the queue are of that this person could be given."""
    values = {"annotator": annotator.pk, "track": str(track), "round": round_id, "most": most}
    gap = 0 if annotator.is_simulated else settings.SAME_PERSON_OTHER_TRACK_GAP
    return int(rows(_NUM_FREE, values | {"gap": gap})[0][0])


def _only_looks(annotator: User) -> bool:
    return annotator.is_lead and not settings.LEADS_MAY_VOTE


def no_pair(annotator: User, track: str, round_id: int | None = None) -> NoPair:
    """Why there is no next pair: the first reason that holds."""
    if _only_looks(annotator):
        return NoPair.of(Reason.LEADS_DO_NOT_VOTE)
    if is_disqualified(annotator):
        return NoPair.of(Reason.DISQUALIFIED)
    if not (standing := standing_of(annotator, track)).is_qualified:
        failed = standing.again_at is not None
        return NoPair(Reason.QUALIFICATION_WAIT if failed else Reason.NO_TRAINING_LEFT, standing.message)
    here = Q() if round_id is None else Q(round=round_id)
    wanted = wanted_slots(track).filter(here)
    if not wanted.exists():
        return _none_wanted(track, here)
    unmet = _unmet(annotator, wanted)
    if not unmet.exists():
        return NoPair.of(Reason.ALREADY_MET)
    free = _free(unmet)
    if not free.exists():
        return NoPair.of(Reason.NOTHING_FREE_NOW)
    return _limit(annotator, track, free)


def _none_wanted(track: str, here: Q) -> NoPair:
    unmade = VideoSample.objects.filter(path="", error="", pairs_as_first__round__is_open=True)
    if unmade.exists():
        return NoPair.of(Reason.BEING_MADE)
    if _is_paused(track, here):
        return NoPair.of(Reason.ROUND_PAUSED)
    if _open_slots(track).filter(here).exists():
        return NoPair.of(Reason.NO_CONSENT)
    return NoPair.of(Reason.ALL_JUDGED)


def _limit(annotator: User, track: str, free: QuerySet[Slot]) -> NoPair:
    """Which limit keeps this person from pairs that are free."""
    most = settings.MAX_PAIRS_PER_ANNOTATOR
    rounds = Round.objects.filter(Exists(free.filter(round=OuterRef("pk"))))
    if most and all(round.slots.filter(annotator=annotator).count() >= most for round in rounds):
        return NoPair.of(Reason.ROUND_CAP, maximum=most)
    if not _far_enough(annotator, track, free).exists():
        return NoPair.of(Reason.SAME_PERSON_OTHER_TRACK, gap=settings.SAME_PERSON_OTHER_TRACK_GAP)
    if most := settings.MAX_PAIRS_PER_ANNOTATOR_AND_IDENTITY:
        return NoPair.of(Reason.IDENTITY_CAP, maximum=most)
    return NoPair.of(Reason.JUST_FREED)


def _far_enough(annotator: User, track: str, slots: QuerySet[Slot]) -> QuerySet[Slot]:
    """Without people whom somebody met on the other track among their last pairs."""
    gap = settings.SAME_PERSON_OTHER_TRACK_GAP
    if not gap or annotator.is_simulated:
        return slots
    last = Exposure.objects.filter(annotator=annotator).order_by("-id")[:gap]
    met = Exposure.objects.filter(pk__in=last.values("pk")).exclude(track=track)
    return slots.exclude(pair__instance__group__in=met.values("pair__instance__group"))
