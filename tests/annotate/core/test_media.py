"""Media are served to whoever holds the lease, whole or in part, and to nobody else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from rest_framework.authtoken.models import Token

from annotate.models import Slot
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.factories import make_pair
from tests.votes import next_slot

pytestmark = pytest.mark.django_db


@pytest.fixture
def url(ana):
    make_pair()
    slot = next_slot(ana, Track.IDENTITY)
    return f"/media/{slot.lease}/left"


def content(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def test_it_serves_the_whole_file(ana, url):
    response = browser_of(ana).get(url)
    whole = content(response)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "video/mp4"
    assert int(response.headers["Content-Length"]) == len(whole)
    assert whole[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("span", "start", "stop"), [("bytes=0-99", 0, 100), ("bytes=10-", 10, None), ("bytes=-7", -7, None)]
)
def test_it_serves_a_part(ana, url, span, start, stop):
    browser = browser_of(ana)
    whole = content(browser.get(url))
    response = browser.get(url, headers={"Range": span})
    assert response.status_code == 206
    assert content(response) == whole[start:stop]
    first = start % len(whole)
    last = (stop or len(whole)) - 1
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"


def test_it_refuses_a_part_beyond_the_end(ana, url):
    assert browser_of(ana).get(url, headers={"Range": "bytes=99999999-"}).status_code == 416


def test_a_stranger_learns_nothing(ana, ben, lea, url):
    for person in (ben, lea, None):
        assert browser_of(person).get(url).status_code == 404


def test_a_token_opens_what_its_owner_holds(ana, ben, url):
    mine, other = (Token.objects.create(user=user).key for user in (ana, ben))
    browser = browser_of(None)
    assert browser.get(url, headers={"Authorization": f"Token {mine}"}).status_code == 200
    assert browser.get(url, headers={"Authorization": f"Token {other}"}).status_code == 404


def test_an_expired_lease_opens_nothing(ana, url):
    Slot.objects.exclude(lease=None).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
    assert browser_of(ana).get(url).status_code == 404


def test_only_leads_look_at_rows_by_number(ana, lea, url):
    sample = Slot.objects.exclude(lease=None).get().pair.first
    assert browser_of(lea).get(f"/media/samples/{sample.pk}").status_code == 200
    for person in (ana, None):
        assert browser_of(person).get(f"/media/samples/{sample.pk}").status_code == 404


def test_it_only_reads(ana, url):
    assert browser_of(ana).post(url).status_code == 405
