"""A lead's word on pairs that votes left open: above the votes, appended, taken back, never by a voter."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from annotate.adjudication.adjudication import AdjudicationError, adjudicate, take_back
from annotate.exports.freezing import export_round
from annotate.judging.vote_queries import adjudicated_pairs, unsettled_pairs
from annotate.models import Adjudication, AuditEvent, Consensus, Judgment, PreferencePair, VideoPair
from rlhf.records import JointState, Track, Verdict
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, make_pair, make_round, make_user
from tests.votes import vote

pytestmark = pytest.mark.django_db

BOTH_FIRST = dict.fromkeys(Track, Verdict.FIRST)


@pytest.fixture
def torn() -> VideoPair:
    """Three people, three answers, on the identity track; the other track is clear."""
    pair = make_pair(make_round(votes_wanted=3), make_instance(num_references=2))
    for verdict in (Verdict.FIRST, Verdict.SECOND, Verdict.TIE):
        vote(pair, Track.IDENTITY, verdict)
    for _ in range(3):
        vote(pair, Track.CONTROLLABILITY, Verdict.FIRST)
    return pair


def state(pair: VideoPair) -> str:
    return PreferencePair.objects.get(pair=pair).joint_state


def test_the_queue_holds_what_votes_contradict_and_nothing_else(torn):
    clear = make_pair(torn.round, make_instance(num_references=2))
    for track in Track:
        for _ in range(3):
            vote(clear, track, Verdict.TIE)
    waiting = make_pair(torn.round, make_instance(num_references=2))
    vote(waiting, Track.IDENTITY, Verdict.FIRST)
    assert [item.pair for item in unsettled_pairs(torn.round)] == [torn]


def test_a_word_stands_above_the_votes_and_is_exported(torn, lea):
    votes = list(Judgment.objects.values_list("verdict", flat=True))
    assert state(torn) == JointState.TIED
    adjudicate(torn, BOTH_FIRST, "the mole", lea)
    assert state(torn) == JointState.DOMINANT
    assert {item.rule_version for item in Consensus.objects.filter(pair=torn)} == {"adjudicated-1"}
    assert list(Judgment.objects.values_list("verdict", flat=True)) == votes
    assert not unsettled_pairs(torn.round).exists()
    assert [word.note for word in adjudicated_pairs(torn.round)] == ["the mole"]
    assert export_round(torn.round).num_pairs == 1
    assert AuditEvent.objects.filter(verb="adjudicate", actor=lea, row_id=str(torn.pk)).count() == 1


def test_a_word_is_taken_back_by_another_row(torn, lea):
    adjudicate(torn, BOTH_FIRST, "", lea)
    assert take_back(torn, lea) and not take_back(torn, lea)
    assert state(torn) == JointState.TIED and Adjudication.objects.count() == 2
    assert [item.pair for item in unsettled_pairs(torn.round)] == [torn]
    with pytest.raises(DatabaseError), transaction.atomic():
        Adjudication.objects.update(note="never said")


def test_who_judged_a_pair_is_no_judge_over_it(torn, lea, settings):
    settings.LEADS_MAY_VOTE = True
    pair = make_pair(torn.round, make_instance(num_references=2))
    vote(pair, Track.IDENTITY, Verdict.FIRST, lea)
    with pytest.raises(AdjudicationError, match="judged this pair yourself"):
        adjudicate(pair, BOTH_FIRST, "", lea)
    with pytest.raises(AdjudicationError):
        adjudicate(torn, BOTH_FIRST, "", make_user("nobody"))
    assert not Adjudication.objects.exists()


def test_a_lead_decides_on_the_page(torn, lea, ana):
    browser, place = browser_of(lea), f"/pairs/{torn.pk}/adjudicate/"
    queue = browser.get(f"/rounds/{torn.round_id}/adjudication/").content.decode()
    assert place in queue and "1 pair" in queue
    page = browser.get(place).content.decode()
    assert torn.instance.prompt.text in page and "first 1" in page
    refused = browser.post(place, {"identity": "first", "controllability": "left"})
    assert refused.status_code == 422 and "left" in refused.content.decode()
    answer = browser.post(place, {"identity": "first", "controllability": "first", "note": "n" * 1001})
    assert answer.status_code == 422 and "1000" in answer.content.decode()
    assert (
        browser.post(place, {"identity": "first", "controllability": "first", "note": "x"}).status_code == 302
    )
    assert state(torn) == JointState.DOMINANT
    assert "taken back" not in browser.get(place).content.decode()
    assert browser.post(place, {"take_back": "1"}).status_code == 302
    assert state(torn) == JointState.TIED
    for path in (place, f"/rounds/{torn.round_id}/adjudication/"):
        assert browser_of(ana).get(path).status_code == 404
        assert browser_of(None).get(path).status_code == 302
