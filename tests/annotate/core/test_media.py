"""Media are served to whoever holds the lease, whole or in part, and to nobody else."""

from __future__ import annotations

import re
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone
from rest_framework.authtoken.models import Token

from annotate.judging.tracks import shown_file
from annotate.models import Slot
from annotate.storage.leased_copies import LEASED, SPARE_S, remove_leased_copies
from annotate.storage.opening import site_storage
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.annotate.deliveries import clips_into_site_storage
from tests.factories import make_pair
from tests.object_store import CREDENTIALS
from tests.votes import next_slot

pytestmark = pytest.mark.django_db


@pytest.fixture
def url(ana):
    make_pair()
    slot = next_slot(ana, Track.IDENTITY)
    return f"/media/{slot.lease}/left"


def content(response) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def received(way, person, url, byte_range=""):
    """What the browser has in the end."""
    headers = {"Range": byte_range} if byte_range else {}
    *_, last = way.received(browser_of(person).get(url, headers=headers), byte_range)
    return last


def test_it_serves_the_whole_file(ana, url, way):
    way.begin()
    response = received(way, ana, url)
    whole = content(response)
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "video/mp4"
    assert int(response.headers["Content-Length"]) == len(whole)
    assert whole[4:8] == b"ftyp"


@pytest.mark.parametrize(
    ("span", "start", "stop"), [("bytes=0-99", 0, 100), ("bytes=10-", 10, None), ("bytes=-7", -7, None)]
)
def test_it_serves_a_part(ana, url, way, span, start, stop):
    way.begin()
    whole = content(received(way, ana, url))
    response = received(way, ana, url, span)
    assert response.status_code == 206
    assert content(response) == whole[start:stop]
    first = start % len(whole)
    last = (stop or len(whole)) - 1
    assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole)}"


def test_it_refuses_a_part_beyond_the_end(ana, url, way):
    way.begin()
    assert received(way, ana, url, "bytes=99999999-").status_code == 416


def test_a_clip_may_be_kept_while_its_lease_lasts(ana, url, way):
    """Prefetched clips need not be fetched again; no longer than that, nor by anybody in between."""
    way.begin()
    left = Slot.objects.exclude(lease=None).get().lease_expires_at - timezone.now()
    first, *_ = way.received(browser_of(ana).get(url), "")
    kept = re.fullmatch(r"private, max-age=([0-9]+)", first.headers["Cache-Control"])
    assert kept and left.total_seconds() - 60 < int(kept[1]) <= left.total_seconds() + 1


def test_what_is_not_in_the_storage_is_not_found(ana, url, way):
    """Nothing was brought into the bucket; of the folder, the file is taken away."""
    path = Path(settings.STORAGE_ROOT, shown_file(Slot.objects.exclude(lease=None).get(), "left"))
    away = path.with_suffix(".away")
    path.rename(away)
    try:
        assert browser_of(ana).get(url).status_code == 404
    finally:
        away.rename(path)


@pytest.fixture
def bucket(settings, object_store):
    """The clips in a bucket, to which browsers are sent."""
    settings.STORAGE, settings.STORAGE_CREDENTIALS = object_store.address(), CREDENTIALS
    settings.MEDIA_DELIVERY = "redirect"
    return site_storage()


def test_an_address_of_the_bucket_ends_with_the_lease(ana, url, bucket):
    clips_into_site_storage()
    Slot.objects.exclude(lease=None).update(lease_expires_at=Now() + timedelta(seconds=2.9))
    address = browser_of(ana).get(url).headers["Location"]
    assert parse_qs(urlsplit(address).query)["X-Amz-Expires"] == ["2"]
    assert requests.get(address, timeout=20).status_code == 200
    time.sleep(3.1)
    assert requests.get(address, timeout=20).status_code == 403
    assert browser_of(ana).get(url).status_code == 404


def test_an_address_of_the_bucket_opens_one_file_and_nothing_else(ana, url, bucket):
    clips_into_site_storage()
    address = urlsplit(browser_of(ana).get(url).headers["Location"])
    other = address._replace(path=f"{address.path.rpartition('/')[0]}/{'0' * 32}")
    for changed in (
        other,
        address._replace(path=address.path.rpartition("/")[0]),
        address._replace(query=""),
    ):
        assert requests.get(changed.geturl(), timeout=20).status_code == 403
    assert requests.put(address.geturl(), b"other", timeout=20).status_code == 403


def test_copies_go_when_their_leases_have_ended(ana, url, bucket, settings):
    clips_into_site_storage()
    browser_of(ana).get(url)
    assert remove_leased_copies(bucket) == 0 and len(list(bucket.list(LEASED))) == 1
    settings.LEASE_S = -SPARE_S - 1
    assert remove_leased_copies(bucket) == 1 and list(bucket.list(LEASED)) == []
    assert list(bucket.list("test")), "what was copied stays"


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
