"""Reads for leads: how people vote, and what their votes reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import (
    Avg,
    Count,
    Exists,
    FloatField,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Greatest, Least

from annotate.judging.queries import disqualified
from annotate.models import (
    AnnotatorFlag,
    Disqualification,
    Export,
    Judgment,
    ModelVersion,
    Round,
    RoundFigures,
    Run,
    Side,
    Slot,
    Subject,
    User,
)
from annotate.tallies.queries import kept_count
from rlhf.records import FAVOURED, Track, choice_of
from rlhf.votes.vote import Estimate, share

#: A pause of this length begins another session.
SESSION_PAUSE = timedelta(minutes=30)
#: Of a person, the newest votes that a page tells sessions and times of.
MAX_VOTES_SHOWN = 2_000


# -- votes as the statistics read them --------------------------------------------------------------


def coverage_of_people(round: Round, *, is_simulated: bool) -> dict[tuple[str, int], float]:
    """By track and person: the mean share of frames shown, of the less watched video of each pair."""
    shown = [Cast(KT(f"evidence__coverage__{side}"), FloatField()) for side in Side.values]
    rows = (
        Judgment.objects.filter(slot__round=round, is_simulated=is_simulated)
        .filter(evidence__coverage__has_keys=Side.values)
        .values_list("slot__track", "slot__annotator")
        .annotate(mean=Avg(Least(*shown)))
        .order_by()
    )
    return {(track, annotator): mean for track, annotator, mean in rows}


def newest_figures(round: Round, *, is_simulated: bool) -> RoundFigures | None:
    return RoundFigures.objects.filter(round=round, is_simulated=is_simulated).first()


def rounds_with_votes() -> QuerySet[Round]:
    return Round.objects.filter(Exists(Slot.objects.filter(round=OuterRef("pk"), judged_at__isnull=False)))


# -- people -----------------------------------------------------------------------------------------


def visible_annotators(user: User) -> QuerySet[User]:
    """Whoever has judged, or annotates by role; only leads look at people."""
    judged = Slot.objects.filter(annotator=OuterRef("pk"), judged_at__isnull=False)
    people = User.objects.filter(Exists(judged) | Q(role=User.Role.ANNOTATOR))
    return people if user.is_lead else people.none()


def annotator_rows(user: User) -> QuerySet[User]:
    return visible_annotators(user).annotate(
        num_judged=kept_count(Subject.ANNOTATOR, "judged."),
        last_judged_at=Greatest(*(_last_judged_at(track) for track in Track)),
        is_disqualified=disqualified("pk"),
        num_flags=_open_flags(),
    )


def _last_judged_at(track: Track) -> Subquery:
    judged = Slot.objects.filter(annotator=OuterRef("pk"), track=track, judged_at__isnull=False)
    return Subquery(judged.order_by("-judged_at").values("judged_at")[:1])


def _open_flags() -> Coalesce:
    flags = AnnotatorFlag.objects.filter(Q(annotator=OuterRef("pk")) | Q(partner=OuterRef("pk")))
    counted = flags.filter(outcome="").order_by().values("outcome").annotate(number=Count("id"))
    return Coalesce(Subquery(counted.values("number"), output_field=IntegerField()), 0)


def flags_of(person: User) -> QuerySet[AnnotatorFlag]:
    flags = AnnotatorFlag.objects.filter(Q(annotator=person) | Q(partner=person))
    return flags.select_related("round", "annotator", "partner", "reviewed_by").order_by("outcome", "-id")


def open_flags(round: Round) -> QuerySet[AnnotatorFlag]:
    return round.flags.filter(outcome="").select_related("annotator", "partner").order_by("chance")


def visible_flags(user: User) -> QuerySet[AnnotatorFlag]:
    return AnnotatorFlag.objects.all() if user.is_lead else AnnotatorFlag.objects.none()


def current_disqualification(person: User) -> Disqualification | None:
    return person.disqualifications.filter(lifted_at=None).first()


def left_to_settle(person: User) -> int:
    """How many of the pairs that this person touched wait to be resolved again."""
    slots = Slot.objects.filter(annotator=person).order_by()
    waiting = person.disqualifications.filter(settled_at=None).values_list("last_pair", flat=True)
    return max((slots.filter(pair__gt=last).values("pair").distinct().count() for last in waiting), default=0)


def newest_reports(people: Iterable[User]) -> dict[int, list[dict[str, Any]]]:
    """Of each person the stored figures of the newest round that has any, a row a track."""
    wanted = {person.pk for person in people}
    reports: dict[int, list[dict[str, Any]]] = {}
    for stored in RoundFigures.objects.select_related("round").order_by("-round"):
        for pk in wanted - reports.keys():
            if rows := _rows_of(pk, stored):
                reports[pk] = rows
        if len(reports) == len(wanted):
            break
    return reports


def reports_of(person: User) -> list[dict[str, Any]]:
    rounds = RoundFigures.objects.filter(is_simulated=person.is_simulated).select_related("round")
    return [row for stored in rounds.order_by("-round") for row in _rows_of(person.pk, stored)]


def _rows_of(person: int, stored: RoundFigures) -> list[dict[str, Any]]:
    return [
        {"round": stored.round, "track": track, "computed_at": stored.computed_at, **row}
        for track, figures in stored.figures.items()
        if (row := figures["people"].get(str(person)))
    ]


@dataclass(frozen=True)
class Session:
    """Votes without a long pause between them."""

    began: datetime
    ended: datetime
    votes: int

    @property
    def minutes(self) -> float:
        return (self.ended - self.began) / timedelta(minutes=1)


def _newest_votes(person: User) -> QuerySet[Slot]:
    judged = Slot.objects.filter(annotator=person, judged_at__isnull=False)
    return judged.order_by("-judged_at")[:MAX_VOTES_SHOWN]


def sessions_of(person: User) -> list[Session]:
    """Of the newest votes, the newest session first."""
    sessions: list[Session] = []
    votes = _newest_votes(person).values_list("leased_at", "judged_at")
    for leased_at, judged_at in reversed(votes):
        assert leased_at is not None and judged_at is not None, "a judged slot was leased"
        if sessions and judged_at - sessions[-1].ended <= SESSION_PAUSE:
            last = sessions.pop()
            sessions.append(Session(last.began, judged_at, last.votes + 1))
        else:
            sessions.append(Session(max(leased_at, judged_at - SESSION_PAUSE), judged_at, 1))
    return sessions[::-1]


def own_left_share(person: User) -> Estimate:
    """What a person may know of their own side: share of left among their choices of one."""
    answers = (
        Judgment.objects.filter(slot__annotator=person, verdict__in=list(FAVOURED))
        .order_by("slot_id", "-revision")
        .distinct("slot_id")
        .values_list("verdict", "slot__first_side")
    )
    left = [choice_of(verdict, first_on_left=side == Side.LEFT) == Side.LEFT for verdict, side in answers]
    return share(sum(left), len(left), what="votes for a side")


def times_of(person: User) -> list[tuple[int, float]]:
    """Active seconds of this person's newest votes that recorded them, numbered in order."""
    newest = Judgment.objects.filter(slot__in=_newest_votes(person).values("pk"), revision=1)
    timed = newest.filter(evidence__has_key="active_ms").order_by("id")
    times = timed.values_list("evidence__active_ms", flat=True)
    return [(number, time_ms / 1000) for number, time_ms in enumerate(times, start=1)]


# -- what votes reached -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Reached:
    """An export with pairs on which a person voted, and what was trained on it, down to grandchildren."""

    export: Export
    num_pairs: int
    runs: list[Run]
    models: list[ModelVersion]


def reached_by(person: User) -> list[Reached]:
    """Every export, run and model that this person's votes reached, counting or not."""
    key = str(person.pk)
    having = Export.objects.filter(votes_by__has_key=key)
    exports = list(having.select_related("round", "superseded__by_export").order_by("-id"))
    runs: dict[int, list[Run]] = defaultdict(list)
    for run in Run.objects.filter(export__in=exports).select_related("round").order_by("id"):
        assert run.export_id is not None
        runs[run.export_id].append(run)
    first = ModelVersion.objects.filter(export__in=exports)
    kin = list(ModelVersion.objects.filter(root__in=first.values("root")).order_by("id"))
    return [
        # One vote per pair: nobody judges a pair twice.
        Reached(export, export.votes_by[key], runs[export.pk], _trained_on(export, kin))
        for export in exports
    ]


def _trained_on(export: Export, kin: Iterable[ModelVersion]) -> list[ModelVersion]:
    """The models of an export and all that came from them; parents come before their children."""
    found: dict[int, ModelVersion] = {}
    for model in kin:
        if model.export_id == export.pk or model.parent_id in found:
            found[model.pk] = model
    return list(found.values())
