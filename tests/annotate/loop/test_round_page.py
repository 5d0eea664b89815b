"""The page of a round."""

from __future__ import annotations

import re

import pytest

from annotate.models import Run, RunStatus
from annotate.rounds.sampling import queue_sampling
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_pair, make_round
from tests.votes import vote

pytestmark = pytest.mark.django_db


def test_a_lead_advances_cancels_and_retries(lea, ana, monkeypatch):
    sent: list[str] = []
    monkeypatch.setattr("annotate.jobs.tasks.send_shards.delay_on_commit", lambda: sent.append("shards"))
    pair = make_pair(is_made=False)
    lead = browser_of(lea)
    assert browser_of(ana).post(f"/rounds/{pair.round_id}/advance/").status_code == 404
    assert lead.get(f"/rounds/{pair.round_id}/advance/").status_code == 405
    lead.post(f"/rounds/{pair.round_id}/advance/")
    assert not Run.objects.exists(), "a worker does it"
    assert do_jobs().outcome == "Sampling is queued."
    run = Run.objects.get()
    assert sent == ["shards"]
    for person, status in ((None, 302), (ana, 404), (lea, 200)):
        assert browser_of(person).get(f"/runs/{run.pk}/").status_code == status
    for person, status in ((ana, 404), (lea, 302)):
        assert browser_of(person).post(f"/runs/{run.pk}/cancel/").status_code == status
    run.refresh_from_db()
    assert run.status == RunStatus.CANCELLED
    lead.post(f"/runs/{run.pk}/retry/")
    assert sent == ["shards", "shards"]


def test_a_live_round_is_polled_and_a_resting_one_is_not(lea):
    pair = make_pair(is_made=False)
    page = f"/rounds/{pair.round_id}/"
    assert "every 2s" not in browser_of(lea).get(page).content.decode()
    queue_sampling(pair.round)
    assert "every 2s" in browser_of(lea).get(page).content.decode()
    part = browser_of(lea).get(page, headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in part


def test_a_poll_is_answered_with_nothing_until_something_is_new(lea):
    pair = make_pair()
    queue_sampling(make_pair(pair.round, is_made=False).round)
    browser, page = browser_of(lea), f"/rounds/{pair.round_id}/"
    polled = {"HX-Request": "true"}

    def address() -> str:
        found = re.search(r'hx-get="([^"]+)" hx-trigger="every', browser.get(page).content.decode())
        assert found is not None
        return found[1]

    seen = address()
    assert browser.get(seen, headers=polled).status_code == 204
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    assert browser.get(seen, headers=polled).status_code == 200
    seen = address()
    assert browser.get(seen, headers=polled).status_code == 204
    Run.objects.update(status=RunStatus.CANCELLED)
    assert browser.get(seen, headers=polled).status_code == 200


def test_rounds_are_listed_in_parts(lea, monkeypatch):
    monkeypatch.setattr("annotate.loop.views.ROUNDS_PER_PAGE", 2)
    names = [make_round().name for _ in range(5)]
    browser, address, found = browser_of(lea), "/rounds/", []
    while address:
        answer = browser.get(address)
        found.append([item["round"].name for item in answer.context["rounds"]])
        older = answer.context["part"].after
        address = f"/rounds/?after={older}" if older else ""
    assert found == [names[:2:-1], names[2:0:-1], names[:1]]
    assert browser.get("/rounds/?after=x").context["part"].is_first
