"""What the API says of itself, held against what it does, by requests that schemathesis thinks up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from annotate.accounts.accounts import make_token
from annotate.exports.downloads import request_file, write_file
from annotate.models import User
from tests.factories import make_pair, make_user

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


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


@pytest.fixture
def api() -> Any:
    """Imported here, since schemathesis takes a second in every process that only collects this file."""
    from tests.annotate import api_operations

    return api_operations


def test_every_operation_does_what_it_says(api: Any, token: str) -> None:
    found = list(api.operations())
    assert len(found) >= 15
    for operation in found:
        api.hold_to_its_word(operation, api.GenerationMode.POSITIVE, token)


def test_every_operation_refuses_what_it_cannot_use(api: Any, token: str) -> None:
    with_body = [operation for operation in api.operations() if operation.body]
    assert len(with_body) >= 5
    for operation in with_body:
        api.hold_to_its_word(operation, api.GenerationMode.NEGATIVE, token)


def test_strangers_are_told_so(api: Any, db: None) -> None:
    for operation in api.operations():
        if operation.path in ("/api/schema/", "/api/token/"):
            continue
        assert "401" in operation.definition.raw["responses"], operation.label
