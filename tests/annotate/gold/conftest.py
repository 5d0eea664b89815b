"""A round whose pairs gold can be made of."""

from __future__ import annotations

import pytest

from annotate.models import Curation, InstanceReference, Reference, Round
from tests.factories import make_group, make_instance, make_pair, make_reference, make_round

#: Of a person: enough that no two items share one, training included, and some are left for the queue.
QUESTIONS = 20


@pytest.fixture
def round() -> Round:
    """Two people with some questions each; the questions of a person differ."""
    round = make_round()
    for _ in range(2):
        group = make_group()
        references = [make_reference(group) for _ in range(2)]
        for clothing in range(QUESTIONS):
            instance = make_instance(group, num_references=0, clothing=f"coat {clothing}")
            for position, reference in enumerate(references):
                InstanceReference.objects.create(instance=instance, reference=reference, position=position)
            make_pair(round, instance)
    Reference.objects.update(curation=Curation.DONE)
    return round


@pytest.fixture
def always(monkeypatch) -> None:
    monkeypatch.setattr("annotate.judging.slots.is_golds_turn", lambda: True)
