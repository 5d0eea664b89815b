"""Blinding: nothing that reaches an annotator says where a video came from, or that its answer is known."""

from __future__ import annotations

import hashlib
import io
import time
from email.utils import parsedate_to_datetime

import av
import pytest
from django.db import connection

from annotate.models import VideoPair
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.annotate.received import body, responses_of
from tests.factories import make_group, make_instance, make_model, make_pair, make_reference, make_round
from tests.votes import next_slot

pytestmark = pytest.mark.django_db

#: Tables whose row numbers nobody may see; numbered so that a number can be told from any other digits.
TABLES = (
    "videosample",
    "videopair",
    "slot",
    "round",
    "modelversion",
    "instance",
    "reference",
    "identitygroup",
    "judgment",
    "preferencepair",
)
#: What every MP4 file says of itself; anything else would be somebody's note.
CONTAINER_FACTS = {"major_brand", "minor_version", "compatible_brands", "encoder"}
STREAM_FACTS = {"language", "handler_name", "vendor_id", "encoder"}


@pytest.fixture
def pair() -> VideoPair:
    """A gold pair of which everything has a name or a number that occurs nowhere else."""
    with connection.cursor() as cursor:
        for number, table in enumerate(TABLES, start=1):
            cursor.execute(f"ALTER SEQUENCE annotate_{table}_id_seq RESTART WITH {7_531_000_000 + number}")
    group = make_group(name="zephyrine-quux", source="wombat-archive", licence="LicenceRef-Okapi")
    instance = make_instance(group, num_references=3, clothing="a vermilion cape")
    make_reference(group, source_name="tamarind.mp4")
    policy = make_model(
        name="axolotl-7", base_model="basilisk/base", weights_sha256="ab" * 32, adapter_path=""
    )
    round = make_round(name="monsoon-3", policy=policy)
    verdicts = {"identity": "first", "controllability": "second"}
    pair = make_pair(round, instance, gold_verdicts=verdicts)
    for number, sample in enumerate((pair.first, pair.second)):
        sample.seed = 918_273_640 + number
        sample.save()
    return pair


def known(pair: VideoPair, track: Track) -> set[str]:
    """Every identifier of a pair, as text."""
    instance, policy = pair.instance, pair.round.policy
    found = {"gold", "vermilion"} if track == Track.IDENTITY else {"gold"}
    found |= {pair.round.name, policy.name, policy.base_model, policy.weights_sha256}
    found |= {instance.group.name, instance.group.source, instance.group.licence, instance.digest}
    found |= {str(row.pk) for row in (pair, pair.round, policy, instance, instance.group)}
    found |= {str(slot.pk) for slot in pair.slots.all()}
    for sample in (pair.first, pair.second):
        found |= {str(sample.pk), str(sample.seed), sample.sha256, sample.path, sample.settings_digest}
        found.add(sample.path.split("/")[-1])
    for reference in instance.group.references.all():
        found |= {
            str(reference.pk),
            reference.source_name,
            reference.path,
            reference.sha256,
            reference.poster,
        }
    return found


@pytest.mark.parametrize("track", list(Track))
def test_nothing_that_reaches_an_annotator_says_where_a_video_came_from(ana, pair, track, way):
    """Grep pages, API and every media answer, headers and bytes, for every known identifier."""
    way.begin()
    secrets, begun = known(pair, track), int(time.time())
    seen = set()
    for name, response, content in responses_of(ana, track, way):
        seen.add(f"{name.split('/')[-1]} {response.status_code}")
        assert_bucket_says_only_what_the_bytes_do(response, content, begun)
        text = "\n".join(f"{key}: {value}" for key, value in response.headers.items()).lower().encode()
        text += b"\n" + content.lower()
        for secret in secrets:
            assert secret.lower().encode() not in text, f"{secret!r} is in {name} of the {track} track"
        for header in ("ETag", "Last-Modified", "Content-Disposition", "X-Accel-Redirect"):
            assert header not in response.headers, name
    wanted = {"lease 200", "page 200", "fragment 200", "ahead 204", "left 200", "right 200", "hidden 404"}
    wanted |= {"left in part 206", "right in part 206"}
    assert wanted | {"judged 201", "twice 409", "undo 200", "revised 200", "home 200"} <= seen


def assert_bucket_says_only_what_the_bytes_do(response, content, begun):
    """Take from an answer what a bucket adds: hashes of the bytes beside it, and the time of the lease.

    Nobody can keep a bucket from adding them, and whoever has the bytes knows them anyway.
    """
    if not response.headers.get("Server", "").startswith("SeaweedFS"):
        return
    names = ("Last-Modified", "ETag", "Seaweed-X-Amz-ETag", "X-Amz-Meta-sha256")
    made, etag, repeated, sha256 = (response.headers[name] for name in names)
    assert begun <= parsedate_to_datetime(made).timestamp() <= time.time(), "the copy is of this lease"
    if response.status_code == 200:
        assert etag.strip('"') == repeated == hashlib.md5(content).hexdigest()
        assert sha256 == hashlib.sha256(content).hexdigest()
    for name in names:
        del response.headers[name]


@pytest.mark.parametrize("track", list(Track))
def test_media_carry_no_note_and_both_sides_have_the_same_headers(ana, pair, track):
    slot = next_slot(ana, track)
    headers = []
    for side in ("left", "right"):
        response = browser_of(ana).get(f"/media/{slot.lease}/{side}")
        with av.open(io.BytesIO(body(response))) as container:
            assert set(container.metadata) <= CONTAINER_FACTS
            assert set(container.streams.video[0].metadata) <= STREAM_FACTS
        headers.append({key: value for key, value in response.headers.items() if key != "Content-Length"})
    assert headers[0] == headers[1]
