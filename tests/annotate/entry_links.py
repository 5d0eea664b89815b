"""Links by which people of a platform come in."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from django.test import Client
from django.utils import timezone

from annotate.models import EntryLink, Slot, User
from annotate.studies import entries

TERMS = {
    "name": "Study one",
    "id_parameter": "PROLIFIC_PID",
    "max_people": 2,
    "closes_at": timezone.now() + timedelta(days=1),
    "consent_text": "You will see videos.",
    "completion_code": "C0DE42",
    "completion_url": "https://platform.example/complete?cc=C0DE42",
    "screened_out_url": "https://platform.example/complete?cc=NO",
}


def make_link(round, lead=None, *, pairs=2, track="identity", **changes) -> EntryLink:
    return entries.make_link(EntryLink(**(TERMS | changes)), round, track, pairs, lead)


def come(link: EntryLink, external_id: str, browser: Client | None = None) -> tuple[Client, int]:
    browser = browser or Client()
    answer = browser.post(f"/enter/{link.token}/", {link.id_parameter: external_id})
    return browser, answer.status_code


def judge_one(browser: Client, track: str = "identity") -> bool:
    """Judge the next pair on the page; False when there is none."""
    browser.get(f"/judge/{track}/")
    person = User.objects.get(pk=browser.session["_auth_user_id"])
    slot = Slot.objects.filter(annotator=person, track=track, judged_at=None).first()
    if slot is None:
        return False
    sent = {"lease": str(slot.lease), "idempotency_key": str(uuid4()), "choice": "left"}
    assert browser.post(f"/judge/{track}/", sent).status_code == 302
    return True
