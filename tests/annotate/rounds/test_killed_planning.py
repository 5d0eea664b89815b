"""Whoever builds or plans is killed in the middle: doing it again gives the rows that were wanted."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate.models import DifferentialPrompt, IdentityGroup, Instance, InstanceReference, VideoSample
from annotate.people.instances import BuildReport, build_instances, plan_instances
from annotate.rounds.rounds import plan_pairs
from generator.instances import Draw
from tests.annotate.workers import start_python, wait_until
from tests.factories import make_group, make_instance, make_reference, make_round

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

DRAW = Draw(count=2, seed=0)
#: They write one batch of two, and stay where they can be killed.
BUILDER = """
import sys, time, django
django.setup()
from annotate.people import instances
from generator.instances import Draw
given, size_of = instances.store_instances, instances.batches
def stuck(wanted):
    given(wanted)
    open(sys.argv[1], "w").close()
    time.sleep(120)
instances.store_instances, instances.batches = stuck, lambda rows: size_of(rows, 2)
instances.build_instances(Draw(count=2, seed=0))
"""
PLANNER = """
import sys, time, django
django.setup()
from annotate.models import Instance, Round
from annotate.rounds import rounds
given, size_of = rounds.want_pairs, rounds.batches
def stuck(round, wanted):
    given(round, wanted)
    open(sys.argv[1], "w").close()
    time.sleep(120)
rounds.want_pairs, rounds.batches = stuck, lambda rows: size_of(rows, 2)
rounds.plan_pairs(Round.objects.get(), Instance.objects.order_by("id"))
"""


def kill_when_stuck(script: str, reached: Path) -> None:
    process = start_python(script, reached)
    wait_until(reached.exists, "a batch written")
    process.kill()
    process.wait()


def test_building_goes_on_after_a_kill(tmp_path):
    for _ in range(3):
        group = make_group()
        for _ in range(2):
            make_reference(group)
    wanted = {planned.digest for planned in plan_instances(IdentityGroup.objects.all(), DRAW, BuildReport())}
    kill_when_stuck(BUILDER, tmp_path / "reached")
    assert Instance.objects.count() == 2
    assert build_instances(DRAW).new_instances == 4
    assert set(Instance.objects.values_list("digest", flat=True)) == wanted
    assert DifferentialPrompt.objects.count() == 6
    assert not Instance.objects.exclude(
        pk__in=InstanceReference.objects.filter(position=0).values("instance")
    )


def test_planning_happens_as_a_whole_or_not_at_all(tmp_path):
    round = make_round()
    instances = [make_instance(num_references=1) for _ in range(3)]
    kill_when_stuck(PLANNER, tmp_path / "reached")
    assert not VideoSample.objects.exists() and not round.pairs.exists()
    assert plan_pairs(round, instances) == 3 and plan_pairs(round, instances) == 0
    assert VideoSample.objects.count() == 6
