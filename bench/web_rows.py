"""Rows for the benchmark of the site, written with COPY: a round of any size in seconds."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

VOTES_PER_TRACK = 3
PAIRS_PER_INSTANCE = 10
INSTANCES_PER_PERSON = 10
REFERENCES_PER_PERSON = 4
TRACKS = ("identity", "controllability")
FACTS = {"width": 64, "height": 64, "num_frames": 9, "fps": 8.0, "size_bytes": 9000}
SAMPLER = {"fps": 8, "num_frames": 9}


@dataclass(frozen=True)
class FilledRound:
    """A round's row number, and how many slots it has on both tracks."""

    pk: int
    num_slots: int


def fill_round(database: psycopg.Connection[Any], name: str, num_pairs: int) -> FilledRound:
    """One open round with its people, instances, videos (rows only), pairs and slots."""
    with database.transaction():
        # Triggers and key checks would take most of the time, and the rows are right by construction.
        database.execute("SET LOCAL session_replication_role = replica")
        policy = _one(
            database,
            "INSERT INTO annotate_modelversion "
            "(name, kind, state, base_model, weights_sha256, adapter_path, created_at) "
            "VALUES (%s, 'sft', 'candidate', 'none', '0', '', now()) RETURNING id",
            name,
        )
        round = _one(
            database,
            "INSERT INTO annotate_round "
            "(name, kind, policy_id, votes_wanted, sampler, dpo, state, draw, may_be_chosen, created_at) "
            "VALUES (%s, 'preference', %s, %s, '{}', '{}', 'open', 0, true, now()) RETURNING id",
            name,
            policy,
            VOTES_PER_TRACK,
        )
        instances = _fill_people(database, name, -(-num_pairs // PAIRS_PER_INSTANCE))
        pairs = _fill_pairs(database, round, policy, instances, num_pairs)
        rng = random.Random(0)
        places = {pair: rng.random() for pair in pairs}
        _copy(
            database,
            "annotate_slot",
            ("pair_id", "round_id", "track", "ordinal", "random_key"),
            (
                (pair, round, track, ordinal, places[pair])
                for pair in pairs
                for track in TRACKS
                for ordinal in range(VOTES_PER_TRACK)
            ),
        )
    database.execute("VACUUM ANALYZE")
    return FilledRound(round, num_pairs * len(TRACKS) * VOTES_PER_TRACK)


def judge_much(database: psycopg.Connection[Any], round: FilledRound, annotator: int, count: int) -> None:
    """Make a person of long standing: they have judged the first `count` pairs of the queue for identity."""
    with database.transaction():
        database.execute("SET LOCAL session_replication_role = replica")
        database.execute(
            "WITH first AS (SELECT id, row_number() OVER (ORDER BY random_key) AS place FROM annotate_slot "
            "  WHERE round_id = %s AND track = 'identity' AND ordinal = 0 ORDER BY random_key LIMIT %s) "
            "UPDATE annotate_slot s SET annotator_id = %s, first_side = 'left', left_surplus = 1, "
            "  lease = gen_random_uuid(), lease_expires_at = now(), judged_at = now(), "
            "  leased_at = now() - interval '1 day' + first.place * interval '1 s' "
            "FROM first WHERE s.id = first.id",
            (round.pk, count, annotator),
        )
        database.execute(
            "INSERT INTO annotate_exposure (pair_id, annotator_id, track) "
            "SELECT pair_id, annotator_id, track FROM annotate_slot "
            "WHERE round_id = %s AND annotator_id = %s",
            (round.pk, annotator),
        )
    database.execute("VACUUM ANALYZE annotate_slot, annotate_exposure")


def _fill_people(database: psycopg.Connection[Any], name: str, num_instances: int) -> list[int]:
    groups = _copy(
        database,
        "annotate_identitygroup",
        ("name", "source", "licence", "consent_note", "split", "created_at")
        + ("consent_uses", "consent_stated_in", "consent_stated_at"),
        (
            (f"{name}-{number}", "bench", "", "", "train", "now", ["show", "train"], "bench", "now")
            for number in range(-(-num_instances // INSTANCES_PER_PERSON))
        ),
    )
    references = _copy(
        database,
        "annotate_reference",
        ("group_id", "kind", "source_name", "source_sha256", "shot", "path", "sha256", "poster", "width")
        + ("height", "num_frames", "fps", "size_bytes", "facts", "boxes", "quality", "reject_reasons")
        + ("curation", "curation_error", "curation_queued_at", "created_at"),
        (
            (group, "clip", "a", (key := uuid4().hex), 0, "x.mp4", key, "x.png", 64, 64, 9, 8, 9000)
            + (Jsonb({}), Jsonb({}), Jsonb({}), Jsonb([]), "done", "", "now", "now")
            for group in groups
            for _ in range(REFERENCES_PER_PERSON)
        ),
    )
    return _fill_instances(database, groups, references, num_instances)


def _fill_instances(
    database: psycopg.Connection[Any], groups: Sequence[int], references: Sequence[int], num_instances: int
) -> list[int]:
    elements = [
        {
            "element": "background",
            "changed": True,
            "statement": "The background changes.",
            "target": "a beach",
        }
    ]
    prompt = _one(
        database,
        "INSERT INTO annotate_differentialprompt (text, elements, method, created_at) "
        "VALUES ('The background changes.', %s, 'bench', now()) RETURNING id",
        Jsonb(elements),
    )
    instances = _copy(
        database,
        "annotate_instance",
        ("group_id", "prompt_id", "digest", "created_at"),
        (
            (groups[number // INSTANCES_PER_PERSON], prompt, uuid4().hex, "now")
            for number in range(num_instances)
        ),
    )
    _copy(
        database,
        "annotate_instancereference",
        ("instance_id", "reference_id", "position", "kind", "path", "poster", "sha256"),
        (
            (instance, references[number // INSTANCES_PER_PERSON * REFERENCES_PER_PERSON + place], place)
            + ("", "", "", "")
            for number, instance in enumerate(instances)
            for place in range(REFERENCES_PER_PERSON - 1)
        ),
    )
    return instances


def _fill_pairs(
    database: psycopg.Connection[Any], round: int, policy: int, instances: Sequence[int], num_pairs: int
) -> list[int]:
    samples = _copy(
        database,
        "annotate_videosample",
        ("instance_id", "model_version_id", "seed", "settings", "settings_digest", "path", "sha256")
        + ("facts", "error", "created_at"),
        (
            (instances[number // 2 // PAIRS_PER_INSTANCE], policy, number, Jsonb(SAMPLER), "", "x", "x")
            + (Jsonb(FACTS), "", "now")
            for number in range(2 * num_pairs)
        ),
    )
    return _copy(
        database,
        "annotate_videopair",
        ("round_id", "instance_id", "first_id", "second_id", "is_adjudicated", "created_at"),
        (
            (
                round,
                instances[number // PAIRS_PER_INSTANCE],
                samples[2 * number],
                samples[2 * number + 1],
                False,
                "now",
            )
            for number in range(num_pairs)
        ),
    )


def _copy(
    database: psycopg.Connection[Any], table: str, columns: Sequence[str], rows: Iterable[tuple[Any, ...]]
) -> list[int]:
    """Write rows in order; their numbers."""
    before = _one(database, f"SELECT coalesce(max(id), 0) FROM {table}")
    with database.cursor().copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)
    found = database.execute(f"SELECT id FROM {table} WHERE id > %s ORDER BY id", [before])
    return [row[0] for row in found]


def _one(database: psycopg.Connection[Any], statement: str, *values: Any) -> Any:
    row = database.execute(statement, values).fetchone()
    assert row is not None
    return row[0]
