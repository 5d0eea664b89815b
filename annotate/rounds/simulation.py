"""Simulated annotators: accounts that are marked for ever, and the program that votes with them."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import transaction

from annotate.accounts.accounts import create_account
from annotate.core.errors import RoundError
from annotate.models import Round, User
from annotate.rounds.queries import is_synthetic
from generator.validation import Share, record


@record
class SimulatedVoter:
    """How a simulated annotator answers: a share of ties, then of blind left answers, then of true ones."""

    accuracy: Share
    tie_rate: Share
    side_bias: Share


def simulate_round(round: Round, voter: SimulatedVoter, *, count: int, seed: int, url: str) -> dict[str, Any]:
    """Let `count` simulated annotators judge until nothing is left for them, over the site's HTTP API.

    Raises:
        RoundError: the round shows real people, of whom no truth is known; too few annotators; or the
            program failed.
    """
    if not is_synthetic(round):
        raise RoundError(f"{round} shows real people: there is no truth to read, so only people can judge it")
    votes = round.rule.maximum if round.rule else round.votes_wanted
    if count < 2 * votes:
        raise RoundError(
            f"{count} annotators cannot give {votes} votes on each of two tracks, since nobody judges both "
            f"tracks of a pair; use at least {2 * votes}"
        )
    voters = [
        {**_credentials(f"simulated-{number}"), **asdict(voter), "seed": seed + number}
        for number in range(count)
    ]
    # Credentials go through a pipe: neither the process list nor a file shows them.
    done = subprocess.run(
        [sys.executable, "-m", "rlhf.simulate", "--api", f"{url.rstrip('/')}/api", "--round", str(round.pk)],
        cwd=settings.BASE_DIR,
        input=json.dumps(voters),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RoundError(f"the simulated annotators ended with {done.returncode}; their last lines are above")
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


@transaction.atomic
def _credentials(username: str) -> dict[str, str]:
    """A fresh password for a simulated account, made when it is missing.

    Raises:
        RoundError: a person has this name.
    """
    user = User.objects.select_for_update().filter(username=username).first()
    if user is None:
        _, password = create_account(username, User.Role.ANNOTATOR, is_simulated=True)
        return {"username": username, "password": password}
    if not user.is_simulated:
        raise RoundError(f"{username!r} is a person's account, so no simulated votes can be given with it")
    password = secrets.token_urlsafe(24)
    user.set_password(password)
    user.save(update_fields=["password"])
    return {"username": username, "password": password}
