"""Webhooks: written with the event, signed, tried again, and never a burden on judging."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from standardwebhooks import Webhook

from annotate.celery import app
from annotate.core.outgoing import check_url
from annotate.exports.freezing import export_round
from annotate.integrations import tasks as door_tasks
from annotate.integrations import webhooks
from annotate.jobs.runs import end_run
from annotate.judging.judgments import revise_judgment, submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import Run, RunStatus, WebhookEndpoint, WebhookEvent, WebhookMessage
from annotate.rounds.rounds import start_round
from annotate.rounds.sampling import queue_sampling
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.factories import make_model, make_pair, make_user
from tests.runs import claim

pytestmark = pytest.mark.django_db

NOBODY = "http://127.0.0.1:9/"  # the discard port: nothing listens there


class Receiver(HTTPServer):
    """A receiver on loopback that keeps what it is told, and answers with `status`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Keep)
        self.told: list[tuple[dict[str, str], bytes]] = []
        self.status = 204

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?of=tests"


class _Keep(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.told.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self.send_response(self.server.status)
        self.send_header("location", "http://127.0.0.1:9/")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Tests print nothing."""


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    server = Receiver()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def hook(url: str, lead: Any, *events: str) -> WebhookEndpoint:
    return webhooks.add_endpoint(url, events or WebhookEvent.values, lead)


def vote(person: Any, track: Track, choice: str = "left") -> Any:
    slot = lease_slot(person, track)
    assert slot is not None and slot.lease is not None
    submit_judgment(person, slot.lease, choice, idempotency_key=uuid4())
    return slot


def events() -> list[str]:
    return list(WebhookMessage.objects.order_by("id").values_list("event", flat=True))


def at_once() -> None:
    """As if every wait were over."""
    WebhookEndpoint.objects.update(resting_until=None)
    WebhookMessage.objects.exclude(next_attempt_at=None).update(next_attempt_at=timezone.now())


def test_a_pair_is_announced_once_a_change(ana, ben, lea, receiver):
    pair = make_pair()
    hook(receiver.url, lea, "pair.resolved")
    vote(ana, Track.IDENTITY)
    assert events() == []
    slot = vote(ben, Track.CONTROLLABILITY, "tie")
    pair.refresh_from_db()
    first = WebhookMessage.objects.get()
    assert first.data == {
        "pair": pair.pk,
        "round": pair.round_id,
        "joint_state": pair.preference.joint_state,
        "is_simulated": False,
    }
    # The same state again is no news; another one is.
    revise_judgment(ben, slot.lease, "tie", idempotency_key=uuid4())
    assert len(events()) == 1
    revise_judgment(ben, slot.lease, "both_bad", idempotency_key=uuid4())
    assert len(events()) == 2
    assert "ana" not in json.dumps(WebhookMessage.objects.last().data)


def test_what_is_rolled_back_is_never_told(lea, receiver):
    hook(receiver.url, lea)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        start_round("one", make_model())
        assert events() == ["round.started"]
        raise ZeroDivisionError
    assert events() == []


def test_rounds_and_exports_are_announced(ana, ben, lea, receiver):
    hook(receiver.url, lea)
    pair = make_pair(is_made=False)
    run = queue_sampling(pair.round)
    worker = uuid4()
    claim(run, worker)
    end_run(run, worker, RunStatus.FAILED, "out of memory")
    export = export_round(pair.round)
    assert events() == ["round.started", "round.failed", "export.ready"]
    assert WebhookMessage.objects.get(event="export.ready").data["export"] == export.pk
    dpo = Run.objects.create(round=pair.round, stage="dpo", ordinal=1, folder="x")
    Run.objects.filter(pk=dpo.pk).update(status=RunStatus.DONE, result={})
    assert events()[-1] == "round.finished"


def test_judging_asks_nothing_more_for_webhooks(ana, ben, lea, receiver):
    """Neither without an endpoint nor with one; the outbox is the database's own doing."""
    counts = []
    for _ in range(2):
        make_pair()
        vote(make_user(), Track.IDENTITY)
        slot = lease_slot(person := make_user(), Track.CONTROLLABILITY)
        with CaptureQueriesContext(connection) as asked:
            submit_judgment(person, slot.lease, "left", idempotency_key=uuid4())
        counts.append(len(asked))
        hook(receiver.url, lea, "pair.resolved")
    assert counts[0] == counts[1]
    assert events() == ["pair.resolved"]


def test_a_receiver_can_check_who_sent_and_drop_repeats(lea, receiver):
    endpoint = hook(receiver.url, lea)
    start_round("one", make_model())
    receiver.status = 500
    webhooks.deliver_due(endpoint.pk)
    receiver.status = 200
    at_once()
    assert webhooks.deliver_due(endpoint.pk) == 1
    (refused, first), (headers, second) = receiver.told
    assert first == second and refused["webhook-id"] == headers["webhook-id"]
    told = Webhook(endpoint.secret).verify(second, headers)
    assert (told["type"], list(told["data"])) == ("round.started", ["round"])
    message = WebhookMessage.objects.get()
    assert (message.state, message.attempts, message.answer) == ("delivered", 2, "200 OK")
    assert webhooks.deliver_due(endpoint.pk) == 0


def test_messages_leave_in_the_order_of_their_events(lea, receiver):
    endpoint = hook(receiver.url, lea)
    rounds = [start_round(name, make_model()).pk for name in "abcde"]
    assert webhooks.deliver_due(endpoint.pk) == 5
    assert [json.loads(body)["data"]["round"] for _, body in receiver.told] == rounds


def test_a_dead_receiver_is_left_alone_and_its_messages_die(lea, settings):
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    endpoint = hook(NOBODY, lea)
    start_round("one", make_model())
    start_round("two", make_model())
    # The first refusal ends the job, and the endpoint rests: the second message is not even tried.
    assert webhooks.deliver_due(endpoint.pk) == 0
    assert webhooks.deliver_due(endpoint.pk) == 0
    assert list(WebhookMessage.objects.values_list("attempts", flat=True)) == [1, 0]
    for _ in range(2 * webhooks.MAX_ATTEMPTS):
        at_once()
        webhooks.deliver_due(endpoint.pk)
    assert {message.state for message in WebhookMessage.objects.all()} == {"dead"}
    message = WebhookMessage.objects.first()
    assert message.attempts == webhooks.MAX_ATTEMPTS and message.answer.startswith("no answer")
    assert webhooks.send_again(message, lea) and not webhooks.send_again(message, lea)
    assert WebhookMessage.objects.get(pk=message.pk).state == "waiting"


def test_a_slow_receiver_gives_others_their_turn(lea, receiver, monkeypatch):
    endpoint = hook(receiver.url, lea)
    for name in "abc":
        start_round(name, make_model())
    clock = iter([0.0, 1.0, webhooks.BATCH_S + 1])
    monkeypatch.setattr(webhooks, "monotonic", lambda: next(clock))
    assert webhooks.deliver_due(endpoint.pk) == len(receiver.told) == 1


def test_a_receiver_that_never_ends_its_answer_is_left_alone(lea, receiver, monkeypatch):
    endpoint = hook(receiver.url, lea)
    start_round("one", make_model())

    def drip(*args: Any) -> Any:
        raise SoftTimeLimitExceeded

    with monkeypatch.context() as patch:
        patch.setattr(webhooks, "post", drip)
        door_tasks.deliver_due(endpoint.pk)
    endpoint.refresh_from_db()
    assert endpoint.failures == 1 and endpoint.resting_until > timezone.now()
    assert webhooks.deliver_due(endpoint.pk) == 0 and WebhookMessage.objects.get().state == "waiting"


def test_waits_grow_and_are_spread():
    waits = [[webhooks.wait_s(attempt) for _ in range(50)] for attempt in range(1, 8)]
    assert all(len(set(several)) > 1 for several in waits)
    assert all(max(before) < min(after) for before, after in zip(waits, waits[1:-1], strict=False))
    assert webhooks.wait_s(10_000) <= 1.25 * 3 * 3600


def test_a_killed_worker_leaves_its_message_to_be_tried_again(lea, receiver, monkeypatch):
    endpoint = hook(receiver.url, lea)
    start_round("one", make_model())

    def killed(*args: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(webhooks, "post", killed)
        webhooks.deliver_due(endpoint.pk)
    assert WebhookMessage.objects.get().state == "waiting"
    at_once()
    assert webhooks.deliver_due(endpoint.pk) == 1


def test_redirects_are_not_followed_and_gone_is_for_ever(lea, receiver):
    endpoint = hook(receiver.url, lea)
    start_round("one", make_model())
    receiver.status = 302
    assert webhooks.deliver_due(endpoint.pk) == 0
    assert WebhookMessage.objects.get().answer.startswith("302")
    receiver.status = 410
    at_once()
    webhooks.deliver_due(endpoint.pk)
    endpoint.refresh_from_db()
    assert endpoint.ended_at is not None
    start_round("two", make_model())
    assert WebhookMessage.objects.count() == 1


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.org/", "no address of the web"),
        ("http://", "no address of the web"),
        ("http://example.org:port/", "no address"),
        ("https://me:secret@8.8.8.8/", "must not hold a name"),
        ("http://127.0.0.1/", "not a public address"),
        ("http://10.1.2.3:8000/", "not a public address"),
        ("http://169.254.169.254/latest/meta-data", "not a public address"),
        ("http://[::1]/", "not a public address"),
        ("http://[::ffff:192.168.0.1]/", "not a public address"),
        ("http://2130706433/", "not a public address"),
        ("http://localhost/", "not a public address"),
        ("http://0.0.0.0/", "not a public address"),
        ("https://8.8.8.8/" + "x" * 500, "500 are allowed"),
    ],
)
def test_addresses_that_are_refused(url, says):
    with pytest.raises(ValueError, match=says):
        check_url(url)


def test_a_public_address_is_taken_and_a_private_one_if_the_site_allows_it(settings):
    check_url("https://8.8.8.8/hook")
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    check_url("http://127.0.0.1/")


def test_an_address_that_became_private_is_not_called(lea, receiver, settings):
    endpoint = hook(receiver.url, lea)
    start_round("one", make_model())
    settings.ALLOW_PRIVATE_WEBHOOKS = False
    assert webhooks.deliver_due(endpoint.pk) == 0
    assert receiver.told == [] and "not a public address" in WebhookMessage.objects.get().answer


def test_leads_add_look_resend_and_end(lea, ana, receiver):
    browser = browser_of(lea)
    sent = {"url": receiver.url, "events": ["round.started"]}
    assert browser_of(ana).post("/webhooks/", sent).status_code == 404
    assert browser.post("/webhooks/", sent | {"events": []}).status_code == 422
    assert browser.post("/webhooks/", sent | {"events": ["x"]}).status_code == 422
    page = browser.post("/webhooks/", sent).content.decode()
    endpoint = WebhookEndpoint.objects.get()
    assert endpoint.secret in page
    assert endpoint.secret not in browser.get("/webhooks/").content.decode()
    start_round("one", make_model())
    WebhookMessage.objects.update(next_attempt_at=None, attempts=12, answer="500")
    assert "Send again" in browser.get(f"/webhooks/{endpoint.pk}/").content.decode()
    number = WebhookMessage.objects.get().pk
    assert browser_of(ana).post(f"/webhooks/messages/{number}/resend/").status_code == 404
    browser.post(f"/webhooks/messages/{number}/resend/")
    assert webhooks.deliver_due(endpoint.pk) == 1
    browser.post(f"/webhooks/{endpoint.pk}/end/")
    assert browser.get(f"/webhooks/{endpoint.pk}/").status_code == 404


def test_delivered_messages_are_forgotten_after_their_days(lea, receiver, settings):
    endpoint = hook(receiver.url, lea)
    start_round("one", make_model())
    webhooks.deliver_due(endpoint.pk)
    assert webhooks.remove_old_messages() == 0
    WebhookMessage.objects.update(
        delivered_at=timezone.now() - timedelta(days=settings.DOWNLOAD_DAYS, hours=1)
    )
    assert webhooks.remove_old_messages() == 1


def test_every_job_of_the_clock_is_known_and_sends_what_is_due(lea, receiver, settings, monkeypatch):
    app.loader.import_default_modules()
    assert {job["task"] for job in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)
    endpoint = hook(receiver.url, lea)
    sent: list[int] = []
    monkeypatch.setattr(door_tasks.deliver_due, "apply_async", lambda args, **_: sent.extend(args))
    door_tasks.send_webhooks()
    assert sent == []
    start_round("one", make_model())
    door_tasks.send_webhooks()
    assert sent == [endpoint.pk]
    door_tasks.deliver_due(endpoint.pk)
    assert WebhookMessage.objects.get().state == "delivered"


@pytest.mark.django_db(transaction=True)
def test_two_workers_send_a_message_once(receiver):
    endpoint = hook(receiver.url, None)
    for name in "abcdef":
        start_round(name, make_model())

    def deliver(_: int) -> int:
        try:
            return webhooks.deliver_due(endpoint.pk)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(deliver, range(8)))
    assert sum(taken) == len(receiver.told) == 6
