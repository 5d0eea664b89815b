"""What leads decide about people's votes: reviews of flags, votes that count no more, exports made again."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.database.claims import hold
from annotate.exports.freezing import export_round
from annotate.judging.queries import disqualified
from annotate.judging.resolution import resolve_pair
from annotate.judging.slots import release_all
from annotate.models import (
    AnnotatorFlag,
    Disqualification,
    Export,
    FlagOutcome,
    Slot,
    Supersession,
    User,
    VideoPair,
)
from rlhf.export.rule import ExportRule
from rlhf.records import Track


class QualityError(ValueError):
    """This cannot be decided so; the message names the reason and the remedy."""


@transaction.atomic
def review_flag(flag: AnnotatorFlag, outcome: str, note: str, actor: User) -> None:
    """Close a flag with what came of it.

    Raises:
        QualityError: an unknown outcome, or somebody has reviewed it already.
    """
    if outcome not in FlagOutcome.values:
        raise QualityError(f"outcome is {outcome!r}; it must be one of: {', '.join(FlagOutcome.values)}")
    changed = AnnotatorFlag.objects.filter(pk=flag.pk, outcome="").update(
        outcome=outcome, note=_text(note, "a note"), reviewed_by=actor, reviewed_at=Now()
    )
    if not changed:
        raise QualityError("this flag has been reviewed already; reload the page to see by whom")
    record_event("review_flag", flag, actor=actor, outcome=outcome, kind=flag.kind)


@transaction.atomic
def disqualify(person: User, reason: str, actor: User) -> Disqualification:
    """From now on this person's votes stay and do not count, and they are given no more pairs.

    Whoever calls it must send `settle` afterwards, which resolves every pair that they touched.

    Raises:
        QualityError: no reason, or they are disqualified already.
    """
    reason = _reason(reason, "do not count")
    User.objects.select_for_update(no_key=True).get(pk=person.pk)
    if person.disqualifications.filter(lifted_at=None).exists():
        raise QualityError(f"{person} is disqualified already; reload the page to see why")
    made = Disqualification.objects.create(annotator=person, reason=reason, by=actor)
    release_all(person)
    AnnotatorFlag.objects.filter(annotator=person, outcome="").update(
        outcome=FlagOutcome.DISQUALIFIED, reviewed_by=actor, reviewed_at=Now(), note=reason
    )
    record_event("disqualify", person, actor=actor, reason=reason)
    return made


@transaction.atomic
def lift(disqualification: Disqualification, reason: str, actor: User) -> None:
    """Let the votes count again; whoever calls it must send `settle` afterwards.

    Raises:
        QualityError: no reason, or it was lifted already.
    """
    reason = _reason(reason, "count again")
    changed = Disqualification.objects.filter(pk=disqualification.pk, lifted_at=None).update(
        lifted_at=Now(), lifted_by=actor, lifted_because=reason, last_pair=0, settled_at=None
    )
    if not changed:
        raise QualityError("it was lifted already; reload the page to see by whom")
    record_event("lift_disqualification", disqualification.annotator, actor=actor, reason=reason)


def settle(disqualification_id: int) -> int:
    """Resolve every pair that the person touched, and ask for the votes that are missing now; how many pairs.

    A killed job goes on where it stopped; beside one that is at it, a second one does nothing.
    """
    with hold(f"settling of disqualification {disqualification_id}") as is_alone:
        return _settle(disqualification_id) if is_alone else 0


def _settle(disqualification_id: int) -> int:
    done = 0
    unsettled = Disqualification.objects.filter(pk=disqualification_id, settled_at=None)
    while (current := unsettled.first()) is not None:
        touched = Slot.objects.filter(annotator=current.annotator_id, pair__gt=current.last_pair)
        pair_id = touched.order_by("pair_id").values_list("pair_id", flat=True).first()
        # Not another's work, nor that before it was lifted.
        same = unsettled.filter(last_pair=current.last_pair, lifted_at=current.lifted_at)
        if pair_id is None:
            same.update(settled_at=Now())
            continue
        with transaction.atomic():
            resolve_pair(pair_id)
            _ask_again(VideoPair.objects.select_related("round").get(pk=pair_id))
            same.update(last_pair=pair_id)
        done += 1
    return done


def _ask_again(pair: VideoPair) -> None:
    """Want as many votes as the round does: those that count and those that may come.

    Whoever resolved the pair has locked it. A round that asks one by one has asked already, by its rule.
    """
    if pair.is_gold or pair.round.rule is not None or pair.is_adjudicated or not pair.slots.exists():
        return
    random_key = pair.slots.values_list("random_key", flat=True)[0]
    for track in Track:
        slots = pair.slots.filter(track=track)
        counting = slots.filter(Q(judged_at=None) | ~disqualified("annotator"))
        missing = pair.round.votes_wanted - counting.count()
        last = slots.order_by("-ordinal").values_list("ordinal", flat=True).first()
        after = -1 if last is None else last
        Slot.objects.bulk_create(
            Slot(pair=pair, round=pair.round, track=track, ordinal=after + number, random_key=random_key)
            for number in range(1, missing + 1)
        )
        if missing < 0:
            surplus = slots.filter(judged_at=None, annotator=None).order_by("-ordinal")[:-missing]
            Slot.objects.filter(pk__in=surplus.values("pk"), annotator=None).delete()


@transaction.atomic
def rebuild_export(
    export: Export,
    person: User,
    actor: User,
    *,
    tell: Callable[[int], object] = lambda num_pairs: None,
) -> Export:
    """Freeze the round's pairs again, without this person's votes; the old export stays, superseded.

    `tell` hears how many pairs are frozen.

    Raises:
        QualityError: as `refuse_rebuild`, or the old export would come out the same.
    """
    refuse_rebuild(export, person)
    try:
        made = export_round(
            export.round,
            rule=ExportRule(export.rule),
            include_simulated=export.includes_simulated,
            actor=actor,
            tell=tell,
        )
    except RoundError as error:
        raise QualityError(str(error)) from None
    if made == export:
        raise QualityError(f"{export} comes out the same without {person}: their votes changed nothing in it")
    reason = f"made again without the votes of {person}"
    Supersession.objects.create(export=export, by_export=made, by=actor, reason=reason)
    record_event("rebuild_export", export, actor=actor, by_export=made.pk, without=person.pk)
    return made


def refuse_rebuild(export: Export, person: User) -> None:
    """
    Raises:
        QualityError: their votes still count or are still in the pairs, or the old export was superseded or
            withdrawn.
    """
    current = person.disqualifications.filter(lifted_at=None).first()
    if current is None:
        raise QualityError(f"the votes of {person} count; disqualify them first")
    if current.settled_at is None:
        raise QualityError(f"the pairs of {person} are still being resolved; try again in a minute")
    if export.withdrawn:
        raise QualityError(f"{export} is withdrawn: {export.withdrawn}; there is nothing to rebuild")
    if Supersession.objects.filter(export=export).exists():
        raise QualityError(f"{export} is superseded already; see the newer one")


def _reason(text: str, what: str) -> str:
    reason = _text(text, "a reason")
    if not reason:
        raise QualityError(f"no reason was given; say in a line why these votes {what}")
    return reason


def _text(text: str, what: str) -> str:
    text = text.strip()
    if len(text) > 1000:
        raise QualityError(f"{what} has {len(text)} characters; 1000 are the most")
    return text
