"""Evaluations and studies for tests, and participants who think as they were told to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from math import exp, sqrt
from random import Random
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.test import Client
from django.utils import timezone

from annotate.jobs.requests import references_requests
from annotate.jobs.runs import run_dir
from annotate.models import EntryLink, Instance, Participant, Run, Stage, Study, StudyAnswer, StudyTask, User
from annotate.studies.answers import submit_answer
from annotate.studies.media import store_media
from annotate.studies.studies import make_study
from generator.rundir import RunDir
from rlhf.evaluation.study_plan import Criterion
from tests.factories import make_instance, make_round, write_test_clip

ALL_LEFT = {str(criterion): "left" for criterion in Criterion}
SYSTEMS = {"anyid": "AnyID", "consisid": "ConsisID", "phantom": "Phantom"}
TERMS = {
    "name": "Faces in motion",
    "id_parameter": "PROLIFIC_PID",
    "max_people": 2,
    "closes_at": timezone.now() + timedelta(days=1),
    "consent_text": "You will see videos.",
    "completion_code": "C0DE42",
}


def make_evaluation(
    systems: Mapping[str, str] = SYSTEMS,
    *,
    instances: Sequence[Instance] | None = None,
    num_instances: int = 3,
) -> Run:
    """A finished evaluation with one video of each instance by each system."""
    round = make_round()
    instances = instances or [make_instance(num_references=1) for _ in range(num_instances)]
    place = f"runs/round-{round.pk}/evaluate-1"
    run = Run(round=round, stage=Stage.EVALUATE, ordinal=1, folder=place, status="done")
    folder = run_dir(run)
    folder.create({"stage": "evaluate", "instances": [_asked(instance, folder) for instance in instances]})
    videos = [
        {
            "system": system,
            "instance_id": str(instance.pk),
            "seed": 0,
            "path": folder.relative(settings.STORAGE_ROOT / write_test_clip()[0]),
        }
        for system in systems
        for instance in instances
    ]
    run.result = {
        "systems": {system: {"label": label} for system, label in systems.items()},
        "videos": videos,
    }
    run.save()
    return run


def _asked(instance: Instance, folder: RunDir) -> dict[str, Any]:
    """An instance as a request of `rlhf.evaluate` has it."""
    group = [folder.relative(settings.STORAGE_ROOT / item.path) for item in instance.group.references.all()]
    return {
        "instance_id": str(instance.pk),
        "prompt": instance.prompt.text,
        "references": references_requests([instance.pk], folder)[instance.pk],
        "id_group": [{"path": path, "kind": "clip"} for path in group],
    }


def open_study(run: Run | None = None, *, pairs: int = 3, people: int = 2) -> Study:
    """A study that participants can come to."""
    run = run or make_evaluation()
    link = EntryLink(**(TERMS | {"max_people": people}))
    study = make_study(run, run.result["systems"], link, pairs_per_person=pairs)
    assert store_media(study), study.error
    return study


@dataclass
class Thinker:
    """A participant who answers by planted strengths: log pi of each system by each criterion, and nu."""

    log_pi: Mapping[Criterion, Mapping[str, float]]
    nu: float = 0.3
    random: Random = field(default_factory=Random)

    def choices(self, task: StudyTask) -> dict[str, str]:
        """Left, right or tie by each criterion, by Davidson's model."""
        first, second = task.pair.first.model.system, task.pair.second.model.system
        left, right = (first, second) if task.first_side == "left" else (second, first)
        said = {}
        for criterion, strengths in self.log_pi.items():
            weights = [exp(strengths[left]), exp(strengths[right])]
            weights.append(self.nu * sqrt(weights[0] * weights[1]))
            said[str(criterion)] = self.random.choices(("left", "right", "tie"), weights)[0]
        return said


def come(study: Study, external_id: str = "5f1a") -> tuple[Client, User]:
    browser = Client()
    answer = browser.post(f"/enter/{study.link.token}/", {"PROLIFIC_PID": external_id})
    assert answer.headers["Location"] == f"/study/{study.pk}/"
    return browser, Participant.objects.get(external_id=external_id).account


def tasks_of(person: User) -> list[StudyTask]:
    return list(StudyTask.objects.filter(seat__participant=person).order_by("position"))


def sent(task: StudyTask, **changes: str) -> dict[str, str]:
    return {"lease": str(task.lease), "idempotency_key": str(uuid4()), **ALL_LEFT, **changes}


def submit(person: User, task: StudyTask, key=None, **more) -> StudyAnswer:
    return submit_answer(person, task.lease, ALL_LEFT, idempotency_key=key or uuid4(), **more)


def plan(run, **changes) -> Study:
    values = {"systems": SYSTEMS, "pairs_per_person": 3} | changes
    return make_study(run, link=EntryLink(**TERMS), **values)
