"""Consent: where it is unknown, refused or over, media go nowhere, whichever way is tried."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotate.models import (
    IdentityGroup,
    Use,
)
from tests.annotate.privacy.consent import evaluating, looking, publishing, sampling, training
from tests.annotate.privacy.consent.entry_points import (
    REFUSALS,
    Act,
    day,
    end,
    forget,
    refuse,
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

ENTRY_POINTS = [
    *looking.ENTRY_POINTS,
    *sampling.ENTRY_POINTS,
    *training.ENTRY_POINTS,
    *evaluating.ENTRY_POINTS,
    *publishing.ENTRY_POINTS,
]


@pytest.fixture
def prompt_models(tmp_path: Path, settings: Any) -> None:
    (tmp_path / "key").write_text("secret")
    models = {
        "describer": {**sampling.LOOK, "api_key_file": "key"},
        "comparer": {**sampling.LOOK, "api_key_file": "key"},
    }
    (tmp_path / "models.json").write_text(json.dumps(models))
    settings.PROMPT_MODELS = tmp_path / "models.json"
    settings.APPROVE_ROUNDS = False


@pytest.mark.parametrize(("uses", "act"), ENTRY_POINTS)
def test_consent_lets_it_through(uses: tuple[Use, ...], act: Act, prompt_models: None, tmp_path: Path):
    """Exactly the uses that it needs are enough, up to and with the last day."""

    def change(person: IdentityGroup) -> None:
        more = [Use.TRAIN] if act is publishing.export_to_hand_out else []
        enough = [use.value for use in (*uses, *more)]
        IdentityGroup.objects.filter(pk=person.pk).update(consent_uses=enough, consent_expires_on=day())

    assert act(change, tmp_path)


@pytest.mark.parametrize("state", [forget, refuse, end])
@pytest.mark.parametrize(("uses", "act"), ENTRY_POINTS)
def test_nothing_comes_through_without_consent(
    uses: tuple[Use, ...], act: Act, state: Any, prompt_models: None, tmp_path: Path
):
    """Whoever is not left out in silence is refused in words that name person, use and remedy."""
    for number, use in enumerate(uses):
        changed: list[IdentityGroup] = []

        def change(person: IdentityGroup, use: Use = use, changed: list[IdentityGroup] = changed) -> None:
            changed.append(person)
            IdentityGroup.objects.filter(pk=person.pk).update(**state(person, use))

        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            came_through = act(change, folder)
        except REFUSALS as problem:
            says = str(problem)
            (person,) = changed
            verb = {forget: "is not stated", refuse: "is refused", end: "has ended"}[state]
            assert person.name in says and use.value in says and verb in says and "person's page" in says
        else:
            assert not came_through
