"""Statistics of a round with a million votes: seconds and memory of the vote fit and of the figures.

Each job runs in a process of its own, on a PostgreSQL in a folder that is removed afterwards: at first, then
after a few hundred new votes, then with nothing new. A small one: `python -m bench.votes --pairs 1000`.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import psycopg

from bench.curation_workers import ROOT
from bench.timing import memory_mb, report

PAIRS, ANNOTATORS, VOTES_PER_TRACK = 100_000, 200, 5
#: Votes that come between one run of the jobs and the next.
NEW_VOTES = 500
TRACKS = ("identity", "controllability")
#: As much as the judging page reports of a pair.
EVIDENCE = {
    "played_ms": {"left": 4100, "right": 3900},
    "coverage": {"left": 1.0, "right": 0.9, "references": [1.0, 0.5, 1.0]},
    "shown": {"left": [[0, 8]], "right": [[0, 8]], "references": [[[0, 10]], [[0, 5]], [[0, 10]]]},
    "p95_drift_ms": 3.1,
    "speed": 1.0,
    "viewport": [1440, 900],
    "input": "keys",
}
JOBS = ("fit", "figures")


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print; rows go to `var/bench/votes.json`."""
    parser = argparse.ArgumentParser(prog="python -m bench.votes", description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args(list(arguments))
    with tempfile.TemporaryDirectory(prefix="bench-votes-") as folder:
        environment = os.environ | {"VAR_DIR": folder, "DJANGO_SETTINGS_MODULE": "annotate.settings"}
        environment |= {"BENCH_PAIRS": str(options.pairs), "LOG_LEVEL": "WARNING"}
        services = [sys.executable, "-m", "annotate.supervisor", "run"]
        done = _run([*services, sys.executable, "-m", "bench.votes", "inside"], environment)
    votes = options.pairs * len(TRACKS) * VOTES_PER_TRACK
    report("votes", json.loads(done), pairs=options.pairs, annotators=ANNOTATORS, votes=votes)


def inside() -> None:
    """In the services of this VAR_DIR; prints a row for each run of a job as JSON."""
    import django

    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from annotate.tallies.recount import correct

    call_command("migrate", interactive=False, verbosity=0)
    with psycopg.connect(**connection.get_connection_params(), autocommit=True) as database:
        fill(database, int(os.environ["BENCH_PAIRS"]))
        correct()
        rows = [_measured(job, "all votes") for job in JOBS]
        judge_more(database, NEW_VOTES)
        correct()
        rows += [_measured(job, f"{NEW_VOTES} new votes") for job in JOBS]
        rows += [_measured(job, "nothing new") for job in JOBS]
    print(json.dumps(rows))


def run_job(name: str) -> None:
    """One job in this process, which prints how long it took and how much memory the process has used."""
    import django

    django.setup()
    from annotate.judging.vote_fits import fit_round
    from annotate.models import Round
    from annotate.quality.vote_statistics import compute_round

    round = Round.objects.get()
    idle = memory_mb("VmRSS")
    began, busy = time.perf_counter(), time.process_time()
    (fit_round if name == "fit" else compute_round)(round)
    took = {"seconds": time.perf_counter() - began, "cpu_s": time.process_time() - busy}
    print(json.dumps({**took, "peak_mb": memory_mb("VmHWM"), "idle_mb": idle}))


def fill(database: psycopg.Connection[Any], pairs: int) -> None:
    """One round, judged in full by people of known skill; one pair in a hundred is gold, known as a tie."""
    with database.transaction():
        # Triggers and key checks would take most of the time, and the rows are right by construction.
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute("SELECT setseed(0.5)")
        for statement in (*_round(pairs), *_votes(f"generate_series(1, {pairs}) pair")):
            database.execute(statement)
    database.execute("VACUUM ANALYZE")


def judge_more(database: psycopg.Connection[Any], votes: int) -> None:
    """As many votes as that, on new pairs."""
    pairs = votes // (len(TRACKS) * VOTES_PER_TRACK)
    with database.transaction():
        database.execute("SET LOCAL session_replication_role = replica")
        first = "(SELECT max(id) FROM annotate_videopair)"
        database.execute(_pairs(f"generate_series({first} + 1, {first} + {pairs}) n"))
        database.execute(
            "CREATE TEMPORARY TABLE new_pairs AS "
            f"SELECT id AS pair FROM annotate_videopair ORDER BY id DESC LIMIT {pairs}"
        )
        for statement in _votes("new_pairs"):
            database.execute(statement)


def _round(pairs: int) -> tuple[str, ...]:
    return (
        f"""INSERT INTO annotate_user (id, password, is_superuser, username, first_name, last_name, email,
                is_staff, is_active, date_joined, role, is_simulated)
            SELECT n, '', false, 'annotator-' || n, '', '', '', false, true, now(), 'annotator', false
            FROM generate_series(0, {ANNOTATORS - 1}) n""",
        f"""INSERT INTO annotate_round (id, name, kind, policy_id, votes_wanted, sampler, dpo, state, draw,
                may_be_chosen, created_at)
            VALUES (1, 'bench', 'preference', 1, {VOTES_PER_TRACK}, '{{}}', '{{}}', 'open', 0, true,
                now())""",
        _pairs(f"generate_series(1, {pairs}) n"),
        """INSERT INTO annotate_goldpair (pair_id, kind, track, is_training, budget, created_at)
            SELECT id, 'self_pair', 'identity', false, 100, now() FROM annotate_videopair
            WHERE gold_verdicts IS NOT NULL""",
    )


def _pairs(numbers: str) -> str:
    known = json.dumps(dict.fromkeys(TRACKS, "tie"))
    return f"""INSERT INTO annotate_videopair (id, round_id, instance_id, first_id, second_id, gold_verdicts,
                   is_adjudicated, created_at)
               OVERRIDING SYSTEM VALUE
               SELECT n, 1, 1, 2 * n - 1, 2 * n, CASE WHEN n % 100 = 0 THEN '{known}'::jsonb END, false, now()
               FROM {numbers}"""


def _votes(pairs: str) -> tuple[str, ...]:
    """Slots and judgments of pairs, given `FROM pairs` as `pair`. No two people share more pairs than others.

    The people of a pair are steps of a stride around a ring, and a stride that has no factor in common with
    the number of people meets nobody twice.
    """
    identity, controllability = TRACKS
    per_pair = len(TRACKS) * VOTES_PER_TRACK
    stride = "10 * (abs(hashint8(pair + 1)) % 20) + (ARRAY[1, 3, 7, 9])[abs(hashint8(pair + 2)) % 4 + 1]"
    person = f"(abs(hashint8(pair)::bigint) + k * ({stride})) % {ANNOTATORS}"
    is_new = "NOT EXISTS (SELECT FROM annotate_judgment WHERE slot_id = s.id)"
    truth_of = "abs(hashint8(2 * pair_id + (track = 'identity')::int)::bigint) % 100"
    evidence = json.dumps(EVIDENCE)
    return (
        f"""INSERT INTO annotate_slot (pair_id, round_id, track, ordinal, random_key, annotator_id,
                first_side, left_surplus, lease, leased_at, lease_expires_at, judged_at)
            SELECT pair, 1, CASE WHEN k < {VOTES_PER_TRACK} THEN '{identity}' ELSE '{controllability}' END,
                k % {VOTES_PER_TRACK}, random(), {person},
                CASE WHEN random() < 0.5 THEN 'left' ELSE 'right' END, 0, gen_random_uuid(),
                now(), now(), now() - interval '60 days' * random()
            FROM {pairs} CROSS JOIN generate_series(0, {per_pair - 1}) k""",
        f"""INSERT INTO annotate_judgment (slot_id, revision, verdict, strength, reasons, note, breaks,
                evidence, is_simulated, idempotency_key, created_at)
            SELECT id, 1,
                CASE WHEN random() < 0.03 THEN 'unsure'
                     WHEN random() < 0.6 + 0.35 * (annotator_id % 50) / 50 THEN truth
                     ELSE (ARRAY['first', 'second', 'tie', 'both_bad'])[1 + floor(4 * random())::int] END,
                '', '[]', '', '[]',
                '{evidence}'::jsonb || jsonb_build_object('active_ms', exp(8 + 2 * random())::int),
                false, gen_random_uuid(), judged_at
            FROM (SELECT s.*,
                      CASE WHEN p.gold_verdicts IS NOT NULL THEN 'tie' WHEN {truth_of} < 38 THEN 'first'
                           WHEN {truth_of} < 76 THEN 'second' WHEN {truth_of} < 95 THEN 'tie'
                           ELSE 'both_bad' END truth
                  FROM annotate_slot s JOIN annotate_videopair p ON p.id = s.pair_id WHERE {is_new}
                  ORDER BY s.id) slot""",
    )


def _measured(job: str, news: str) -> dict[str, Any]:
    measured = json.loads(_run([sys.executable, "-m", "bench.votes", "job", job], os.environ))
    row = {"job": job, "votes": news, **measured}
    print(row, file=sys.stderr, flush=True)
    return row


def _run(command: Sequence[str], environment: Any) -> str:
    """The last line that a command prints."""
    done = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["inside"]:
            inside()
        case ["job", name]:
            run_job(name)
        case _:
            main(sys.argv[1:])
