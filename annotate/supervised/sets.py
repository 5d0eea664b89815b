"""Freeze what supervised training learns from: instances of people here, or a folder that a worker reads."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import Prefetch, QuerySet

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.jobs.runs import queue_run, read_request
from annotate.models import Instance, InstanceReference, Run, Stage, TrainingSet, User
from annotate.storage.opening import site_storage
from annotate.supervised.queries import Chosen, people_of, people_with_files
from rlhf.training.instances import INSTANCES_FILE
from rlhf.training.set_facts import ContentHash

#: Where sets are stored, each in a folder of its own.
FOLDER = "training-sets"
#: As the reading of a folder leaves it.
MEDIA_FILE = "media.txt"
#: Hashes that one query looks for.
_AT_ONCE = 5_000


@transaction.atomic
def freeze(
    chosen: Chosen,
    source: str,
    actor: User | None,
    *,
    tell: Callable[[int], object] = lambda num_instances: None,
) -> TrainingSet:
    """Write what was chosen as a folder; the same set gives the same row and folder again.

    `tell` hears how many instances are written.
    """
    with site_storage().workspace() as workspace:
        pending = workspace / "set"
        pending.mkdir()
        content_hash = _write(pending, chosen.instances, tell)
        folder = f"{FOLDER}/{content_hash[:16]}"
        found, created = TrainingSet.objects.get_or_create(
            content_hash=content_hash,
            defaults={
                "name": f"{source or 'all people'}, set {content_hash[:8]}",
                "folder": folder,
                "num_instances": chosen.facts.num_instances,
                "facts": asdict(chosen.facts),
                "created_by": actor,
            },
        )
        if created:
            found.people.set(people_of(chosen.instances))
            record_event("freeze_training_set", found, actor=actor, content_hash=content_hash)
        # After the rows: an erasure that came between has removed the people, and nothing is kept.
        site_storage().put_folder(pending, folder, last=INSTANCES_FILE)
    return found


def _write(folder: Path, instances: QuerySet[Instance], tell: Callable[[int], object]) -> str:
    """The JSON lines that `rlhf.sft` reads; returns the hash of their content."""
    content = ContentHash()
    with open(folder / INSTANCES_FILE, "w", encoding="utf-8") as file:
        for number, instance in enumerate(_with_places(instances), start=1):
            shown = [place for place in instance.in_order if place.position is not None]  # type: ignore[attr-defined]
            target = next(place for place in instance.in_order if place.position is None)  # type: ignore[attr-defined]
            person, prompt = instance.group.pseudonym, instance.prompt.text
            file.write(json.dumps(_line(instance, shown, target), ensure_ascii=False) + "\n")
            references = [(place.shown.sha256, str(place.shown.kind)) for place in shown]
            content.add(str(instance.pk), person, prompt, references, target.reference.sha256)
            tell(number)
        file.flush()
        os.fsync(file.fileno())
    return content.hex()


def _with_places(instances: QuerySet[Instance]) -> Iterator[Instance]:
    places = InstanceReference.objects.select_related("reference").order_by("position")
    rows = instances.select_related("group", "prompt").prefetch_related(
        Prefetch("places", places, to_attr="in_order")
    )
    return rows.iterator(chunk_size=500)


def _line(instance: Instance, shown: list[InstanceReference], target: InstanceReference) -> dict[str, Any]:
    def place(path: str) -> str:
        return os.path.relpath(path, f"{FOLDER}/any")

    return {
        "instance_id": str(instance.pk),
        "id_group": instance.group.pseudonym,
        "prompt": instance.prompt.text,
        "references": [{"path": place(one.shown.path), "kind": str(one.shown.kind)} for one in shown],
        "target": {"path": place(target.reference.path)},
    }


def queue_folder(folder: str, *, licence: str, is_vouched: bool, actor: User | None = None) -> Run:
    """Queue the look at a folder of instances, as `rlhf.sft` reads it, where the workers find it.

    Raises:
        RoundError: no path that workers could find, no licence, or nobody vouches for the people's consent.
    """
    folder, licence = folder.strip(), licence.strip()
    if not folder.startswith("/") or len(folder) > 500 or not folder.isprintable():
        raise RoundError(f"folder is {folder[:80]!r}; give the whole path on the workers, from /")
    if not 1 <= len(licence) <= 200:
        raise RoundError("licence is empty or too long; say in 1 to 200 characters under which the files are")
    if not is_vouched:
        raise RoundError(
            "nobody says that the people in it agreed to training; tick that they did, or leave them out"
        )
    request = {"dataset": folder, "licence": licence}
    return queue_run(None, Stage.DATASET, lambda place: request, actor=actor)


def register_folder(run: Run, result: dict[str, Any]) -> TrainingSet:
    """The set that a finished look makes; the same one when the same content was read before."""
    request = read_request(run)
    folder = Path(request["dataset"])
    found, created = TrainingSet.objects.get_or_create(
        content_hash=result["content_hash"],
        defaults={
            "name": f"{folder.name}, set {result['content_hash'][:8]}",
            "folder": request["dataset"],
            "is_outside": True,
            "num_instances": result["num_instances"],
            "facts": {**result["facts"], "licences": {request["licence"]: result["num_instances"]}},
            "created_by": run.launched_by,
        },
    )
    if created:
        hashes = b"".join(site_storage().stream(f"{run.folder}/{MEDIA_FILE}")).decode().split()
        for start in range(0, len(hashes), _AT_ONCE):
            found.people.add(*people_with_files(hashes[start : start + _AT_ONCE]))
        record_event(
            "read_training_set", found, actor=run.launched_by, content_hash=found.content_hash, run=run.pk
        )
    return found
