"""No list is sent as one parameter for each of its values: PostgreSQL takes 65,535 in a statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models.fields.json import KT
from django.db.models.functions import Cast
from pytest_django import DjangoDbBlocker

from annotate.database.lookups import MAX_INLINE
from annotate.exports.freezing import MANY_PAIRS
from annotate.models import (
    PreferencePair,
    Round,
    RunMetric,
    User,
    VideoSample,
)
from annotate.training.launches import launch_dpo
from annotate.training.preview import dry_run
from annotate.training.queries import Looked, pair_facts, pair_set
from tests.factories import SAMPLER, make_instance, make_round, make_user, write_test_clip

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

#: Of the protocol, which counts them in 16 bits.
MAX_PARAMETERS = 65_535


@pytest.fixture(scope="module", autouse=True)
def _sizes_forgotten(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Sizes that `ANALYZE` finds outlive a rollback, and later tests' statements would be planned by them."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT pg_clear_relation_stats('public', relname::text) FROM pg_class
            WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace AND reltuples >= 0
            """
        )


@dataclass
class Parameters:
    """The most that a statement was sent with: one that inserts rows, and any other."""

    inserting: int = 0
    others: int = 0


@contextmanager
def counted_parameters() -> Iterator[Parameters]:
    most = Parameters()

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        kind = "inserting" if sql.startswith("INSERT") else "others"
        setattr(most, kind, max(getattr(most, kind), len(params or ())))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        yield most


def columns() -> Iterator[tuple[type[models.Model], models.Field]]:
    """Every column of every table that can be compared with a list of values."""
    for model in apps.get_app_config("annotate").get_models():
        for field in model._meta.concrete_fields:
            if not isinstance(field, models.JSONField | ArrayField | models.GeneratedField):
                yield model, field


def values_of(field: models.Field, count: int) -> list[Any]:
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    numbers = range(count)
    match target:
        case models.UUIDField():
            return [UUID(int=number) for number in numbers]
        case models.DateTimeField():
            return [datetime(2000, 1, 1, tzinfo=UTC) + timedelta(seconds=number) for number in numbers]
        case models.DateField():
            return [datetime(2000, 1, 1).date() + timedelta(days=number) for number in numbers]
        case models.BooleanField():
            return [True, False]  # there are no more
        case models.IntegerField() | models.FloatField():
            return [*numbers]
        case _:
            return [str(number) for number in numbers]


def test_every_column_takes_a_long_list_as_one_parameter():
    for model, field in columns():
        for count in (MAX_INLINE + 1, 3 * MAX_INLINE):
            wanted = {f"{field.name}__in": values_of(field, count)}
            with counted_parameters() as most:
                model._default_manager.filter(**wanted).exists()
                model._default_manager.exclude(**wanted).exists()
            assert most.others <= 5, field


def test_a_path_into_json_is_compared_as_text():
    with counted_parameters() as most:
        lines = RunMetric.objects.annotate(digest=Cast(KT("values__pair_id"), models.TextField()))
        assert not lines.filter(digest__in=[str(number) for number in range(200)]).exists()
    assert most.others <= 5


def test_long_lists_find_what_short_ones_do():
    people = [make_user() for _ in range(120)]
    wanted = [person.pk for person in people[:110]]
    assert User.objects.filter(pk__in=wanted).count() == 110
    assert User.objects.filter(pk__in=[*wanted, None, wanted[0]]).count() == 110
    assert User.objects.filter(username__in=[person.username for person in people]).count() == 120
    assert User.objects.exclude(pk__in=wanted).count() == 10
    assert User.objects.filter(pk__in=[*wanted, models.F("pk")]).count() == 120


@pytest.fixture
def large_round() -> Round:
    """So many dominant pairs that an export is written in batches; their videos are three files."""
    round, instance = make_round(), make_instance(num_references=2)
    files = [write_test_clip() for _ in range(3)]
    fill = {
        "round": round.pk,
        "instance": instance.pk,
        "policy": round.policy_id,
        "digest": SAMPLER.digest,
        "paths": [path for path, _ in files],
        "hashes": [sha256 for _, sha256 in files],
        "videos": 102,  # 102 * 101 / 2 pairs
    }
    fill_with_dominant_pairs(fill)
    assert PreferencePair.objects.count() == 102 * 101 // 2 > MANY_PAIRS
    return round


def fill_with_dominant_pairs(fill: dict[str, Any]) -> None:
    with connection.cursor() as cursor:
        # Triggers and key checks would take most of the time, and the rows are right by construction.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(
            """
            INSERT INTO annotate_videosample (instance_id, model_version_id, seed, settings, settings_digest,
                                              path, sha256, facts, error, created_at)
            SELECT %(instance)s, %(policy)s, n, '{"num_frames": 9}', %(digest)s,
                   (%(paths)s::text[])[n %% 3 + 1], (%(hashes)s::text[])[n %% 3 + 1], '{}', '', now()
            FROM generate_series(1, %(videos)s) n
            """,
            fill,
        )
        cursor.execute(
            """
            INSERT INTO annotate_videopair (round_id, instance_id, first_id, second_id, is_adjudicated,
                                            created_at)
            SELECT %(round)s, %(instance)s, f.id, s.id, false, now()
            FROM annotate_videosample f JOIN annotate_videosample s ON f.id < s.id
            """,
            fill,
        )
        cursor.execute(
            """
            INSERT INTO annotate_consensus (pair_id, track, verdict, posterior, votes, rule_version,
                                            inputs_hash, is_simulated, updated_at)
            SELECT p.id, track, 'first', '{"first": 0.4, "second": 0.2, "tie": 0.2, "both_bad": 0.2}',
                   '{"first": 1, "second": 0, "tie": 0, "both_bad": 0, "unsure": 0}', 'majority-1', '', false,
                   now()
            FROM annotate_videopair p CROSS JOIN (VALUES ('identity'), ('controllability')) t (track)
            """
        )
        cursor.execute(
            """
            INSERT INTO annotate_preferencepair (pair_id, joint_state, chosen_id, rejected_id, reason, stop,
                                                 is_simulated, updated_at)
            SELECT id, 'dominant', first_id, second_id, 'both', '', false, now() FROM annotate_videopair
            """
        )
        cursor.execute("SET LOCAL session_replication_role = origin")
        cursor.execute("ANALYZE")  # every table: earlier tests left figures of nearly empty ones


def test_the_parameters_of_an_export_and_a_launch_do_not_grow_with_the_pairs(large_round):
    """What inserts rows does so in batches that fit, see below."""
    num_pairs = PreferencePair.objects.count()
    lead = make_user(role=User.Role.LEAD)
    with counted_parameters() as most:
        chosen = pair_set(large_round, None, include_simulated=False)
        preview = dry_run(large_round, Looked.at(large_round, chosen), {})
        assert preview.facts.num_pairs == num_pairs
        run = launch_dpo(
            large_round,
            chosen,
            preview,
            seen=preview.digest,
            accepted=True,
            include_simulated=False,
            actor=lead,
        )
        assert run.export is not None and run.export.num_pairs == num_pairs == run.export.pairs.count()
        again = pair_set(large_round, run.export, include_simulated=False)
        assert pair_facts(large_round, again) == preview.facts
    assert most.others < 2 * MAX_INLINE < num_pairs
    assert most.inserting <= MAX_PARAMETERS


def test_rows_are_written_fetched_and_deleted_in_batches_that_fit():
    round, instance = make_round(), make_instance(num_references=1)
    samples = [
        VideoSample(
            instance=instance,
            model_version=round.policy,
            seed=number,
            settings={},
            settings_digest="",
        )
        for number in range(10_000)
    ]
    with counted_parameters() as most:
        VideoSample.objects.bulk_create(samples)
        keys = [sample.pk for sample in samples]
        assert len(VideoSample.objects.in_bulk([*keys, *range(-MAX_PARAMETERS, 0)])) == len(keys)
        assert len(VideoSample.objects.prefetch_related("pairs_as_first").order_by()) == len(keys)
        VideoSample.objects.filter(pk__in=keys).delete()
    assert not VideoSample.objects.exists()
    assert max(most.inserting, most.others) <= MAX_PARAMETERS


def test_a_batch_never_has_more_values_than_a_statement_takes():
    for columns in (1, 3, 12):
        assert connection.ops.bulk_batch_size(["x"] * columns, []) * columns <= MAX_PARAMETERS
