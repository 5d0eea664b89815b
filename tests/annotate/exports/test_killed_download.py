"""A worker is killed in the middle of a file of judgments: nobody sees the half, and another begins again."""

from __future__ import annotations

import gzip
import time
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.utils import timezone

from annotate.exports import downloads
from annotate.judging.judgments import submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import JudgmentFile
from rlhf.records import Track
from tests.annotate.conftest import machine_of
from tests.annotate.workers import start_python
from tests.factories import make_pair, make_round, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: It writes a row, and stays where it can be killed.
WORKER = """
import sys, time, django
django.setup()
from annotate.exports import downloads, judgment_rows, tasks
judgment_rows.CHUNK = 1
given = downloads.judgment_rows
def stuck(file):
    chunks = given(file)
    yield next(chunks)
    time.sleep(120)
downloads.judgment_rows = stuck
tasks.write_judgment_file(int(sys.argv[1]))
"""


def test_a_killed_worker_leaves_no_half_file():
    round = make_round()
    for _ in range(3):
        make_pair(round)
        slot = lease_slot(make_user(), Track.IDENTITY)
        submit_judgment(slot.annotator, slot.lease, "left", idempotency_key=uuid4())
    lead = make_user("lea", role="lead")
    file = downloads.request_file(lead)

    worker = start_python(WORKER, file.pk)
    for _ in range(1200):
        file.refresh_from_db()
        if file.rows_written:
            break
        assert worker.poll() is None, "the worker ended by itself"
        time.sleep(0.1)
    worker.kill()
    worker.wait()
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
