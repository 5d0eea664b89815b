"""The pages of the numbers for leads."""

from __future__ import annotations

import pytest

from annotate.exports.freezing import export_round
from annotate.models import AnnotatorFlag, Disqualification
from annotate.quality.disqualification import settle
from annotate.quality.vote_statistics import compute_round
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.annotate.planted_votes import dominant_but_for, judge_all, left, truthful
from tests.factories import make_pair, make_round, make_user
from tests.votes import vote

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch) -> list[tuple[str, int]]:
    """What is handed to the workers."""
    sent: list[tuple[str, int]] = []
    for name in ("compute_figures", "settle_disqualification"):
        monkeypatch.setattr(
            f"annotate.quality.tasks.{name}.delay_on_commit", lambda pk, name=name: sent.append((name, pk))
        )
    return sent


@pytest.mark.parametrize(
    "address",
    [
        "/rounds/{round}/numbers/compute/",
        "/annotators/{ana}/disqualify/",
        "/annotators/{ana}/exports/{export}/rebuild/",
        "/flags/{flag}/review/",
    ],
)
def test_only_leads_decide(ana, ben, sent, address):
    round = dominant_but_for(ana, num_pairs=1)
    flag = AnnotatorFlag.objects.create(
        annotator=ana, round=round, track=Track.IDENTITY, kind="side", figure=1, chance=0, num_votes=1
    )
    address = address.format(round=round.pk, ana=ana.pk, export=export_round(round).pk, flag=flag.pk)
    assert browser_of(None).post(address).status_code == 302
    for person in (ana, ben):
        assert browser_of(person).post(address, {"reason": "x", "outcome": "fine"}).status_code == 404
    assert not sent and not Disqualification.objects.exists()


def test_a_page_never_waits_for_figures(lea, sent):
    round = make_round(votes_wanted=2)
    pair = make_pair(round)
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    page = f"/rounds/{round.pk}/numbers/"
    assert "Not computed yet" in browser_of(lea).get(page).content.decode()
    assert browser_of(lea).post(f"{page}compute/").status_code == 302
    assert sent == [("compute_figures", round.pk)]
    compute_round(round)
    shown = browser_of(lea).get(page).content.decode()
    assert "undefined because no pair has two votes" in shown and "have come or changed since" not in shown
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    shown = browser_of(lea).get(page).content.decode()
    assert "have come or changed since" in shown and "nan" not in shown.lower().split()


def test_a_flag_is_looked_at_and_closed(lea, sent):
    good, clicker = make_user("good"), make_user("clicker")
    round = make_round(votes_wanted=2)
    judge_all(round, {good: truthful, clicker: left}, num_pairs=20)
    compute_round(round)
    assert "picks left in 100% of 20" in browser_of(lea).get(f"/rounds/{round.pk}/numbers/").content.decode()
    assert "clicker" in browser_of(lea).get("/annotators/").content.decode()
    flag = AnnotatorFlag.objects.get(kind="side")
    browser_of(lea).post(f"/flags/{flag.pk}/review/", {"outcome": "ban"})
    assert AnnotatorFlag.objects.get(pk=flag.pk).outcome == ""
    browser_of(lea).post(f"/flags/{flag.pk}/review/", {"outcome": "talk", "note": "wrong keys"})
    page = browser_of(lea).get(f"/annotators/{clicker.pk}/").content.decode()
    assert "wrong keys" in page and "talked with the person" in page


def test_votes_are_left_out_and_an_export_is_rebuilt_from_the_page(lea, ana, sent):
    round = dominant_but_for(ana)
    old = export_round(round)
    lead, page = browser_of(lea), f"/annotators/{ana.pk}/"
    assert "the votes count" in lead.get(page).content.decode()
    assert lead.post(f"{page}disqualify/", {"reason": ""}).status_code == 422
    assert lead.post(f"{page}disqualify/", {"reason": "did not look"}).status_code == 302
    disqualification = Disqualification.objects.get()
    assert sent == [("settle_disqualification", disqualification.pk)]
    assert "2 pairs wait to be resolved" in lead.get(page).content.decode()
    settle(disqualification.pk)
    assert "Rebuild without" in lead.get(page).content.decode()
    lead.post(f"{page}exports/{old.pk}/rebuild/")
    do_jobs()
    assert f"superseded by export {old.superseded.by_export_id}" in lead.get(page).content.decode()
    assert "superseded" in lead.get(f"/rounds/{round.pk}/").content.decode()
    assert lead.post(f"{page}disqualify/", {"reason": "it was a mistake", "lift": "1"}).status_code == 302
    assert lead.post(f"{page}disqualify/", {"reason": "again", "lift": "1"}).status_code == 422
    assert "it was a mistake" in lead.get(page).content.decode()


def test_a_plan_says_what_it_can(lea, ana):
    round = make_round()
    page = f"/rounds/{round.pk}/plan/"
    assert "The pilot cannot say" in browser_of(lea).get(page).content.decode()
    round = dominant_but_for(ana, num_pairs=3)
    page = f"/rounds/{round.pk}/plan/"
    shown = browser_of(lea).get(f"{page}?wanted=100").content.decode()
    assert "100 exported pairs will take" in shown
    assert "no vote of this round recorded how long it took" in shown
    for wanted in ("0", "-5", "many", "", "1000001"):
        answer = browser_of(lea).get(page, {"wanted": wanted})
        assert answer.status_code == 422 and answer.content.decode().count('class="problem"') == 1
