"""A thousand rows, or ten, of everything that a page lists."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
from django.db import connection, transaction
from django.utils import timezone

from annotate.models import (
    AnnotatorFlag,
    Disqualification,
    EntryLink,
    Export,
    JudgingWork,
    JudgmentFile,
    ModelVersion,
    Round,
    RoundFigures,
    Run,
    RunMetric,
    Shard,
    Study,
    StudyModel,
    User,
    VersionComparison,
    WebhookEndpoint,
    WebhookMessage,
)
from annotate.tallies.recount import correct
from bench.scale_rows import Size, fill
from tests.factories import SAMPLER

RESULT: dict[str, Any] = {}


def fill_by_sql(count: int) -> None:
    """So many people and judged pairs, most of them dominant; thrice as many references and pairs."""
    with transaction.atomic():  # within which the tables' own transactions are savepoints
        database = connection.connection
        assert isinstance(database, psycopg.Connection)
        fill(database, Size(count, 3 * count, 3 * count, 6 * count, count - 2))
        correct()


def fill_with(count: int) -> None:
    """People, references, videos, pairs and votes by SQL; then whatever else has a list."""
    fill_by_sql(count)
    Round.objects.update(sampler=vars(SAMPLER))
    make_runs(count)
    make_people(count)
    make_links(count)


def make_runs(count: int) -> None:
    """Versions, rounds and their exports, runs of every kind with metrics and shards."""
    first, lead, now = Round.objects.get(), User.objects.get(username="lead"), timezone.now()
    policy = first.policy
    fixed = {"kind": "preference", "sampler": first.sampler, "policy": policy}
    rounds = Round.objects.bulk_create(Round(name=f"round {n}", **fixed) for n in range(count))
    ended = {"status": "done", "result": RESULT, "started_at": now, "ended_at": now}
    runs = Run.objects.bulk_create(
        Run(round=round, stage=stage, ordinal=n + 2, folder=f"{stage}-{n}-{round}", **ended)
        for n in range(count)
        for stage, round in (("sample", first), ("prompts", None), ("register", None), ("sft", None))
        if stage != "sft"
    )
    RunMetric.objects.bulk_create(RunMetric(run=run, line=1, values={"step": 1}) for run in runs)
    Shard.objects.bulk_create(
        Shard(run=runs[0], number=n, start=n, stop=n + 1, made=1, status="done") for n in range(count)
    )
    manifest = Export.objects.get().manifest
    Export.objects.bulk_create(
        Export(
            round=first,
            folder=f"export-{n}",
            content_hash=str(n),
            manifest=manifest,
            num_pairs=0,
            includes_simulated=False,
        )
        for n in range(count)
    )
    versions = [
        ModelVersion(name=f"base {n}", kind="base", base_model="b", weights_sha256=str(n))
        for n in range(count)
    ]
    versions = ModelVersion.objects.bulk_create(versions)
    compared = Run.objects.bulk_create(
        Run(round=round, stage="evaluate", ordinal=1, folder=f"evaluate-{round}", candidate=policy, **ended)
        for round in rounds
    )
    VersionComparison.objects.bulk_create(
        VersionComparison(run=run, baseline=version, candidate=policy, num_seeds=1)
        for run, version in zip(compared, versions, strict=True)
    )
    JudgmentFile.objects.bulk_create(JudgmentFile(round=round, requested_by=lead) for round in rounds)
    RoundFigures.objects.bulk_create(
        RoundFigures(round=round, is_simulated=False, inputs_hash="x", num_votes=1, figures={})
        for round in rounds
    )


def make_people(count: int) -> None:
    """Annotators, flags of theirs, and whoever was disqualified once."""
    round, lead = Round.objects.earliest("id"), User.objects.get(username="lead")
    people = User.objects.bulk_create(User(username=f"person {n}") for n in range(count))
    one = User.objects.get(username="annotator-9")
    AnnotatorFlag.objects.bulk_create(
        AnnotatorFlag(
            annotator=one,
            partner=person,
            round=round,
            track="identity",
            kind="gold",
            figure=0.1,
            chance=0.01,
            evidence="x",
            num_votes=9,
        )
        for person in people
    )
    lifted = {"lifted_at": timezone.now(), "lifted_by": lead, "lifted_because": "y"}
    Disqualification.objects.bulk_create(
        Disqualification(annotator=one, reason="x", by=lead, settled_at=timezone.now(), **lifted)
        for _ in range(count)
    )


def make_links(count: int) -> None:
    """Entry links, half of which lead to studies, and webhooks with messages."""
    round, run = Round.objects.earliest("id"), Run.objects.filter(stage="evaluate").earliest("id")
    until = timezone.now() + timedelta(days=1)
    links = EntryLink.objects.bulk_create(
        EntryLink(
            name=f"link {n}",
            token=f"token-{n}",
            max_people=1,
            closes_at=until,
            consent_text="x",
            completion_code="y",
        )
        for n in range(2 * count)
    )
    JudgingWork.objects.bulk_create(
        JudgingWork(link=link, round=round, track="identity", pairs_per_person=1) for link in links[:count]
    )
    studies = Study.objects.bulk_create(
        Study(name=f"study {n}", run=run, seed=0, pairs_per_person=1, link=link)
        for n, link in enumerate(links[count:])
    )
    StudyModel.objects.bulk_create(StudyModel(study=study, system="a", label="a") for study in studies)
    endpoints = WebhookEndpoint.objects.bulk_create(
        WebhookEndpoint(url=f"https://{n}.example", secret="x", events=["round.started"])
        for n in range(count)
    )
    WebhookMessage.objects.bulk_create(
        WebhookMessage(
            endpoint=endpoint, number=uuid4(), event="round.started", data={}, created_at=timezone.now()
        )
        for endpoint in endpoints
    )
