"""The site behind a real PgBouncer that lends a session for one transaction at a time."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE

import pytest
from django.conf import settings
from django.db import connection

from annotate.models import Claim, Export, Judgment, VoteFit, WebhookMessage
from annotate.supervisor.postgres import Postgres, _unprivileged
from tests.annotate.workers import wait_until
from tests.factories import make_pair, make_round, make_user

PGBOUNCER = shutil.which("pgbouncer", path=os.defpath + os.pathsep + "/usr/sbin:/usr/local/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(PGBOUNCER is None, reason="no PgBouncer here (apt-get install pgbouncer)"),
]

#: Fewer than threads, so that a thread's next transaction is often on another session.
SESSIONS = 3
OPTIONS = "prepare_threshold=none&server_side_binding=false&server_side_cursors=false"

# Eight people judge everything at once; then the votes are fitted, exported, written into a file, and told.
SCRIPT = """
import json, sys, threading
from collections import Counter
from uuid import uuid4
import django
django.setup()
from django.db import connection
from annotate.models import Round, User, WebhookEndpoint
from annotate.exports import downloads, freezing
from annotate.integrations import webhooks
from annotate.jobs import runs
from annotate.judging import judgments, slots, vote_fits
from annotate.quality import vote_statistics
from rlhf.records import Track

round = Round.objects.get(pk=int(sys.argv[1]))
seen = Counter()
reasons = []

def count(execute, sql, params, many, context):
    seen["statements"] += 1
    try:
        return execute(sql, params, many, context)
    except Exception as error:
        seen["failed"] += 1
        reasons.append(f"{type(error).__name__}: {error}")
        raise

def judge(person):
    with connection.execute_wrapper(count):
        for track in Track:
            while (slot := slots.lease_slot(person, track)) is not None:
                # All prefer the same video, on whichever side it is shown: so every pair is exported.
                judgments.submit_judgment(person, slot.lease, slot.first_side, idempotency_key=uuid4())
    connection.close()

people = list(User.objects.filter(role="annotator"))
threads = [threading.Thread(target=judge, args=[person]) for person in people]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with connection.execute_wrapper(count):
    lead = User.objects.get(username="lea")
    vote_fits.fit_round(round)
    vote_statistics.compute_round(round)
    export = freezing.export_round(round)
    downloads.write_file(downloads.request_file(lead).pk, uuid4())
    endpoint = webhooks.add_endpoint("http://127.0.0.1:9/", ["export.ready"], lead)
    webhooks.deliver_due(endpoint.pk)
    runs.requeue_lost_runs()
print(json.dumps({**seen, "reasons": reasons[:3]}))
"""


@pytest.fixture
def pooler(postgres: Postgres) -> Iterator[int]:
    """PgBouncer in transaction mode before the PostgreSQL of the tests; its port."""
    assert PGBOUNCER is not None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    folder = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    folder.chmod(0o755)
    database = connection.settings_dict
    (folder / "pgbouncer.ini").write_text(
        f"""[databases]
* = host={database["HOST"]} user={database["USER"]}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {SESSIONS}
max_client_conn = 100
client_login_timeout = 20
"""
    )
    # Like PostgreSQL it refuses to run as root, and it has to reach that one's socket.
    command = [*_unprivileged(postgres.folder), PGBOUNCER, str(folder / "pgbouncer.ini")]
    process = subprocess.Popen(command, cwd="/", stdout=PIPE, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: _answers(port) or process.poll() is not None, "PgBouncer")
        assert process.poll() is None, process.stdout and process.stdout.read().decode()
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()
        shutil.rmtree(folder)


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_votes_a_fit_and_an_export_go_through_a_pooler(pooler, postgres: Postgres):
    round = make_round(votes_wanted=4)
    for _ in range(12):
        make_pair(round=round)
    make_user("lea", role="lead")
    for number in range(8):
        make_user(f"ana-{number}")
    log = postgres.folder / "log" / "postgres.log"
    start, database = log.stat().st_size, connection.settings_dict
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(round.pk)],
        cwd=settings.BASE_DIR,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "annotate.settings",
            "DATABASE_URL": f"postgresql://{database['USER']}@127.0.0.1:{pooler}/{database['NAME']}?{OPTIONS}",
            "SECRET_KEY": "only for tests, where nothing is signed",
            "STORAGE_URL": settings.STORAGE_ROOT.as_uri(),
            "VAR_DIR": str(settings.VAR_DIR),
            "ANSWER_GUARD_MS": "0",  # these people answer at once
            "ALLOW_PRIVATE_WEBHOOKS": "1",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    refused = re.findall(r"ERROR: .*", log.read_bytes()[start:].decode(errors="replace"))
    print(f"{said['statements']} statements through PgBouncer, {said.get('failed', 0)} failed")
    votes = 12 * 2 * 4
    assert said["statements"] > 2 * votes, "each vote is a lease and an answer at least"
    assert (said.get("failed", 0), said["reasons"], refused) == (0, [], [])
    assert Judgment.objects.count() == votes
    assert (VoteFit.objects.count(), Export.objects.get().num_pairs) == (2, 12)
    assert not Claim.objects.exists() and WebhookMessage.objects.count() == 0
