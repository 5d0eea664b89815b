"""Simulated annotators: `python -m rlhf.simulate --api URL --round N < annotators.json`.

They go where people go: sign in, lease a pair, fetch the clips, answer, all over HTTP. Standard input is a
JSON list of {"username", "password", "accuracy", "tie_rate", "side_bias", "seed"}; standard output is a JSON
summary. Only the portrait world has a truth that can be read, so they refuse to judge real people.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from rlhf.records import Track
from rlhf.simulate.annotator import Behaviour, Choice, Eye, OracleEye, better_side, read_scores

TIMEOUT_S = 60
#: Refused or broken requests are repeated so often, with growing pauses; a judgment has an idempotency key.
RETRIES = Retry(
    total=6,
    backoff_factor=0.2,
    status_forcelist=(429, 502, 503, 504),
    allowed_methods=None,
    raise_on_status=False,
)
#: A lease may be lost to its deadline now and then; so many in a row mean that something is wrong.
MAX_CONFLICTS = 20


class SimulationError(Exception):
    """The annotators cannot go on; the message is one line."""


@dataclass
class Annotator:
    """One simulated account at work."""

    username: str  # of the account
    behaviour: Behaviour  # how it answers
    session: requests.Session  # signed in
    rng: random.Random  # decides when it errs
    #: Tracks where something may be left for it.
    open_tracks: list[Track] = field(default_factory=lambda: list(Track))
    #: What it has answered, per track.
    choices: dict[Track, Counter[Choice]] = field(default_factory=lambda: {t: Counter() for t in Track})
    conflicts: int = 0
    conflicts_in_a_row: int = 0

    @property
    def summary(self) -> dict[str, Any]:
        """Votes and choices per track."""
        per_track = {str(t): {"votes": c.total(), **dict(sorted(c.items()))} for t, c in self.choices.items()}
        return {"tracks": per_track, "conflicts": self.conflicts}


@dataclass(frozen=True)
class Site:
    """The API of a running site, and the round to judge."""

    api: str
    round: int

    def sign_in(self, account: Mapping[str, Any]) -> Annotator:
        """Open a session for an account."""
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=RETRIES))
        try:
            behaviour = Behaviour(account["accuracy"], account["tie_rate"], account["side_bias"])
            name, password, seed = account["username"], account["password"], account["seed"]
        except KeyError as missing:
            raise SimulationError(f"an annotator has no {missing}") from None
        annotator = Annotator(name, behaviour, session, random.Random(seed))
        answer = self._post(annotator, "sign in", "token/", {"username": name, "password": password})
        session.headers["Authorization"] = f"Token {answer.json()['token']}"
        return annotator

    def lease(self, annotator: Annotator, track: Track) -> dict[str, Any] | None:
        """The next pair of a track, or None when nothing is left for this annotator."""
        path = f"tracks/{track}/lease/"
        answer = self._post(annotator, "lease a pair", path, {"round": self.round})
        lease: dict[str, Any] | None = answer.json() if answer.status_code != 204 else None
        return lease

    def fetch_media(self, annotator: Annotator, lease: Mapping[str, Any]) -> dict[str, bytes]:
        """Every clip and photo of a lease, by its address."""
        media = {}
        for url in (lease["left"], lease["right"], *(r["url"] for r in lease["references"])):
            answer = annotator.session.get(urljoin(self.api, url), timeout=TIMEOUT_S)
            media[url] = _accepted(answer, annotator, f"fetch {url}").content
        return media

    def submit(self, annotator: Annotator, lease: Mapping[str, Any], choice: Choice) -> None:
        """Answer a lease."""
        body = {
            "choice": choice,
            # Of the lease, not of the seed: a simulation that was killed is started again with the same seed.
            "idempotency_key": str(uuid.uuid5(uuid.UUID(lease["lease"]), "answer")),
            # The eye reads every frame of every clip.
            "evidence": {
                "coverage": {"left": 1, "right": 1, "references": [1] * len(lease["references"])},
                "input": "program",
            },
        }
        self._post(annotator, "answer", f"leases/{lease['lease']}/judgment/", body)

    def _post(
        self, annotator: Annotator, action: str, path: str, body: Mapping[str, Any]
    ) -> requests.Response:
        url = f"{self.api.rstrip('/')}/{path}"
        return _accepted(annotator.session.post(url, json=body, timeout=TIMEOUT_S), annotator, action)


class _LeaseLostError(SimulationError):
    """The lease ran out or was answered elsewhere."""


def simulate(site: Site, accounts: Sequence[Mapping[str, Any]], eye: Eye) -> dict[str, Any]:
    """Let annotators judge in turn until nothing is left for any of them.

    In turn, so that they share the work; each alternates between the tracks.

    Args:
        site: where.
        accounts: see the module.
        eye: what they see.

    Returns:
        Votes per track, and per annotator.

    Raises:
        SimulationError: the site refuses something that it should not.
        ValueError: there is no truth to read.
    """
    annotators = [site.sign_in(account) for account in accounts]
    for annotator in cycle(annotators):
        if annotator.open_tracks:
            _judge_one(site, annotator, eye)
        elif not any(other.open_tracks for other in annotators):
            break
    return {
        "round": site.round,
        "votes": {str(track): sum(a.choices[track].total() for a in annotators) for track in Track},
        "conflicts": sum(a.conflicts for a in annotators),
        "annotators": {a.username: a.summary for a in annotators},
    }


def _judge_one(site: Site, annotator: Annotator, eye: Eye) -> None:
    """One lease, one answer; the track goes to the end of the annotator's list, or leaves it when empty."""
    track = annotator.open_tracks.pop(0)
    lease = site.lease(annotator, track)
    if lease is None:
        return
    annotator.open_tracks.append(track)
    try:
        scores = read_scores(lease, site.fetch_media(annotator, lease), eye)
        choice = annotator.behaviour.answer(better_side(*scores, annotator.rng), annotator.rng)
        site.submit(annotator, lease, choice)
    except _LeaseLostError:
        annotator.conflicts += 1
        annotator.conflicts_in_a_row += 1
        if annotator.conflicts_in_a_row >= MAX_CONFLICTS:
            raise SimulationError(f"{annotator.username} lost {MAX_CONFLICTS} leases in a row") from None
        return
    annotator.conflicts_in_a_row = 0
    annotator.choices[track][choice] += 1


def _accepted(answer: requests.Response, annotator: Annotator, action: str) -> requests.Response:
    """The answer itself, unless the site refused."""
    if not answer.ok:
        kind = _LeaseLostError if answer.status_code == 409 else SimulationError
        said = " ".join(answer.text[:200].split())
        raise kind(f"{annotator.username} cannot {action}: {answer.status_code} {said}")
    return answer


def main(arguments: list[str]) -> int:
    """Run the command; 0 done, 1 failed with one line on standard error."""
    parser = argparse.ArgumentParser(prog="python -m rlhf.simulate", description=__doc__)
    parser.add_argument("--api", required=True, help="address of the API, such as http://127.0.0.1:8000/api")
    parser.add_argument("--round", required=True, type=int, help="id of the round to judge")
    options = parser.parse_args(arguments)
    from generator.portraits.oracle import Oracle

    try:
        accounts = json.load(sys.stdin)
        summary = simulate(Site(options.api, options.round), accounts, OracleEye(Oracle.load()))
    except (SimulationError, ValueError, requests.RequestException, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(summary, indent=1))
    return 0
