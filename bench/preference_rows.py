"""Verdicts and tiny media for the benchmark of exports: every pair of a round is dominant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from bench.web_rows import fill_round

POSTERIOR = {"first": 0.9, "second": 0.05, "tie": 0.03, "both_bad": 0.02}
VOTES = {"first": 3, "second": 0, "tie": 0, "both_bad": 0, "unsure": 0}
#: Which a person agreed to.
USES = ["show", "train", "evaluate", "publish"]
#: Folders over which media are spread.
FOLDERS = 1_000
#: What has media, and by which of its rows they are a round's.
MEDIA = {
    "sample": ("annotate_videosample", "instance_id IN (SELECT id FROM annotate_instance WHERE group_id IN "),
    "reference": ("annotate_reference", "(group_id IN "),
}
PEOPLE = "(SELECT id FROM annotate_identitygroup WHERE name LIKE %s))"


def fill_dominant(database: psycopg.Connection[Any], name: str, num_pairs: int, storage: Path) -> None:
    """A round of pairs whose first video wins both tracks, with all media.

    A file holds nothing but its own path, so that the database can tell its hash.
    """
    round = fill_round(database, name, num_pairs).pk
    mine = f"{name}-%"
    with database.transaction():
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute("UPDATE annotate_identitygroup SET consent_uses = %s", [USES])
        database.execute("UPDATE annotate_differentialprompt SET elements = '[]'")
        for kind, (table, of_round) in MEDIA.items():
            path = f"'bench/' || id %% {FOLDERS} || '/{kind}-' || id || '.mp4'"
            sha256 = f"encode(sha256(({path})::bytea), 'hex')"
            database.execute(
                f"UPDATE {table} SET path = {path}, sha256 = {sha256} WHERE {of_round}{PEOPLE}", [mine]
            )
        _fill_verdicts(database, round)
    database.execute("VACUUM ANALYZE")
    for number in range(FOLDERS):
        (storage / "bench" / str(number)).mkdir(parents=True, exist_ok=True)
    for table, of_round in MEDIA.values():
        for (path,) in database.execute(f"SELECT path FROM {table} WHERE {of_round}{PEOPLE}", [mine]):
            (storage / path).write_text(path)


def _fill_verdicts(database: psycopg.Connection[Any], round: int) -> None:
    database.execute(
        "INSERT INTO annotate_consensus (pair_id, track, verdict, posterior, votes, rule_version, "
        "inputs_hash, is_simulated, updated_at) "
        "SELECT id, track, 'first', %s, %s, 'bench', '', false, now() FROM annotate_videopair, "
        "unnest(ARRAY['identity', 'controllability']) track WHERE round_id = %s ORDER BY id",
        [Jsonb(POSTERIOR), Jsonb(VOTES), round],
    )
    database.execute(
        "INSERT INTO annotate_preferencepair (pair_id, joint_state, chosen_id, rejected_id, reason, stop, "
        "is_simulated, updated_at) SELECT id, 'dominant', first_id, second_id, '', '', false, now() "
        "FROM annotate_videopair WHERE round_id = %s ORDER BY id",
        [round],
    )
