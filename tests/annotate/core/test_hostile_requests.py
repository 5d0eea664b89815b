"""What attackers and broken programs send gets its right status, cheaply, and never a server error."""

from __future__ import annotations

import json
from http import HTTPStatus
from itertools import product

import pytest
from django.conf import settings
from django.test import Client
from rest_framework.authtoken.models import Token

from annotate.judging.views import media_url
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_pair
from tests.votes import next_slot

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

LONG = "9" * 5000
DEEP = "[" * 100_000 + "]" * 100_000


def quiet(user=None) -> Client:
    """A browser that gets the 500 that a server would send."""
    client = browser_of(user)
    client.raise_request_exception = False
    return client


@pytest.fixture
def video(ana) -> tuple[str, int]:
    """The address of a video that Ana holds, and its size."""
    make_pair()
    slot = next_slot(ana, Track.IDENTITY)
    address = media_url(slot.lease, "left")
    return address, len(b"".join(browser_of(ana).get(address)))


# -- media ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "credentials", ["Token", "Token no-such-token", "Token a b", "Token \xe9", f"Token {LONG}"]
)
def test_an_invalid_token_is_refused_wherever_tokens_are_taken(video, credentials):
    for address in (video[0], "/media/samples/1", "/api/rounds/"):
        answer = quiet().get(address, headers={"Authorization": credentials})
        assert answer.status_code == 401, address
        assert answer.headers["WWW-Authenticate"] == "Token"


def test_the_token_of_somebody_who_is_inactive_opens_nothing(video, ana):
    token = Token.objects.create(user=ana)
    headers = {"Authorization": f"Token {token.key}"}
    assert quiet().get(video[0], headers=headers).status_code == 200
    ana.is_active = False
    ana.save()
    assert quiet().get(video[0], headers=headers).status_code == 401
    assert quiet().get(video[0]).status_code == 404


def test_every_range_gets_what_it_asks_for(video, ana):
    address, size = video
    whole = b"".join(browser_of(ana).get(address))
    parts = {
        "bytes=0-0": whole[:1],
        "bytes=1-": whole[1:],
        "bytes=-1": whole[-1:],
        f"bytes=-{size + 5}": whole,
        f"bytes=2-{LONG}": whole[2:],
        f"bytes=-{LONG}": whole,
        f"bytes=00000000000000000000000000000000{size - 1}-": whole[-1:],
    }
    for header, wanted in parts.items():
        answer = quiet(ana).get(address, headers={"Range": header})
        assert b"".join(answer) == wanted, header[:30]
        assert answer.headers["Content-Length"] == str(len(wanted))
        assert answer.status_code == (200 if wanted == whole else 206)
    for header in (f"bytes={LONG}-", "bytes=-0", "bytes=-000", f"bytes={size}-", f"bytes={size}-{LONG}"):
        answer = quiet(ana).get(address, headers={"Range": header})
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{size}"), header[:30]
    for header in ("bytes=5-3", "bytes=-", "bytes=", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", "bytes=٣-"):
        answer = quiet(ana).get(address, headers={"Range": header.encode().decode("latin-1")})
        assert (answer.status_code, b"".join(answer)) == (200, whole), header


# -- bodies -----------------------------------------------------------------------------------------


class Unread:
    """A body that may be announced, and must not be read."""

    def read(self, *size: int) -> bytes:
        raise AssertionError("the body was read")

    readline = read


FORMS = ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/json"]


@pytest.mark.parametrize(
    "path", ["/login/", "/", "/api/tracks/identity/lease/", "/nowhere/", "/admin/login/"]
)
def test_a_body_that_is_too_large_is_refused_unread(path):
    for content_type, length in product(FORMS, [str(150_000_000), LONG]):
        announced = {"wsgi.input": Unread(), "CONTENT_LENGTH": length}
        answer = quiet().generic("POST", path, content_type=content_type, **announced)
        assert answer.status_code == HTTPStatus.REQUEST_ENTITY_TOO_LARGE, content_type
        assert b"bytes" in answer.content


def test_a_body_of_the_largest_size_is_read():
    body = b"username=" + b"x" * (settings.DATA_UPLOAD_MAX_MEMORY_SIZE - 9)
    answer = quiet().generic("POST", "/login/", body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(DEEP, id="deep lists"),
        pytest.param('{"a":' * 100_000 + "1" + "}" * 100_000, id="deep objects"),
        pytest.param("[" * 900 + "]" * 900, id="deeper than anybody reads"),
        pytest.param(LONG, id="a long number"),
        pytest.param('{"round": ' + LONG + "}", id="a long number inside"),
        pytest.param('{"round": 1e999}', id="an infinite number"),
        pytest.param('{"round": NaN}', id="no number"),
        pytest.param('{"round": "\\u0000"}', id="a null character"),
        pytest.param('{"\\ud800": "\\ud800"}', id="half a character"),
        pytest.param("\x00\xff", id="no text"),
        pytest.param("", id="nothing"),
    ],
)
def test_no_json_makes_a_server_error(ana, lea, video, body):
    lease = video[0].split("/")[2]
    paths = ["/api/token/", "/api/tracks/identity/lease/", f"/api/leases/{lease}/judgment/"]
    for path, person in product(paths, (ana, lea)):
        machine = machine_of(person)
        machine.raise_request_exception = False
        answer = machine.generic(
            "POST", path, body.encode("utf-8", "replace"), content_type="application/json"
        )
        assert answer.status_code < 500, (path, answer.content[:200])
        if body.startswith(("[[", '{"a":{')):
            assert answer.status_code == 400 and "nested" in answer.content.decode(), path


@pytest.mark.parametrize("field", ["evidence", "breaks"])
@pytest.mark.parametrize("value", [DEEP, LONG, "NaN", '{"\\u0000": 1}', '{"guideline_version": "\\ud800"}'])
def test_no_json_in_a_form_makes_a_server_error(ana, video, field, value):
    lease = video[0].split("/")[2]
    form = {"lease": lease, "idempotency_key": lease, "choice": "left", field: value}
    answer = quiet(ana).post("/judge/identity/", form)
    assert 400 <= answer.status_code < 500


# -- everything else that is parsed -----------------------------------------------------------------

ADDRESSES = ["/", "/login/", "/people/", "/annotators/", "/rounds/", "/judge/identity/", "/api/rounds/"]
STRANGE = [
    LONG,
    "-1",
    "1e9",
    "\0",
    "\ud800".encode("utf-16", "surrogatepass").decode("latin-1"),
    "'",
    "%",
    "é",
]


@pytest.mark.parametrize("value", STRANGE, ids=range(len(STRANGE)))
def test_nothing_in_an_address_makes_a_server_error(lea, value):
    names = [
        "page",
        "limit",
        "offset",
        "format",
        "round",
        "track",
        "candidate",
        "next",
        "ahead_of",
        "q",
        "export",
    ]
    for address in ADDRESSES:
        answer = quiet(lea).get(address, dict.fromkeys(names, value))
        assert answer.status_code < 500, (address, value[:20])


@pytest.mark.parametrize("number", [LONG, str(2**63), str(2**31), "0", "%00", "²"], ids=range(6))
def test_no_number_in_a_path_makes_a_server_error(lea, number):
    paths = ["/people/{}/", "/rounds/{}/", "/rounds/{}/launch/", "/runs/{}/", "/pairs/{}/adjudicate/"]
    paths += ["/media/samples/{}", "/media/references/{}/poster", "/media/runs/{0}/{0}/{0}", "/models/{}/"]
    paths += ["/api/rounds/{}/", "/api/exports/{}/json/", "/api/judgment-files/{}/", "/exports/{}/"]
    paths += ["/enter/{}/", "/annotators/{}/", "/studies/{}/", "/judge/{}/", "/admin/annotate/run/{}/change/"]
    for path in paths:
        assert quiet(lea).get(path.format(number)).status_code in (302, 404, 405), path


@pytest.mark.parametrize(
    "cookie",
    [
        'sessionid="abcdefghijk\\000"',
        f"sessionid={LONG}",
        "sessionid=\xff\xfe\xfa",
        'csrftoken="\\000"; messages="\\000"',
        f"messages={LONG}",
        "=; ;;; a",
    ],
    ids=range(6),
)
def test_no_cookie_makes_a_server_error(lea, cookie):
    for address in ("/", "/login/", "/people/", "/api/rounds/"):
        assert quiet().get(address, headers={"Cookie": cookie}).status_code < 500, address
    assert quiet().post("/login/", {"username": "a"}, headers={"Cookie": cookie}).status_code < 500


@pytest.mark.parametrize(
    "headers",
    [
        {"Accept": f"text/html;q={LONG}"},
        {"Accept": ";;;/,=", "Accept-Language": LONG},
        {"If-Modified-Since": LONG, "If-None-Match": LONG},
        {"HX-Request": "true", "HX-Current-URL": "http://[", "Referer": "http://["},
        {"X-Forwarded-For": LONG, "Origin": "http://["},
        {"Host": "a b"},
    ],
    ids=range(6),
)
def test_no_header_makes_a_server_error(lea, headers):
    for address in ("/", "/login/", "/people/", "/api/rounds/", "/healthz"):
        assert quiet(lea).get(address, headers=headers).status_code < 500, address
        assert quiet(lea).post(address, headers=headers).status_code < 500, address


@pytest.mark.parametrize("charset", ["hex", "zip", "undefined", "idna", "no-such", "utf-16"])
@pytest.mark.parametrize(
    "kind", ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_no_charset_makes_a_server_error(ana, charset, kind):
    for path in ("/login/", "/api/token/", "/judge/identity/"):
        body = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n'
        content_type = f"{kind}; charset={charset}; boundary=x"
        answer = quiet(ana).generic("POST", path, body, content_type=content_type)
        assert answer.status_code < 500, path


def test_a_form_of_very_many_fields_is_refused(ana):
    body = "&".join(f"a{number}=1" for number in range(5000))
    answer = quiet(ana).generic("POST", "/login/", body, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 400


def test_a_null_character_in_a_form_and_in_a_header_is_refused_in_words(ana):
    browser, credentials = quiet(ana), {"Authorization": "Token a\0b"}
    for answer in (
        browser.post("/login/", {"username": "a\0b"}),
        browser.get("/api/rounds/", headers=credentials),
    ):
        assert answer.status_code == 400 and b"cannot be stored" in answer.content


def test_json_is_as_it_was(ana):
    make_pair()
    answer = machine_of(ana).post("/api/tracks/identity/lease/", {}, format="json")
    assert answer.status_code == 200 and json.loads(answer.content)["lease"]
