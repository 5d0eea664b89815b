"""Whoever builds or plans is killed in the middle: doing it again gives the rows that were wanted."""

from __future__ import annotations

import pytest

from annotate.models import (
    DifferentialPrompt,
    IdentityGroup,
    Instance,
    InstanceReference,
    Round,
    VideoSample,
)
from annotate.people import instances
from annotate.people.instances import BuildReport, build_instances, plan_instances
from annotate.rounds import rounds
from annotate.rounds.rounds import plan_pairs
from generator.instances import Draw
from tests.annotate.copies import Stay, killed_where_it_stays
from tests.factories import make_group, make_instance, make_reference, make_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

DRAW = Draw(count=2, seed=0)


def build(stay: Stay) -> None:
    """Write one batch of two, and stay."""
    given, size_of = instances.store_instances, instances.batches

    def store(wanted: list[instances.Planned]) -> None:
        given(wanted)
        stay()

    instances.store_instances, instances.batches = store, lambda rows: size_of(rows, 2)
    build_instances(DRAW)


def plan(stay: Stay) -> None:
    """Likewise."""
    given, size_of = rounds.want_pairs, rounds.batches

    def want(round: Round, wanted: list[Instance]) -> None:
        given(round, wanted)
        stay()

    rounds.want_pairs, rounds.batches = want, lambda rows: size_of(rows, 2)
    plan_pairs(Round.objects.get(), Instance.objects.order_by("id"))


def test_building_goes_on_after_a_kill():
    for _ in range(3):
        group = make_group()
        for _ in range(2):
            make_reference(group)
    wanted = {planned.digest for planned in plan_instances(IdentityGroup.objects.all(), DRAW, BuildReport())}
    killed_where_it_stays(build)
    assert Instance.objects.count() == 2
    assert build_instances(DRAW).new_instances == 4
    assert set(Instance.objects.values_list("digest", flat=True)) == wanted
    assert DifferentialPrompt.objects.count() == 6
    assert not Instance.objects.exclude(
        pk__in=InstanceReference.objects.filter(position=0).values("instance")
    )


def test_planning_happens_as_a_whole_or_not_at_all():
    round = make_round()
    wanted = [make_instance(num_references=1) for _ in range(3)]
    killed_where_it_stays(plan)
    assert not VideoSample.objects.exists() and not round.pairs.exists()
    assert plan_pairs(round, wanted) == 3 and plan_pairs(round, wanted) == 0
    assert VideoSample.objects.count() == 6
