"""Annotators, leads and participants look at somebody's media."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.test import override_settings

from annotate.gold.gold import make_gold
from annotate.judging.assignment_queries import open_pairs_for
from annotate.judging.queries import changeable_judgment, held_slot
from annotate.judging.slots import lease_slot
from annotate.judging.tracks import judging_task
from annotate.judging.vote_queries import unsettled_pairs
from annotate.models import GoldKind, GoldPair, IdentityGroup, Slot, Use, User, VideoPair, VideoSample
from annotate.studies.queries import shown_file, tasks_of
from annotate.studies.studies import asked_of
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.privacy.consent.entry_points import Change, EntryPoints
from tests.factories import make_group, make_instance, make_pair, make_round, make_user
from tests.studies import come, make_evaluation, open_study
from tests.votes import vote

ENTRY_POINTS = EntryPoints()


@ENTRY_POINTS.needs(Use.SHOW)
def references_beside_a_pair(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    slot = lease_slot(ana, Track.IDENTITY)
    change(pair.instance.group)
    return judging_task(slot).references


@ENTRY_POINTS.needs(Use.SHOW)
def lease(change: Change, folder: Path) -> Any:
    change(make_pair().instance.group)
    return lease_slot(make_user(), Track.IDENTITY)


@ENTRY_POINTS.needs(Use.SHOW)
def lease_that_is_held(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    assert lease_slot(ana, Track.IDENTITY)
    change(pair.instance.group)
    return lease_slot(ana, Track.IDENTITY)


@ENTRY_POINTS.needs(Use.SHOW)
def number_of_open_votes(change: Change, folder: Path) -> Any:
    change(make_pair().instance.group)
    return open_pairs_for(make_user(), Track.IDENTITY)


@ENTRY_POINTS.needs(Use.SHOW)
def media_of_a_held_pair(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    slot = lease_slot(ana, Track.IDENTITY)
    change(pair.instance.group)
    page = browser_of(ana).get(f"/media/{slot.lease}/left")
    assert (page.status_code == 200) == bool(held_slot(ana, slot.lease))
    return page.status_code == 200


@ENTRY_POINTS.needs(Use.SHOW)
def undo(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    change(pair.instance.group)
    return changeable_judgment(ana, Track.IDENTITY)


@ENTRY_POINTS.needs(Use.SHOW)
def lease_by_the_api(change: Change, folder: Path) -> Any:
    change(make_pair().instance.group)
    answer = machine_of(make_user()).post("/api/tracks/identity/lease/")
    return answer.status_code == 200 and answer.data


@ENTRY_POINTS.needs(Use.SHOW)
def gold_is_made(change: Change, folder: Path) -> Any:
    pair = make_pair(instance=make_instance(num_references=1))
    change(pair.instance.group)
    return any(make_gold(pair.round, items=1).values())


def gold_of(pair: VideoPair, shown: VideoSample | None = None) -> None:
    """A gold pair of the same person that may be given to whoever is in the queue; a pair waits behind it."""
    gold = make_pair(pair.round, pair.instance, gold_verdicts={"identity": "first"})
    gold.slots.all().delete()
    VideoSample.objects.filter(pk=gold.second_id).update(copy_of=shown)
    kind = GoldKind.IMPOSTOR if shown else GoldKind.DEGRADED
    GoldPair.objects.create(pair=gold, kind=kind, track=Track.IDENTITY, budget=3)
    make_pair(pair.round)


def given_gold(person: User) -> Slot | None:
    """The gold pair that somebody is given whose turn it is."""
    with override_settings(GOLD_EVERY=1):
        slot = lease_slot(person, Track.IDENTITY)
    return slot if slot and GoldPair.objects.filter(pair=slot.pair_id).exists() else None


def video_of(person: IdentityGroup) -> VideoSample:
    pair = make_pair(instance=make_instance(person))
    pair.slots.all().delete()
    return pair.first


@ENTRY_POINTS.needs(Use.SHOW)
def gold_is_given(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    gold_of(pair)
    change(pair.instance.group)
    return given_gold(ana)


@ENTRY_POINTS.needs(Use.SHOW)
def gold_with_an_impostor(change: Change, folder: Path) -> Any:
    pair, ana, impostor = make_pair(), make_user(), make_group()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    gold_of(pair, video_of(impostor))
    change(impostor)
    return given_gold(ana)


@ENTRY_POINTS.needs(Use.SHOW)
def media_of_an_impostor(change: Change, folder: Path) -> Any:
    pair, ana, impostor = make_pair(), make_user(), make_group()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    gold_of(pair, video_of(impostor))
    slot = given_gold(ana)
    assert slot is not None
    change(impostor)
    return held_slot(ana, slot.lease)


@ENTRY_POINTS.needs(Use.SHOW)
def adjudication(change: Change, folder: Path) -> Any:
    pair = make_pair(make_round(votes_wanted=2))
    for track in Track:
        for verdict in (Verdict.FIRST, Verdict.SECOND):
            vote(pair, track, verdict)
    change(pair.instance.group)
    return unsettled_pairs(pair.round)


@ENTRY_POINTS.needs(Use.SHOW)
def study_is_planned(change: Change, folder: Path) -> Any:
    evaluation = make_evaluation(instances=[instance := make_instance(num_references=1)])
    change(instance.group)
    return asked_of(evaluation)


@ENTRY_POINTS.needs(Use.SHOW)
def study_is_shown(change: Change, folder: Path) -> Any:
    study = open_study(make_evaluation(instances=[instance := make_instance(num_references=1)]), pairs=1)
    browser, participant = come(study)
    task = tasks_of(participant, study).get()
    change(instance.group)
    is_shown = browser.get(f"/media/study/{task.lease}/left").status_code == 200
    assert shown_file(task, "left") and is_shown == tasks_of(participant, study).exists()
    return is_shown
