"""A worker is killed in the middle of a file of judgments: nobody sees the half, and another begins again."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from annotate.exports import downloads, judgment_rows, tasks
from annotate.judging.judgments import submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import JudgmentFile
from rlhf.records import Track
from tests.annotate.conftest import machine_of
from tests.annotate.copies import Stay, killed_where_it_stays
from tests.factories import make_pair, make_round, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


def write_a_row(file: JudgmentFile, stay: Stay) -> None:
    given = downloads.judgment_rows
    judgment_rows.CHUNK = 1

    def rows(file: JudgmentFile) -> Iterator[list[dict[str, Any]]]:
        chunks = given(file)
        yield next(chunks)
        stay()

    downloads.judgment_rows = rows
    tasks.write_judgment_file(file.pk)


def test_a_killed_worker_leaves_no_half_file():
    round = make_round()
    for _ in range(3):
        make_pair(round)
        slot = lease_slot(make_user(), Track.IDENTITY)
        submit_judgment(slot.annotator, slot.lease, "left", idempotency_key=uuid4())
    lead = make_user("lea", role="lead")
    file = downloads.request_file(lead)

    killed_where_it_stays(partial(write_a_row, file))
    folder = settings.STORAGE_ROOT / "judgments"
    (half,) = folder.glob(f".judgments-{file.pk}-*")
    assert machine_of(lead).get(f"/api/judgment-files/{file.pk}/content/").status_code == 409

    JudgmentFile.objects.update(heartbeat_at=timezone.now() - downloads.LOST_AFTER - timedelta(seconds=1))
    assert downloads.QUEUE.requeue_lost() == [file.pk]
    assert downloads.write_file(file.pk, uuid4())
    file.refresh_from_db()
    with gzip.open(settings.STORAGE_ROOT / file.path) as lines:
        assert len(list(lines)) == file.num_rows == 3
    assert not half.exists()
