"""What the API says of itself, held against what it does, by requests that schemathesis thinks up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.strategies import booleans
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from annotate.accounts.accounts import make_token
from annotate.exports.downloads import request_file, write_file
from annotate.judging.slots import lease_slot
from annotate.models import JudgmentFile, Round, Slot, User
from annotate.wsgi import application
from rlhf.records import Track
from tests.factories import make_pair, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

#: Enough to find a wrong type and a missing field; a longer hunt is `--max-examples` in a terminal.
REQUESTS = 12
CHECKS = [
    checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]


@pytest.fixture(autouse=True)
def kept_connection() -> Iterator[None]:
    """The site ends its transaction-less connection with each request; the test's must stay."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr("annotate.jobs.tasks.send_whole_run.delay_on_commit", lambda run_id: None)
    # One token for all operations: that of a lead, who may lease here.
    monkeypatch.setattr("django.conf.settings.LEADS_MAY_VOTE", True)
    monkeypatch.setattr("annotate.exports.tasks.write_judgment_file.delay_on_commit", lambda file_id: None)
    for _ in range(3):
        make_pair()
    lea = make_user("lea", role=User.Role.LEAD)
    assert write_file(request_file(lea).pk, uuid4())
    return make_token(lea)


def known(path: str, names: dict[str, Any]) -> dict[str, Any]:
    """Numbers of rows that exist, for the names of a path; no generator guesses them."""
    lea = User.objects.get(username="lea")
    found = {}
    if "pk" in names:
        rows = JudgmentFile if "judgment-files" in path else Round
        found["pk"] = rows.objects.values_list("pk", flat=True).last()
    if "lease" in names:
        slot = lease_slot(lea, Track.IDENTITY)
        found["lease"] = str(slot.lease if slot else Slot.objects.exclude(lease=None).last().lease)
    return found


def operations() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    schema.app = application
    for result in schema.get_all_operations():
        yield result.ok()


def hold_to_its_word(operation: Any, mode: GenerationMode, token: str) -> None:
    @settings(
        max_examples=REQUESTS,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=booleans())
    def holds(case: Any, is_known: bool) -> None:
        if is_known and mode == GenerationMode.POSITIVE:
            case.path_parameters |= known(operation.path, case.path_parameters)
        case.call_and_validate(
            headers={"Authorization": f"Token {token}"}, checks=CHECKS, base_url="http://testserver"
        )

    holds()


def test_every_operation_does_what_it_says(token: str) -> None:
    found = list(operations())
    assert len(found) >= 15
    for operation in found:
        hold_to_its_word(operation, GenerationMode.POSITIVE, token)


def test_every_operation_refuses_what_it_cannot_use(token: str) -> None:
    with_body = [operation for operation in operations() if operation.body]
    assert len(with_body) >= 5
    for operation in with_body:
        hold_to_its_word(operation, GenerationMode.NEGATIVE, token)


def test_strangers_are_told_so(db: None) -> None:
    for operation in operations():
        if operation.path in ("/api/schema/", "/api/token/"):
            continue
        assert "401" in operation.definition.raw["responses"], operation.label
