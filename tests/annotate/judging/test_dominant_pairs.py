"""A dominant pair has two verdicts for its chosen video, whoever writes it and whenever it was written."""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, transaction

from annotate.exports.freezing import export_round
from annotate.loop.loop import advance_round
from annotate.models import Consensus, PreferencePair, Round, VideoPair, VoteFit
from rlhf.records import JointState, Track, Verdict
from rlhf.votes.model import Annotator, VoteModel
from rlhf.votes.stopping import Rule, Stop
from tests.factories import make_instance, make_pair, make_round, make_user
from tests.votes import vote

pytestmark = pytest.mark.django_db

FIRST, SECOND, UNSURE = Verdict.FIRST, Verdict.SECOND, Verdict.UNSURE
RULE = Rule(minimum=2, maximum=5)


def adaptive_round() -> Round:
    return make_round(stopping=vars(RULE), votes_wanted=3)


@pytest.fixture
def pair() -> VideoPair:
    """Dominant, by one vote on each track."""
    pair = make_pair()
    for track in Track:
        vote(pair, track, FIRST)
    return pair


def checked() -> None:
    """What a commit does."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.mark.parametrize(
    "change",
    [
        lambda pair: Consensus.objects.filter(pair=pair, track=Track.IDENTITY).update(verdict=UNSURE),
        lambda pair: Consensus.objects.filter(pair=pair).update(verdict=SECOND),
        lambda pair: Consensus.objects.filter(pair=pair, track=Track.IDENTITY).delete(),
        lambda pair: PreferencePair.objects.update(chosen=pair.second, rejected=pair.first),
    ],
    ids=["an abstention", "the other video", "no verdict", "chosen and rejected exchanged"],
)
def test_the_database_refuses_a_dominant_pair_without_its_verdicts(pair, change):
    checked()
    with pytest.raises(IntegrityError, match="dominant without two verdicts"), transaction.atomic():
        change(pair)
        checked()
    assert PreferencePair.objects.get().chosen == pair.first


def test_all_of_a_pair_can_still_be_erased(pair):
    Consensus.objects.all().delete()
    PreferencePair.objects.all().delete()
    checked()


def know(round: Round, people: list, skill: float) -> None:
    """What a fit of many votes would have found."""
    annotator = Annotator(skill, 0.0, (skill, skill), (0.0, 0.0))
    for track in Track:
        VoteFit.objects.create(
            round=round,
            track=track,
            is_simulated=False,
            inputs_hash="planted",
            model=VoteModel(annotators={person.pk: annotator for person in people}).to_json(),
            num_votes=len(people),
        )


def test_skilled_people_of_whom_half_abstained_do_not_make_a_pair_dominant():
    round = adaptive_round()
    pair = make_pair(round, make_instance(num_references=2))
    people = [make_user() for _ in range(6)]
    know(round, people, 0.98)
    leading = Track(pair.slots.first().track)
    following = next(track for track in Track if track is not leading)
    said = [(leading, FIRST), (leading, FIRST), (following, FIRST), (following, UNSURE)]
    for person, (track, verdict) in zip(people, said, strict=False):
        vote(pair, track, verdict, person)
    state = PreferencePair.objects.get()
    assert state.probability >= RULE.dominant_from
    assert (state.joint_state, state.stop) == (JointState.UNDECIDED, "")
    assert list(pair.slots.filter(judged_at=None).values_list("track", flat=True)) == [following]
    vote(pair, following, FIRST, people[4])
    state.refresh_from_db()
    assert (state.joint_state, state.stop, state.chosen) == (JointState.DOMINANT, Stop.DOMINANT, pair.first)
    checked()


def settled(round: Round) -> VideoPair:
    """A pair of which everybody prefers the first video."""
    pair = make_pair(round, make_instance(num_references=2))
    while wanted := pair.slots.filter(judged_at=None).first():
        vote(pair, Track(wanted.track), FIRST)
    return pair


def test_what_an_earlier_version_stored_is_undone_named_and_looked_at_again(capsys):
    round = adaptive_round()
    good, bad = settled(round), settled(round)
    export = export_round(round)
    assert export.num_pairs == 2
    checked()
    with connection.cursor() as cursor:  # as a database of an earlier version has it
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            "UPDATE annotate_consensus SET verdict = 'unsure' WHERE track = 'identity' AND pair_id = %s",
            [bad.pk],
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
    migration = import_module("annotate.migrations.0009_dominant_rows")
    migration.undo_dominant(apps, SimpleNamespace(connection=connection))
    checked()
    assert f"pair {bad.pk} was dominant" in (said := capsys.readouterr().out)
    assert f"held by export {export.pk}" in said and f"pair {good.pk} " not in said
    state = bad.preference
    state.refresh_from_db()
    assert (state.joint_state, state.chosen, state.stop) == (JointState.UNDECIDED, None, "")
    assert "identity unsure and controllability first" in state.reason
    assert f"held by export {export.pk}" in state.reason
    assert export.pairs.count() == 2 and good.preference.joint_state == JointState.DOMINANT
    advance_round(round)
    state.refresh_from_db()
    assert state.joint_state == JointState.DOMINANT, "these votes are for one video after all"
