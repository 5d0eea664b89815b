"""The schema is released: what a filled 0.1.0 holds is still there after every later migration."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from django.apps import apps as global_apps
from django.apps.registry import Apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.migrations import RunPython, RunSQL
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import NOT_PROVIDED, Field, GeneratedField, Model
from django.utils import timezone

from annotate.models import IdentityGroup, Use, is_pseudonym

#: What 0.1.0 was released with.
RELEASE = ("annotate", "0001_initial")
NOW = timezone.now()
VALUES = {
    "BooleanField": False,
    "CharField": "x",
    "DateTimeField": NOW,
    "FloatField": 1.0,
    "JSONField": {},
    "PositiveBigIntegerField": 1,
    "PositiveIntegerField": 1,
    "PositiveSmallIntegerField": 1,
    "TextField": "x",
}
TRACK = {"track": "identity"}
LEASE = {"first_side": "left", "left_surplus": 1, "leased_at": NOW, "lease_expires_at": NOW}
EQUAL = ("identity_fidelity", "prompt_controllability", "element_consistency", "visual_quality")
#: A row of each table, after those that it points to: a link that it needs goes to the newest row there, and
#: a value that is not given is that of `VALUES`.
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("User", {}),
    ("IdentityGroup", {}),
    ("Reference", {"kind": "clip"}),
    ("CurationDecision", {"choice": "keep"}),
    ("DifferentialPrompt", {}),
    ("Instance", {}),
    ("InstanceReference", {}),
    ("ModelVersion", {"kind": "sft"}),
    ("Round", {}),
    ("VideoSample", {"seed": 1}),
    ("VideoSample", {"seed": 2}),
    ("VideoPair", {"first": 1, "second": 2}),
    ("Slot", TRACK | LEASE | {"lease": uuid.UUID(int=1), "annotator": 1}),
    ("Exposure", TRACK),
    ("Judgment", {"verdict": "first"}),
    ("Consensus", TRACK | {"verdict": "first"}),
    ("Consensus", {"track": "controllability", "verdict": "first"}),
    ("PreferencePair", {"joint_state": "dominant", "chosen": 1, "rejected": 2}),
    ("Adjudication", {"identity": "first", "controllability": "first"}),
    ("GoldPair", TRACK | {"kind": "degraded"}),
    ("Qualification", TRACK),
    ("VoteFit", TRACK),
    ("RoundFigures", {}),
    ("AnnotatorFlag", TRACK | {"kind": "gold"}),
    ("Disqualification", {}),
    ("AppliedThresholds", {}),
    ("Export", {"folder": "a", "content_hash": "a"}),
    ("Export", {"folder": "b", "content_hash": "b"}),
    ("Supersession", {"export": 1, "by_export": 2}),
    ("JudgmentFile", {}),
    ("Run", {"stage": "dpo", "round": 1, "folder": "dpo"}),
    ("RunMetric", {}),
    ("ModelVersion", {"kind": "dpo", "parent": 1, "run": 1, "export": 1, "adapter_path": "a", "name": "dpo"}),
    ("Run", {"stage": "evaluate", "round": 1, "folder": "evaluate"}),
    ("VersionComparison", {"baseline": 1}),
    ("EntryLink", {}),
    ("Participant", {}),
    ("Entry", {}),
    ("JudgingWork", TRACK),
    ("Study", {}),
    ("StudyInput", {"sources": ["a.png"]}),
    ("StudyModel", {"arm": "a", "label": "a"}),
    ("StudyVideo", {}),
    ("StudyModel", {"arm": "b", "label": "b"}),
    ("StudyVideo", {}),
    ("StudyPair", {"first": 1, "second": 2}),
    ("StudySeat", {}),
    ("StudyTask", {"first_side": "left"}),
    ("StudyAnswer", dict.fromkeys(EQUAL, "tie")),
    ("Erasure", {}),
    ("FileRemoval", {}),
    ("AuditEvent", {}),
    ("Claim", {}),
    ("WebhookEndpoint", {"url": "https://example.org", "events": ["export.ready"]}),
    ("WebhookMessage", {}),
]


def is_needed(field: Field[Any, Any]) -> bool:
    has_default = field.primary_key or field.has_default() or field.db_default is not NOT_PROVIDED
    return not (has_default or field.null or field.blank or isinstance(field, GeneratedField))


def values(model: type[Model], given: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for field in model._meta.concrete_fields:
        value = given.get(field.name)
        if value is None and not is_needed(field):
            continue
        if field.related_model:
            rows = field.related_model._default_manager.order_by("pk")
            yield field.name, rows.last() if value is None else rows[value - 1]
        else:
            kind = field.get_internal_type()
            yield field.name, value or (uuid.uuid4() if kind == "UUIDField" else VALUES[kind])


def fill(apps: Apps) -> None:
    tables = {model.__name__: model for model in apps.get_app_config("annotate").get_models()}
    for name, given in ROWS:
        if (model := tables.get(name)) is None:  # of a later version
            continue
        row = model._default_manager.create(**dict(values(model, given)))
        for link in model._meta.many_to_many:
            if link.remote_field.through._meta.auto_created:
                getattr(row, link.name).set(link.related_model._default_manager.all()[:1])


def keys(tables: Iterable[type[Model]]) -> dict[str, set[Any]]:
    return {
        table._meta.db_table: set(table._default_manager.values_list("pk", flat=True)) for table in tables
    }


def lost(before: dict[str, set[Any]]) -> dict[str, set[Any]]:
    """Rows that are gone; a table that a later migration renames or ends on purpose is named here by it."""
    now = keys(global_apps.get_app_config("annotate").get_models(include_auto_created=True))
    return {table: gone for table, rows in before.items() if (gone := rows - now.get(table, set()))}


@pytest.fixture
def released(transactional_db: None) -> Iterator[ProjectState]:
    """Connected to a database of its own with the schema of 0.1.0: the state of its models."""
    name = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE released TEMPLATE template0")
    _connect_to("released")
    try:
        executor = MigrationExecutor(connection)
        executor.migrate([RELEASE])
        yield executor.loader.project_state(RELEASE)
    finally:
        _connect_to(name)
        with connection.cursor() as cursor:
            cursor.execute("DROP DATABASE released")


def _connect_to(database: str) -> None:
    connection.close()
    connection.settings_dict["NAME"] = database


def test_a_filled_release_migrates_forward_and_back(released: ProjectState) -> None:
    """Nothing is lost; words of 0.1.0 on consent become notes, and only drawn people have stated anything."""
    apps, loader = released.apps, MigrationLoader(connection)
    Group.objects.create(name="everybody")
    kind = ContentType.objects.create(app_label="annotate", model="round")
    Permission.objects.create(name="May look", content_type=kind, codename="look")
    fill(apps)
    people = apps.get_model("annotate", "IdentityGroup")
    words = "research and training, all of it"
    people.objects.create(name="a", source="tests", consent_scope=words)
    people.objects.create(name="b", source="tests")
    drawn = {"source": "portraits", "consent_scope": "synthetic", "truth": {"identity_seed": 1}}
    people.objects.create(name="drawn", **drawn)
    tables = list(apps.get_app_config("annotate").get_models(include_auto_created=True))
    before = keys(tables)
    assert [table for table, rows in before.items() if not rows] == []

    MigrationExecutor(connection).migrate(loader.graph.leaf_nodes("annotate"))
    assert lost(before) == {}
    rows = {one.name: one for one in IdentityGroup.objects.all()}
    assert [rows[name].consent_uses for name in ("a", "b", "drawn")] == [None, None, Use.values]
    assert rows["a"].consent_note == words
    assert rows["drawn"].consent_stated_in == "the portrait world" and rows["drawn"].consent_stated_at
    assert len({one.pseudonym for one in rows.values()}) == len(rows)
    assert all(is_pseudonym(one.pseudonym) for one in rows.values())

    MigrationExecutor(connection).migrate([RELEASE])
    assert people.objects.get(name="a").consent_scope == words


def test_what_comes_after_the_release_can_be_taken_back() -> None:
    graph = MigrationLoader(None).graph
    later = set(graph.nodes) - set(graph.forwards_plan(RELEASE))
    steps = [(name, step) for name in later if name[0] == "annotate" for step in graph.nodes[name].operations]
    assert [
        name for name, step in steps if isinstance(step, RunPython | RunSQL) and not step.reversible
    ] == []
