"""Every pair and vote within a lead's reach: what was said, by whom, what came of it; and no one else's."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import uuid4

import pytest

from annotate.exports.freezing import export_round
from annotate.gold.gold import make_gold
from annotate.judging.judgments import revise_judgment, submit_judgment
from annotate.models import GoldPair, Slot, User, VideoPair
from annotate.quality.disqualification import disqualify
from annotate.review import queries
from rlhf.records import Track, Verdict, choice_of
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_pair, make_round
from tests.votes import next_slot, vote

pytestmark = pytest.mark.django_db

EVIDENCE = {"active_ms": 8100, "coverage": {"left": 1.0, "right": 0.25}, "speed": 0.5}


def tell(pair: VideoPair, person: User, verdict: Verdict, **told: Any) -> Slot:
    slot = next_slot(person, Track.IDENTITY)
    assert slot.pair == pair
    choice = choice_of(verdict, first_on_left=slot.first_on_left)
    submit_judgment(person, slot.lease, choice, idempotency_key=uuid4(), **told)
    return slot


@pytest.fixture
def pair(ana, ben) -> VideoPair:
    """Ana and Ben and a third one on identity: two for the first video, Ben for the second and tells why."""
    pair = make_pair(make_round(votes_wanted=3))
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    told = {
        "reasons": ["Face shape", "Something breaks"],
        "note": "the chin <b>melts</b>",
        "breaks": [{"side": "left", "frame": 7}],
        "evidence": EVIDENCE,
    }
    tell(pair, ben, Verdict.SECOND, **told)
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    return pair


def page_of(person: User | None, address: str) -> str:
    answer = browser_of(person).get(address)
    assert answer.status_code == 200, (address, answer.status_code)
    return answer.content.decode()


def addresses(pair: VideoPair, ben: User) -> list[str]:
    round = f"/rounds/{pair.round_id}"
    return [
        f"/pairs/{pair.pk}/",
        *(f"{round}/{name}/" for name in ("pairs", "votes", "notes")),
        f"/annotators/{ben.pk}/votes/",
    ]


def test_they_exist_for_leads_alone(pair, ana, ben, lea):
    for address in addresses(pair, ben):
        assert browser_of(ana).get(address).status_code == 404
        assert browser_of(None).get(address).status_code == 302
        page_of(lea, address)
    for missing in ("/pairs/999999/", "/rounds/999999/pairs/", "/annotators/999999/votes/"):
        assert browser_of(lea).get(missing).status_code == 404


def test_a_pairs_page_says_who_said_what_and_what_came_of_it(pair, ana, ben, lea):
    page = page_of(lea, f"/pairs/{pair.pk}/")
    assert "the chin &lt;b&gt;melts&lt;/b&gt;" in page and "Face shape; Something breaks" in page
    slot = Slot.objects.get(annotator=ben)
    sample = "first" if slot.first_on_left else "second"
    assert f'data-frame="7">{sample} video, frame 7</button>' in page
    assert "25%, 8.1 s, at 0.5×" in page
    assert page.count("the result is first") == 1, "Ben's vote is unlike the result"
    for person in (ana, ben):
        assert f'<a href="/annotators/{person.pk}/">{person.username}</a>' in page
    assert "It is in no export:" in page and "Nobody has judged it on this track yet." in page
    assert "3 votes are still to come" in page


def test_it_follows_a_revision_and_a_disqualification(pair, ben, lea):
    slot = Slot.objects.get(annotator=ben)
    revise_judgment(ben, slot.lease, "tie", idempotency_key=uuid4())
    disqualify(ben, "clicks", lea)
    page = page_of(lea, f"/pairs/{pair.pk}/")
    assert "changed 1 time<" in page and "does not count" in page


def test_why_a_pair_is_not_exported_or_where_it_is(pair, lea):
    assert queries.why_not_exported(pair) == ["waiting for controllability (0 of 3 votes)"]
    for _ in range(3):
        vote(pair, Track.CONTROLLABILITY, Verdict.FIRST)
    pair = VideoPair.objects.get(pk=pair.pk)
    assert queries.why_not_exported(pair) == []
    assert "the next one of the round" in page_of(lea, f"/pairs/{pair.pk}/")
    export = export_round(pair.round)
    assert f'<a href="/exports/{export.pk}/">' in page_of(lea, f"/pairs/{pair.pk}/")
    group = pair.instance.group
    group.consent_uses = ["show"]
    group.save()
    page = page_of(lea, f"/pairs/{pair.pk}/")
    assert f"{group.name} did not agree to training" in page and "made now would leave it out" in page


def test_pairs_are_found_by_state_and_number(pair, lea):
    other = make_pair(pair.round)
    page = page_of(lea, f"/rounds/{pair.round_id}/pairs/")
    assert f'<a href="/pairs/{pair.pk}/">' in page
    assert "No pair of this round is dominant." in page_of(
        lea, f"/rounds/{pair.round_id}/pairs/?state=dominant"
    )
    assert (
        browser_of(lea).get(f"/rounds/{pair.round_id}/pairs/?number={other.pk}").url == f"/pairs/{other.pk}/"
    )
    for wrong in ("999999", "abc", "9" * 40, "-1"):
        assert f"has no pair {wrong}" in page_of(lea, f"/rounds/{pair.round_id}/pairs/?number={wrong}")
    foreign = make_pair(make_round(name="another"))
    assert "has no pair" in page_of(lea, f"/rounds/{pair.round_id}/pairs/?number={foreign.pk}")
    assert queries.neighbours(pair) == (None, other.pk) and queries.neighbours(other) == (pair.pk, None)


def test_votes_of_a_round_go_on_after_the_last_that_was_shown(pair, lea, monkeypatch):
    monkeypatch.setattr("annotate.review.views.ROWS_PER_PAGE", 2)
    address = f"/rounds/{pair.round_id}/votes/"
    first = browser_of(lea).get(address)
    second = browser_of(lea).get(address, {"after": first.context["part"].after})
    shown = [vote.slot.pk for answer in (first, second) for vote in answer.context["votes"]]
    assert shown == list(
        Slot.objects.exclude(judged_at=None).order_by("-judged_at", "-pk").values_list("pk", flat=True)
    )
    assert second.context["part"].after is None
    for wrong in (
        '["yesterday", 1]',
        '["2026-01-01", 1]',
        "[1, 2]",
        "{}",
        '["2026-01-01T00:00:00+00:00", "x"]',
    ):
        assert browser_of(lea).get(address, {"after": wrong}).context["part"].is_first, wrong
    assert page_of(lea, f"{address}?track=controllability").count("No vote is like that.") == 1


@pytest.mark.parametrize(
    ("only", "number"), [("", 1), ("told", 1), ("differs", 1), ("gold", 0), ("nonsense", 1)]
)
def test_an_annotators_votes_are_narrowed(pair, ben, lea, only, number):
    answer = browser_of(lea).get(f"/annotators/{ben.pk}/votes/", {"only": only})
    assert len(answer.context["votes"]) == number


def test_whoever_agrees_and_tells_nothing_is_in_neither(pair, ana):
    for only in ("told", "differs"):
        assert not queries.votes_of(annotator=ana, only=only).exists()


def test_reasons_are_counted_once_per_vote_that_stands(pair, ben, ana, lea):
    expected = [("Face shape", 1), ("Something breaks", 1)]
    assert [(row["reason"], row["votes"]) for row in queries.reasons_in(pair.round)] == expected
    page = page_of(lea, f"/rounds/{pair.round_id}/notes/?reason=Face+shape")
    assert "melts" in page and "Show all" in page
    assert "No vote gives this reason." in page_of(lea, f"/rounds/{pair.round_id}/notes/?reason=Other")
    revise_judgment(ben, Slot.objects.get(annotator=ben).lease, "tie", idempotency_key=uuid4())
    assert queries.reasons_in(pair.round) == [] and not queries.told_in(pair.round).exists()
    assert "Nobody has given a reason." in page_of(lea, f"/rounds/{pair.round_id}/notes/")


def test_many_notes_are_counted_by_a_worker(pair, lea, monkeypatch):
    monkeypatch.setattr(queries, "QUICK_NOTES", 0)
    address = f"/rounds/{pair.round_id}/notes/"
    assert "A worker looks" in page_of(lea, address)
    do_jobs()
    assert "Something breaks</a>" in page_of(lea, address)


def test_gold_is_marked_and_in_no_list_of_pairs(pair, lea):
    make_gold(pair.round)
    gold = GoldPair.objects.select_related("pair").earliest("pk").pair
    assert queries.why_not_exported(gold) == ["its answer is known: it is gold"]
    assert '<span class="state">gold</span>' in page_of(lea, f"/pairs/{gold.pk}/")
    assert list(queries.pairs_of(pair.round, "")) == [pair] and queries.neighbours(pair) == (None, None)


def test_what_is_shown_is_a_file_for_spreadsheets_in_which_nothing_is_a_formula(pair, ana, ben, lea):
    other = make_pair(pair.round)
    User.objects.filter(pk=ana.pk).update(username="=HYPERLINK(1)")
    answer = browser_of(lea).get(f"/rounds/{pair.round_id}/votes/?format=csv&track=identity")
    name = f"votes-of-round-{pair.round_id}.csv"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [row["verdict"] for row in rows] == ["first", "second", "first"]
    assert rows[1]["annotator"] == ben.username and rows[1]["reasons"] == "Face shape; Something breaks"
    assert (rows[1]["watched"], rows[1]["result"], rows[1]["counts"]) == ("0.25", "first", "True")
    assert rows[2]["annotator"] == "'=HYPERLINK(1)"
    answer = browser_of(lea).get(f"/rounds/{pair.round_id}/pairs/?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode())))
    assert [int(row["pair"]) for row in rows] == [pair.pk, other.pk] and rows[1]["state"] == ""
    assert int(rows[0]["first_seed"]) == pair.first.seed
    assert browser_of(ana).get(f"/rounds/{pair.round_id}/pairs/?format=csv").status_code == 404
    answer = browser_of(lea).get(f"/annotators/{ben.pk}/votes/?format=csv&only=told")
    assert len(answer.content.splitlines()) == 2, "a header and a vote"
