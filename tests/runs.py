"""Runs as workers and commands leave them."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

from django.core.management import call_command

from annotate.jobs import runs
from annotate.models import Run, ShardStatus


def claim(run: Run, worker: UUID) -> Run:
    """Begin the command of a run, as if its shards were done."""
    run.shards.update(status=ShardStatus.DONE)
    claimed = runs.claim_run(run.pk, worker)
    assert claimed is not None
    return claimed


def end(run: Run, **result) -> None:
    """What a worker does for a run whose command went well."""
    claim(run, worker := uuid4())
    runs.run_dir(run).write_result(result)
    assert runs.finish_run(run, worker)


def run(*arguments: Any) -> dict[str, Any]:
    output = StringIO()
    call_command(*map(str, arguments), "--json", stdout=output)
    answer: dict[str, Any] = json.loads(output.getvalue())
    return answer
