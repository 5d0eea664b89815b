"""Where people's media may go, each place with the uses that it needs consent to."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError
from django.db import connection
from django.utils import timezone

from annotate.core.errors import RoundError
from annotate.exports.files import ExportFileError
from annotate.jobs import runs, shards
from annotate.jobs.dispatch import hand_out
from annotate.jobs.local_worker import work_here
from annotate.jobs.stages import work_of
from annotate.models import IdentityGroup, Round, RunStatus, Use
from rlhf.records import Track, Verdict
from tests.factories import make_instance, make_pair, make_round
from tests.votes import vote

#: Brings a person's consent into the state that is tried.
Change = Callable[[IdentityGroup], None]


#: Does something with a person after the change; what comes of it is empty where they were left out.
Act = Callable[[Change, Path], Any]


REFUSALS = (RoundError, ValueError, ExportFileError, CommandError)


class EntryPoints(list[Any]):
    """Acts with the uses that they need, as parameters of a test."""

    def needs(self, *uses: Use) -> Callable[[Act], Act]:
        def add(act: Act) -> Act:
            self.append(pytest.param(uses, act, id=act.__name__))
            return act

        return add


def dominant_round(person: IdentityGroup, **overrides: Any) -> Round:
    """A round of one pair that is better on both tracks."""
    pair = make_pair(make_round(**overrides), make_instance(person, num_references=2))
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    return pair.round


def refused(queued: Any) -> bool:
    """Whether a worker who takes a queued run refuses it, with a reason."""
    why = work_of(queued.stage).refusal(queued, runs.read_request(queued))
    if why:
        if work_of(queued.stage).sharding:
            assert list(hand_out(shards.next_shards(8))) == []
        else:
            work_here(queued)
        queued.refresh_from_db()
        assert (queued.status, queued.error) == (RunStatus.FAILED, why)
    return bool(why)


def forget(person: IdentityGroup, missing: Use) -> dict[str, Any]:
    return {"consent_uses": None, "consent_stated_in": "", "consent_stated_at": None}


def refuse(person: IdentityGroup, missing: Use) -> dict[str, Any]:
    return {"consent_uses": [use for use in Use.values if use != missing]}


def end(person: IdentityGroup, missing: Use) -> dict[str, Any]:
    return {"consent_expires_on": timezone.localdate() - timedelta(days=1)}


def day() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_DATE")
        return cursor.fetchone()[0]
