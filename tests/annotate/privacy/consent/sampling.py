"""Models are told to make videos of somebody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.jobs import runs
from annotate.models import IdentityGroup, Split, Use
from annotate.people.instances import BuildReport, build_instances, people_to_draw, plan_instances
from annotate.prompts.generated import store_described, write_plans
from annotate.prompts.prompt_runs import queue_prompts
from annotate.rounds.sampling import queue_sampling
from generator.instances import Draw
from tests.annotate.privacy.consent.entry_points import Change, EntryPoints, refused
from tests.factories import make_group, make_instance, make_pair, make_reference

ENTRY_POINTS = EntryPoints()


@ENTRY_POINTS.needs(Use.SHOW)
def instances_to_show(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return build_instances(Draw(count=1, seed=0)).new_instances


@ENTRY_POINTS.needs(Use.TRAIN)
def instances_to_learn_from(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return people_to_draw(None, None, with_target=True, report=BuildReport())


@ENTRY_POINTS.needs(Use.EVALUATE)
def instances_to_evaluate_on(change: Change, folder: Path) -> Any:
    change(make_reference(make_group(split=Split.EVAL)).group)
    return build_instances(Draw(count=1, seed=0)).new_instances


DRAW = Draw(count=1, seed=0, num_references=1, with_target=True)


LOOK = {"backend": "server", "base_url": "http://127.0.0.1:9", "model": "org/sees"}


@ENTRY_POINTS.needs(Use.TRAIN)
def prompts_by_models(change: Change, folder: Path) -> Any:
    person = make_group()
    [make_reference(person) for _ in range(2)]
    change(person)
    return queue_prompts(DRAW)[0]


@ENTRY_POINTS.needs(Use.TRAIN)
def prompts_that_wait(change: Change, folder: Path) -> Any:
    person = make_group()
    [make_reference(person) for _ in range(2)]
    queued, _ = queue_prompts(DRAW)
    change(person)
    return not refused(queued)


@ENTRY_POINTS.needs(Use.TRAIN)
def prompts_that_come_back(change: Change, folder: Path) -> Any:
    person = make_group()
    [make_reference(person) for _ in range(2)]
    queued, _ = queue_prompts(DRAW)
    people = IdentityGroup.objects.filter(pk=person.pk)
    (planned,) = plan_instances(people, DRAW, BuildReport(), is_observed=True)
    place = runs.run_dir(queued)
    write_plans(place, [planned])
    prompt = make_instance().prompt
    change(person)
    line = {"pair_id": planned.digest, "prompt": {"text": prompt.text, "elements": prompt.elements}}
    return store_described(queued, [line])


@ENTRY_POINTS.needs(Use.SHOW)
def sampling(change: Change, folder: Path) -> Any:
    pair = make_pair(is_made=False)
    change(pair.instance.group)
    return queue_sampling(pair.round)


@ENTRY_POINTS.needs(Use.SHOW)
def sampling_beside_others(change: Change, folder: Path) -> Any:
    pair = make_pair(is_made=False)
    make_pair(pair.round, is_made=False)
    change(pair.instance.group)
    asked = runs.run_dir(queue_sampling(pair.round)).read_request()["samples"]
    return {str(pair.first_id), str(pair.second_id)} & {item["sample_id"] for item in asked}


@ENTRY_POINTS.needs(Use.SHOW)
def sampling_that_waits(change: Change, folder: Path) -> Any:
    pair = make_pair(is_made=False)
    make_pair(pair.round, is_made=False)
    queued = queue_sampling(pair.round)
    change(pair.instance.group)
    return not refused(queued)
