"""What a person receives who judges."""

from __future__ import annotations

import json
from collections.abc import Iterator
from uuid import uuid4

from django.http.response import HttpResponseBase

from annotate.models import User
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.deliveries import ByWeb, Delivery

#: What is asked for in part.
PART = "bytes=0-99"


def body(response: HttpResponseBase) -> bytes:
    return b"".join(response.streaming_content) if response.streaming else response.content


def responses_of(
    person: User, track: Track, way: Delivery | None = None
) -> Iterator[tuple[str, HttpResponseBase, bytes]]:
    """Everything that somebody receives who judges a pair by page and by program, and changes their mind."""
    way = way or ByWeb()
    browser, machine, program = browser_of(person), machine_of(person), {"HX-Request": "true"}
    leased = machine.post(f"/api/tracks/{track}/lease/")
    task = json.loads(leased.content)
    answer = {"choice": "left", "idempotency_key": str(uuid4())}
    at = f"/api/leases/{task['lease']}/"
    media = [task["left"], task["right"]]
    media += [url for reference in task["references"] for url in (reference["url"], reference["poster"])]
    yield "lease", leased, body(leased)
    for name, response in {
        "page": browser.get(f"/judge/{track}/"),
        "fragment": browser.get(f"/judge/{track}/", headers=program),
        "ahead": browser.get(f"/judge/{track}/?ahead_of={task['lease']}", headers=program),
        "renewed": machine.post(at),
        **{url: browser.get(url) for url in media},
        **{f"{url} in part": browser.get(url, headers={"Range": PART}) for url in media},
        "hidden": browser.get(f"/media/{task['lease']}/reference-9"),
        "wrong": machine.post(f"{at}judgment/", {"choice": "up"}, format="json"),
        "judged": machine.post(f"{at}judgment/", answer, format="json"),
        "twice": machine.post(f"{at}judgment/", answer | {"idempotency_key": str(uuid4())}, format="json"),
        "undo": browser.get(f"/judge/{track}/?undo=1"),
        "revised": machine.put(f"{at}judgment/", answer | {"idempotency_key": str(uuid4())}, format="json"),
        "empty": browser.get(f"/judge/{track}/"),
        "home": browser.get("/"),
    }.items():
        for arrived in way.received(response, PART if name.endswith(" in part") else ""):
            yield name, arrived, body(arrived)
