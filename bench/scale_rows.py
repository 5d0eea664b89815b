"""Rows of a site that was used for long, by one INSERT a table: a million votes in a minute."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from typing import Any

import psycopg

from bench.web_rows import FACTS, SAMPLER, TRACKS, VOTES_PER_TRACK
from generator.records import ELEMENTS

#: People who judge; those of a pair are all different.
ANNOTATORS = 100
SLOTS_PER_PAIR = len(TRACKS) * VOTES_PER_TRACK
#: Votes were given over so many days, the last one now.
DAYS = 60
#: As much as the judging page reports of a pair.
EVIDENCE = {
    "active_ms": 8123,
    "played_ms": {"left": 4100, "right": 3900},
    "coverage": {"left": 1.0, "right": 1.0, "references": [1.0, 0.5, 1.0]},
    "shown": {"left": [[0, 8]], "right": [[0, 8]], "references": [[[0, 10]], [[0, 5]], [[0, 10]]]},
    "p95_drift_ms": 3.1,
    "speed": 1.0,
    "viewport": [1440, 900],
    "input": "keys",
}
#: Of the export, what its page shows.
MANIFEST = {"reasons": {}, "licences": {}, "num_simulated": 0, "num_media": 0}
#: What is said of an element that changes.
CHANGE = {"statement": "The background changes.", "primary": "a room", "target": "a beach", "similarity": 0.1}


@dataclass(frozen=True)
class Size:
    """How many rows there are of each kind."""

    people: int = 100_000
    references: int = 300_000
    pairs: int = 300_000
    votes: int = 1_000_000
    dominant: int = 100_000

    @classmethod
    def of(cls, fraction: float) -> Size:
        """A part of the whole, of which everything has a row."""
        whole = cls()
        return cls(**{name: max(12, round(number * fraction)) for name, number in vars(whole).items()})

    @property
    def slots(self) -> int:
        return self.pairs * SLOTS_PER_PAIR


def fill(database: psycopg.Connection[Any], size: Size) -> None:
    """Fill an empty, migrated database; the first user is the lead, the others annotate.

    What the database counts of its rows is to be counted anew afterwards.
    """
    for table, statement in _statements(size):
        began = time.monotonic()
        with database.transaction():
            # Triggers and key checks would take most of the time, and the rows are right by construction.
            database.execute("SET LOCAL session_replication_role = replica")
            count = database.execute(statement).rowcount
            database.execute("SET LOCAL session_replication_role = origin")
            if table != "annotate_export_pairs":
                database.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))"
                )
        print(f"{table}: {count:,} in {time.monotonic() - began:.1f} s", file=sys.stderr, flush=True)


def _statements(size: Size) -> list[tuple[str, str]]:
    """A table and what fills it, each after those that it points to."""
    return [*_people(size), *_videos(size), *_votes(size), *_results(size), *_training(size)]


def _people(size: Size) -> list[tuple[str, str]]:
    per_person = size.references // size.people
    return [
        (
            "annotate_user",
            f"""INSERT INTO annotate_user (id, password, is_superuser, username, first_name, last_name, email,
                    is_staff, is_active, date_joined, role, is_simulated)
                SELECT n, '', false, CASE n WHEN 1 THEN 'lead' ELSE 'annotator-' || n END, '', '', '', false,
                    true, now(), CASE n WHEN 1 THEN 'lead' ELSE 'annotator' END, false
                FROM generate_series(1, {ANNOTATORS + 1}) n""",
        ),
        (
            "annotate_identitygroup",
            f"""INSERT INTO annotate_identitygroup (id, name, source, licence, consent_uses,
                    consent_stated_in, consent_stated_at, consent_note, split, truth, created_at)
                SELECT n, 'person ' || n, 'bench', '',
                    CASE WHEN n % 10 = 0 THEN NULL WHEN n % 25 = 5 THEN '{{show,evaluate}}'::varchar[]
                         ELSE '{{show,train}}'::varchar[] END,
                    CASE WHEN n % 10 > 0 THEN 'bench' ELSE '' END, CASE WHEN n % 10 > 0 THEN now() END, '',
                    CASE n % 25 WHEN 5 THEN 'eval' ELSE 'train' END,
                    CASE n % 25 WHEN 5 THEN jsonb_build_object('identity_seed', n) END, now()
                FROM generate_series(1, {size.people}) n""",
        ),
        (
            "annotate_reference",
            f"""INSERT INTO annotate_reference (id, group_id, kind, source_name, source_sha256, shot, path,
                    sha256, poster, width, height, num_frames, fps, size_bytes, facts, boxes, quality,
                    reject_reasons, curation, curation_error, created_at)
                SELECT n, (n - 1) / {per_person} + 1, 'clip', 'a', md5(n::text), 0, 'x.mp4', md5(n::text),
                    'x.png', 64, 64, 9, 8, 9000, '{{}}', '{{}}', '{{}}',
                    CASE n % 5 WHEN 0 THEN '["blurred"]' ELSE '[]' END::jsonb, 'done', '', now()
                FROM generate_series(1, {size.people * per_person}) n""",
        ),
        *_instances(size),
    ]


def _instances(size: Size) -> list[tuple[str, str]]:
    """One of each person, all with one prompt."""
    per_person = size.references // size.people
    return [
        (
            "annotate_differentialprompt",
            f"""INSERT INTO annotate_differentialprompt (id, text, elements, method, created_at)
                VALUES (1, '{CHANGE["statement"]}', '{json.dumps(_elements())}', 'bench', now())""",
        ),
        (
            "annotate_instance",
            f"""INSERT INTO annotate_instance (id, group_id, prompt_id, digest, created_at)
                SELECT n, n, 1, md5(n::text), now() FROM generate_series(1, {size.people}) n""",
        ),
        (
            "annotate_instancereference",
            f"""INSERT INTO annotate_instancereference (id, instance_id, reference_id, position, kind,
                    path, poster, sha256)
                SELECT n, (n - 1) / {per_person} + 1, n, (n - 1) % {per_person}, '', '', '', ''
                FROM generate_series(1, {size.people * per_person}) n""",
        ),
    ]


def _elements() -> list[dict[str, Any]]:
    return [{"element": element, "changed": element == "background", **CHANGE} for element in ELEMENTS]


def _videos(size: Size) -> list[tuple[str, str]]:
    """One round, whose instances have three pairs each."""
    per_instance = size.pairs // size.people
    sampler, facts = json.dumps(SAMPLER), json.dumps(FACTS)
    return [
        (
            "annotate_modelversion",
            """INSERT INTO annotate_modelversion (id, name, kind, state, base_model, weights_sha256,
                    adapter_path, created_at)
                VALUES (1, 'bench', 'sft', 'candidate', 'none', '0', '', now())""",
        ),
        (
            "annotate_round",
            """INSERT INTO annotate_round (id, name, kind, policy_id, votes_wanted, sampler, dpo, state, draw,
                    may_be_chosen, created_at)
                VALUES (1, 'bench', 'preference', 1, 3, '{}', '{}', 'open', 0, true, now())""",
        ),
        (
            "annotate_run",
            """INSERT INTO annotate_run (id, round_id, stage, ordinal, folder, status, error, needs_approval,
                    created_at, started_at)
                VALUES (1, 1, 'sample', 1, 'runs/bench', 'running', '', false, now(), now())""",
        ),
        (
            "annotate_videosample",
            f"""INSERT INTO annotate_videosample (id, instance_id, model_version_id, seed, settings,
                    settings_digest, path, sha256, facts, error, created_at)
                SELECT n, (n - 1) / {2 * per_instance} + 1, 1, n, '{sampler}', '', 'x', 'x', '{facts}', '',
                    now()
                FROM generate_series(1, {2 * size.people * per_instance}) n""",
        ),
        (
            "annotate_videopair",
            f"""INSERT INTO annotate_videopair (id, round_id, instance_id, first_id, second_id,
                    is_adjudicated, created_at)
                SELECT n, 1, (n - 1) / {per_instance} + 1, 2 * n - 1, 2 * n, false, now()
                FROM generate_series(1, {size.people * per_instance}) n""",
        ),
    ]


def _votes(size: Size) -> list[tuple[str, str]]:
    """The first slots are judged, as the pairs are: one after the other."""
    place = "now() - interval '1 day' * %s * (1 - n::float8 / %s)" % (DAYS, size.votes)  # noqa: UP031
    is_judged = f"n <= {size.votes}"
    identity, controllability = TRACKS
    return [
        (
            "annotate_slot",
            f"""INSERT INTO annotate_slot (id, pair_id, round_id, track, ordinal, random_key, annotator_id,
                    first_side, left_surplus, lease, leased_at, lease_expires_at, judged_at)
                SELECT n, pair, 1,
                    CASE WHEN k < {VOTES_PER_TRACK} THEN '{identity}' ELSE '{controllability}' END,
                    k % {VOTES_PER_TRACK}, pair::float8 / {size.pairs},
                    CASE WHEN {is_judged} THEN (7 * pair + k) % {ANNOTATORS} + 2 END,
                    CASE WHEN {is_judged} THEN 'left' END, CASE WHEN {is_judged} THEN 1 END,
                    CASE WHEN {is_judged} THEN gen_random_uuid() END,
                    CASE WHEN {is_judged} THEN {place} - interval '10 s' END,
                    CASE WHEN {is_judged} THEN {place} + interval '1 h' END,
                    CASE WHEN {is_judged} THEN {place} END
                FROM (SELECT n, (n - 1) / {SLOTS_PER_PAIR} + 1 AS pair, (n - 1) % {SLOTS_PER_PAIR} AS k
                      FROM generate_series(1, {size.slots}) n) slot""",
        ),
        (
            "annotate_exposure",
            """INSERT INTO annotate_exposure (id, pair_id, annotator_id, track)
                SELECT id, pair_id, annotator_id, track FROM annotate_slot
                WHERE judged_at IS NOT NULL ORDER BY id""",
        ),
        (
            "annotate_judgment",
            f"""INSERT INTO annotate_judgment (id, slot_id, revision, verdict, strength, reasons, note,
                    breaks, evidence, is_simulated, idempotency_key, created_at)
                SELECT id, id, 1,
                    CASE WHEN pair_id <= {size.dominant} OR id % 3 = 0 THEN 'first' ELSE 'tie' END,
                    '', '[]', '', '[]', '{json.dumps(EVIDENCE)}', false, gen_random_uuid(), judged_at
                FROM annotate_slot WHERE judged_at IS NOT NULL ORDER BY id""",
        ),
    ]


def _results(size: Size) -> list[tuple[str, str]]:
    """The first pairs are dominant; the others that are judged in full are not."""
    full = size.votes // SLOTS_PER_PAIR
    dominant = f"n <= {size.dominant}"
    return [
        (
            "annotate_consensus",
            f"""INSERT INTO annotate_consensus (pair_id, track, verdict, posterior, votes, rule_version,
                    inputs_hash, is_simulated, updated_at)
                SELECT n, track, CASE WHEN {dominant} THEN 'first' ELSE 'tie' END,
                    '{{"first": 0.9, "second": 0.1}}', '{{"first": 3, "second": 0, "tie": 0}}',
                    'majority-1', '', false, now()
                FROM generate_series(1, {full}) n
                CROSS JOIN (VALUES ('{TRACKS[0]}'), ('{TRACKS[1]}')) t (track)""",
        ),
        (
            "annotate_preferencepair",
            f"""INSERT INTO annotate_preferencepair (id, pair_id, joint_state, chosen_id, rejected_id,
                    reason, stop, is_simulated, updated_at)
                SELECT n, n, CASE WHEN {dominant} THEN 'dominant' ELSE 'tied' END,
                    CASE WHEN {dominant} THEN 2 * n - 1 END, CASE WHEN {dominant} THEN 2 * n END,
                    CASE WHEN {dominant} THEN '' ELSE 'a tie' END, '', false, now()
                FROM generate_series(1, {full}) n""",
        ),
    ]


def _training(size: Size) -> list[tuple[str, str]]:
    """The dominant pairs are exported, and a model is trained on them."""
    return [
        (
            "annotate_export",
            f"""INSERT INTO annotate_export (id, round_id, folder, content_hash, manifest, num_pairs, rule,
                    includes_simulated, withdrawn, created_at, votes_by)
                SELECT 1, 1, 'exports/bench', 'x', '{json.dumps(MANIFEST)}', {size.dominant}, 'pareto',
                    false, '', now(), jsonb_object_agg(annotator_id, number)
                FROM (SELECT annotator_id, count(*) AS number FROM annotate_slot
                      WHERE judged_at IS NOT NULL AND pair_id <= {size.dominant} GROUP BY 1) given""",
        ),
        (
            "annotate_export_pairs",
            f"""INSERT INTO annotate_export_pairs (export_id, preferencepair_id)
                SELECT 1, n FROM generate_series(1, {size.dominant}) n""",
        ),
        (
            "annotate_run",
            """INSERT INTO annotate_run (id, round_id, stage, ordinal, folder, status, error, needs_approval,
                    export_id, result, created_at, started_at, ended_at)
                VALUES (2, 1, 'dpo', 1, 'runs/bench-dpo', 'done', '', false,
                    1, '{"steps": 100}', now(), now(), now())""",
        ),
        (
            "annotate_modelversion",
            """INSERT INTO annotate_modelversion (id, name, kind, state, base_model, weights_sha256,
                    adapter_path, parent_id, root_id, export_id, run_id, created_at)
                VALUES (2, 'bench-dpo', 'dpo', 'candidate', 'none', '0', 'runs/bench-dpo/adapter', 1, 1, 1, 2,
                    now())""",
        ),
    ]
