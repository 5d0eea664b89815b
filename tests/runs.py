"""Runs as workers and commands leave them."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any
from uuid import uuid4

from django.core.management import call_command

from annotate.jobs import runs
from annotate.models import Run, ShardStatus


def end(run: Run, **result) -> None:
    """What a worker does for a run whose command went well."""
    worker = uuid4()
    run.shards.update(status=ShardStatus.DONE)
    assert runs.claim_run(run.pk, worker) is not None
    runs.run_dir(run).write_result(result)
    assert runs.finish_run(run, worker)


def run(*arguments: Any) -> dict[str, Any]:
    output = StringIO()
    call_command(*map(str, arguments), "--json", stdout=output)
    answer: dict[str, Any] = json.loads(output.getvalue())
    return answer
