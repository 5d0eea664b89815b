"""Whose videos are made first: a number of each round, which leads set."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from annotate.core.errors import RoundError
from annotate.models import AuditEvent, Round
from annotate.rounds.rounds import set_priority
from tests.annotate.conftest import browser_of
from tests.factories import make_model, make_round

pytestmark = pytest.mark.django_db


def test_leads_set_it_on_the_page(lea, ana):
    round = make_round()
    address = f"/rounds/{round.pk}/priority/"
    assert browser_of(ana).post(address, {"priority": "9"}).status_code == 404
    assert browser_of(lea).get(address).status_code == 405
    assert browser_of(lea).post(address, {"priority": "9"}).status_code == 302
    assert Round.objects.get(pk=round.pk).priority == 9
    assert AuditEvent.objects.get(verb="set_priority").detail == {"priority": 9}
    for wrong in ("10", "-1", "high", ""):
        page = browser_of(lea).post(address, {"priority": wrong}, follow=True)
        assert "give a number from 0 (last) to 9" in page.content.decode(), wrong
    assert 'value="9"' in browser_of(lea).get(f"/rounds/{round.pk}/").content.decode()


def test_a_round_starts_with_it():
    policy = make_model()
    call_command("start_round", "urgent", "--policy", policy.name, "--priority", "8")
    call_command("start_round", "plain", "--policy", policy.name)
    assert dict(Round.objects.values_list("name", "priority")) == {"urgent": 8, "plain": 5}
    with pytest.raises(RoundError, match="from 0"):
        set_priority(Round.objects.first(), 10)
