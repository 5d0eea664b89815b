"""The operations that the API describes, held to their word by requests that schemathesis thinks up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import schemathesis
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

from annotate.judging.slots import lease_slot
from annotate.models import JudgmentFile, Round, Slot, User
from annotate.wsgi import application
from rlhf.records import Track

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


def operations() -> Iterator[Any]:
    schema = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    schema.app = application
    for result in schema.get_all_operations():
        yield result.ok()


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
