"""The API: the same rules as the pages, for machines."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from django.core.cache import cache

from annotate.models import Judgment, Slot
from tests.annotate.conftest import browser_of, machine_of
from tests.factories import make_pair, make_round

pytestmark = pytest.mark.django_db


def lease(person, track="identity", **body):
    return machine_of(person).post(f"/api/tracks/{track}/lease/", body, format="json")


def judge(person, number, **body):
    body = {"choice": "left", "idempotency_key": str(uuid4())} | body
    return machine_of(person).post(f"/api/leases/{number}/judgment/", body, format="json")


def test_it_signs_in_with_name_and_password(ana):
    sent = {"username": "ana", "password": "a good password"}
    answer = machine_of(None).post("/api/token/", sent, format="json")
    headers = {"Authorization": f"Token {answer.json()['token']}"}
    make_pair()
    assert machine_of(None).post("/api/tracks/identity/lease/", headers=headers).status_code == 200
    assert machine_of(None).post("/api/token/", sent | {"password": "?"}, format="json").status_code == 400


def test_it_leases_and_judges(ana):
    pair = make_pair()
    task = lease(ana).json()
    assert judge(ana, task["lease"]).status_code == 201
    assert Judgment.objects.get().slot.pair == pair


def test_it_says_when_nothing_is_left(ana):
    assert lease(ana).status_code == 204


def test_it_leases_from_one_round(ana):
    make_pair()
    wanted = make_pair(make_round(may_be_chosen=True))
    lease(ana, round=wanted.round_id)
    assert Slot.objects.get(annotator=ana).pair == wanted
    assert lease(ana, round=10**6).status_code == 422


def test_a_repeated_judgment_counts_once(ana):
    make_pair()
    number, key = lease(ana).json()["lease"], str(uuid4())
    answers = [judge(ana, number, idempotency_key=key).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert Judgment.objects.count() == 1


@pytest.mark.parametrize(
    "body",
    [
        {"choice": "first"},
        {"choice": None},
        {"idempotency_key": "no uuid"},
        {"idempotency_key": 7},
        {"note": 7},
        {"evidence": [1, 2]},
        {"evidence": {"eye_colour": "brown"}},
        {"evidence": {"coverage": {"left": 1.1, "right": 1}}},
        {"evidence": {"coverage": {"left": "nan", "right": 1}}},
        {"evidence": {"coverage": {"left": 1, "right": 1, "references": [1] * 201}}},
        {"evidence": {"active_ms": -1}},
        {"reasons": ["x" * 201]},
        {"strength": "hugely"},
        {"breaks": [{"side": "first", "frame": 0}]},
    ],
)
def test_it_refuses_what_it_cannot_store(ana, body):
    make_pair()
    answer = judge(ana, lease(ana).json()["lease"], **body)
    assert answer.status_code == 400
    assert list(body)[0] in answer.json()
    assert not Judgment.objects.exists()


def test_a_conflict_is_told(ana, ben):
    make_pair()
    number = lease(ana).json()["lease"]
    assert judge(ben, number).status_code == 409
    assert judge(ben, number).json()["code"] == "lease_lost"
    given = judge(ana, number, choice="left").json()
    other = judge(ana, number, choice="right")
    assert other.status_code == 409
    assert other.json() == {
        "detail": "this pair already has your answer",
        "code": "already_judged",
        "stands": given,
    }
    assert Judgment.objects.count() == 1


def test_it_leases_ahead(ana):
    make_pair()
    make_pair()
    first = lease(ana).json()["lease"]
    second = lease(ana, ahead_of=first).json()["lease"]
    assert second != first
    assert lease(ana, ahead_of=second).status_code == 204
    assert lease(ana, ahead_of="soon").status_code == 400


def test_it_renews(ana, ben):
    make_pair()
    task = lease(ana).json()
    answer = machine_of(ana).post(f"/api/leases/{task['lease']}/")
    assert answer.status_code == 200 and answer.json()["expires_at"] > task["expires_at"]
    assert machine_of(ben).post(f"/api/leases/{task['lease']}/").status_code == 404


def test_it_takes_a_change_of_mind(ana, settings):
    make_pair()
    number = lease(ana).json()["lease"]
    address = f"/api/leases/{number}/judgment/"
    change = {"choice": "tie", "idempotency_key": str(uuid4())}
    assert machine_of(ana).put(address, change, format="json").status_code == 409
    judge(ana, number)
    answer = machine_of(ana).put(address, change, format="json")
    assert (answer.status_code, answer.json()["revision"]) == (200, 2)
    settings.UNDO_S = 0
    late = change | {"idempotency_key": str(uuid4())}
    assert machine_of(ana).put(address, late, format="json").status_code == 409


def test_it_shows_the_last_answer_while_it_can_be_changed(ana, ben, settings):
    make_pair()
    number = lease(ana).json()["lease"]
    address = "/api/tracks/identity/last/"
    assert machine_of(ana).get(address).status_code == 204
    judge(ana, number, choice="right", strength="slightly", breaks=[{"side": "left", "frame": 3}])
    last = machine_of(ana).get(address).json()
    assert (last["lease"]["lease"], last["choice"], last["strength"]) == (number, "right", "slightly")
    assert last["breaks"] == [{"side": "left", "frame": 3}]
    assert machine_of(ben).get(address).status_code == 204
    settings.UNDO_S = 0
    assert machine_of(ana).get(address).status_code == 204


@pytest.mark.parametrize("address", ["/api/", "/api/nowhere/", "/api/tracks/beauty/lease/"])
def test_an_unknown_address_is_refused_in_json(ana, address):
    answer = machine_of(ana).get(address)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_it_refuses_an_answer_about_what_was_not_watched(ana, settings):
    settings.WATCH_GATE = {"identity": 50, "controllability": 50}
    make_pair()
    number = lease(ana).json()["lease"]
    answer = judge(ana, number, evidence={"coverage": {"left": 1, "right": 0.25}})
    assert answer.status_code == 422
    assert "25 % of the right video" in answer.json()["detail"]
    assert judge(ana, number, evidence={"coverage": {"left": 1, "right": 0.5}}).status_code == 201


def test_it_refuses_what_does_not_fit(ana):
    make_pair()
    answer = judge(ana, lease(ana).json()["lease"], choice="tie", strength="clearly")
    assert answer.status_code == 422
    assert "favours no side" in answer.json()["detail"]


def test_it_releases(ana, ben):
    make_pair()
    number = lease(ana).json()["lease"]
    assert machine_of(ben).delete(f"/api/leases/{number}/").status_code == 404
    assert machine_of(ana).delete(f"/api/leases/{number}/").status_code == 204
    assert lease(ben).status_code == 200


@pytest.mark.parametrize("address", ["/api/rounds/", "/api/rounds/{}/", "/api/exports/"])
def test_rounds_exist_only_for_leads(ana, lea, address):
    address = address.format(make_round().pk)
    assert machine_of(lea).get(address).status_code == 200
    assert machine_of(ana).get(address).status_code == 404
    assert machine_of(None).get(address).status_code == 401


def test_a_round_shows_its_funnel(lea):
    pair = make_pair()
    funnel = machine_of(lea).get(f"/api/rounds/{pair.round_id}/").json()["funnel"]
    assert (funnel["pairs"], funnel["samples"], funnel["instances"]) == (1, 2, 1)


@pytest.mark.parametrize("address", ["/api/tracks/identity/lease/", f"/api/leases/{UUID(int=7)}/judgment/"])
def test_strangers_must_sign_in(db, address):
    assert machine_of(None).post(address).status_code == 401


def test_it_knows_two_tracks(ana):
    assert lease(ana, track="beauty").status_code == 404


def test_it_describes_itself(ana):
    answer = machine_of(ana).get("/api/schema/", headers={"Accept": "application/vnd.oai.openapi+json"})
    assert answer.status_code == 200
    assert "/api/tracks/{track}/lease/" in answer.content.decode()


def test_it_tells_machines_how_it_is(db):
    cache.clear()  # wanted votes are counted now and then
    make_pair()
    assert browser_of(None).get("/healthz").content == b"ok\n"
    assert browser_of(None).get("/readyz").json() == {"ready": True, "problems": []}
    assert 'annotate_open_slots{label="identity"} 1.0' in browser_of(None).get("/metrics").content.decode()
