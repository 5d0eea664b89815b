"""Annotators without think time: lease, answer, and so on over HTTP, with a log of what they were told."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, Protocol
from urllib.parse import urlencode
from uuid import uuid4

TRACKS = ("identity", "controllability")
CHOICES = ("left", "right", "tie", "both_bad")
EVIDENCE = {
    "active_ms": 9000,
    "played_ms": {"left": 4000, "right": 4000},
    "coverage": {"left": 1, "right": 1, "references": [1, 1, 1, 1]},
    "p95_drift_ms": 4.2,
    "max_drift_ms": 9.9,
    "speed": 1,
    "speed_range": [1, 1],
    "viewport": [1280, 720],
    "input": "keys",
}
_LEASE = re.compile(r'name="lease" value="([^"]+)"')


@dataclass(frozen=True)
class Account:
    """Somebody's row number, API token and session cookie."""

    pk: int
    token: str
    session: str


@dataclass(frozen=True)
class Vote:
    """An answer that the site said it stored."""

    annotator: int
    lease: str
    key: str
    choice: str


@dataclass
class Log:
    """What one annotator saw: seconds of every request, stored votes, and whatever went wrong."""

    next_s: list[float] = field(default_factory=list)
    submit_s: list[float] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    is_exhausted: bool = False

    def add(self, other: Log) -> None:
        """Append another log."""
        self.next_s += other.next_s
        self.submit_s += other.submit_s
        self.votes += other.votes
        self.errors += other.errors
        self.is_exhausted |= other.is_exhausted


class Refused(Exception):
    """The site answered something else than it should."""


class NothingLeft(Exception):
    """The site has no pair for this annotator any more."""


class Client(Protocol):
    """One person's way in."""

    connection: HTTPConnection

    def lease(self, track: str) -> str:
        """The next pair."""

    def answer(self, track: str, lease: str, key: str, choice: str) -> None:
        """Store a vote."""


class Api:
    """The API with a token: one request leases, one answers."""

    def __init__(self, port: int, account: Account, round: int) -> None:
        """Connect; the connection stays open."""
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        self.round = round
        self.headers = {"Authorization": f"Token {account.token}", "Content-Type": "application/json"}

    def lease(self, track: str) -> str:
        """The next pair of a track."""
        answer = self._post(f"/api/tracks/{track}/lease/", {"round": self.round}, 200)
        return str(answer["lease"])

    def answer(self, track: str, lease: str, key: str, choice: str) -> None:
        """Store a vote."""
        body = {"choice": choice, "idempotency_key": key, "evidence": EVIDENCE}
        self._post(f"/api/leases/{lease}/judgment/", body, 201)

    def _post(self, path: str, body: dict[str, Any], wanted: int) -> dict[str, Any]:
        self.connection.request("POST", path, json.dumps(body), self.headers)
        response = self.connection.getresponse()
        content = response.read()
        if response.status == 204:
            raise NothingLeft
        if response.status != wanted:
            raise Refused(f"{path}: {response.status} {content[:200]!r}")
        found: dict[str, Any] = json.loads(content)
        return found


class Page:
    """The page with a session, as its script asks: the answer to a vote is the pair that follows."""

    def __init__(self, port: int, account: Account, round: int) -> None:
        """Connect; the connection stays open. The page has no round: the oldest open one comes first."""
        self.in_hand: dict[str, str] = {}
        self.connection = HTTPConnection("127.0.0.1", port, timeout=60)
        secret = "0123456789abcdefghijklmnopqrstuv"
        self.headers = {
            "Cookie": f"sessionid={account.session}; csrftoken={secret}",
            "X-CSRFToken": secret,
            "HX-Request": "true",
            "Content-Type": "application/x-www-form-urlencoded",
        }

    def lease(self, track: str) -> str:
        """The next pair of a track, as the page's fragment."""
        if track not in self.in_hand:
            self._take(track, self._request("GET", f"/judge/{track}/", None))
        if track not in self.in_hand:
            raise NothingLeft
        return self.in_hand.pop(track)

    def answer(self, track: str, lease: str, key: str, choice: str) -> None:
        """Store a vote."""
        body = {"lease": lease, "idempotency_key": key, "choice": choice, "evidence": json.dumps(EVIDENCE)}
        self._take(track, self._request("POST", f"/judge/{track}/", urlencode(body)))

    def _take(self, track: str, content: str) -> None:
        """Remember the pair on the page."""
        if found := _LEASE.search(content):
            self.in_hand[track] = found[1]

    def _request(self, method: str, path: str, body: str | None) -> str:
        self.connection.request(method, path, body, self.headers)
        response = self.connection.getresponse()
        content = response.read().decode()
        if response.status != 200:
            raise Refused(f"{path}: {response.status} {content[:200]!r}")
        return content


DOORS: dict[str, Callable[[int, Account, int], Client]] = {"api": Api, "page": Page}


def work(
    door: Callable[[int, Account, int], Client],
    port: int,
    accounts: list[Account],
    round: int,
    seconds: float,
) -> tuple[Log, float]:
    """Let all accounts judge at once for some seconds; what they saw, and how long it took in all."""
    logs = [Log() for _ in accounts]
    start = threading.Barrier(len(accounts) + 1)
    until = threading.Event()
    threads = [
        threading.Thread(target=_judge, args=(door(port, account, round), account, log, start, until))
        for account, log in zip(accounts, logs, strict=True)
    ]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    time.sleep(seconds)
    until.set()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - began
    whole = Log()
    for log in logs:
        whole.add(log)
    return whole, spent


def _judge(
    site: Client, account: Account, log: Log, start: threading.Barrier, until: threading.Event
) -> None:
    start.wait()
    cycle = 0
    while not until.is_set():
        cycle += 1
        try:
            _cycle(site, account, log, TRACKS[cycle % 2], CHOICES[cycle % len(CHOICES)])
        except NothingLeft:
            log.is_exhausted = True
            return
        except (Refused, HTTPException, OSError) as error:
            log.errors.append(f"{type(error).__name__}: {error}")
            site.connection.close()


def _cycle(site: Client, account: Account, log: Log, track: str, choice: str) -> None:
    began = time.perf_counter()
    lease = site.lease(track)
    leased = time.perf_counter()
    key = str(uuid4())
    site.answer(track, lease, key, choice)
    log.submit_s.append(time.perf_counter() - leased)
    log.next_s.append(leased - began)
    log.votes.append(Vote(account.pk, lease, key, choice))
