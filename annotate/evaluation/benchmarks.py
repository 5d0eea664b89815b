"""Benchmark sets of curated people: out of the database, with prompts from a file or a language model."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models.functions import Collate

from annotate.core.audit import record_event
from annotate.models import IdentityGroup, Reference, Use
from annotate.people.prompt_reader_queries import readers_in_use
from annotate.people.queries import primary_of, usable_references
from annotate.privacy.consent_queries import given, refusal
from annotate.prompts.prompt_runs import prompt_models
from annotate.storage.stored_media import stored_media
from generator.frozen_set import MediaFile
from generator.instances import draw_references
from generator.prompts.asking import Patience, UnansweredError
from generator.prompts.backends.loading import Desk
from generator.prompts.transcript import Transcript
from generator.records import IdentityGroup as GroupRecord
from generator.records import Reference as ReferenceRecord
from generator.records import ReferenceKind
from rlhf.evaluation.benchmark.card import BenchmarkError, Card
from rlhf.evaluation.benchmark.people import ask_of_people
from rlhf.evaluation.benchmark.plan import MakePlan
from rlhf.evaluation.benchmark.prompts import BenchmarkPrompt, ask_prompts, read_prompts
from rlhf.evaluation.benchmark.set import Benchmark, read_benchmark, write_benchmark

#: A set evaluates models, and leaves the site with people's media.
USES = (Use.EVALUATE, Use.PUBLISH)


@dataclass(frozen=True)
class Made:
    """A set, whether this call wrote it, who could not be in it, and what models here would not read."""

    benchmark: Benchmark
    is_new: bool
    left_out: Mapping[str, int]
    not_read: Sequence[str] = ()


def make_benchmark(folder: Path, plan: MakePlan, *, split: str, prompts_file: Path | None) -> Made:
    """Make a set of people of a split; equal people, prompts and plans give equal sets.

    A folder that holds this set already is left as it is, and nobody is asked again. Without a file, as
    `read_prompts` reads it, the model of PROMPT_MODELS writes the prompts.

    Raises:
        ValueError: too few people or prompts, no proper answer, or another set in `folder`.
    """
    chosen, left_out = _choose_people(plan, split)
    people = [_record(group, usable, plan) for group, usable in chosen]
    prompts = None if prompts_file is None else read_prompts(prompts_file, plan.counts)
    # Who wrote the prompts names the set, not what they wrote: a model's words cannot be repeated.
    created = {
        **plan.to_json(),
        "split": split,
        "people": _digest([[person.name, [r.reference_id for r in person.references]] for person in people]),
        "prompts": _writer_name() if prompts is None else _digest([asdict(prompt) for prompt in prompts]),
    }
    if folder.exists() and any(folder.iterdir()):
        there = _expect_same(folder, created)
        return Made(there, False, left_out, _not_read(there))
    instances = ask_of_people(people, prompts or _ask(folder, plan), plan.seed)
    card = Card(
        name=plan.name or folder.name,
        version=plan.version,
        licence=", ".join(sorted({group.licence or "not stated" for group, _ in chosen})),
        made_by="manage.py make_benchmark",
        created=created,
    )
    with ExitStack() as held:
        made = write_benchmark(folder, card, instances, plan.seeds, _media(people, held))
    _note(made, [group for group, _ in chosen])
    return Made(made, True, left_out, _not_read(made))


def _media(people: Sequence[GroupRecord], held: ExitStack) -> Iterator[MediaFile]:
    for person in people:
        for reference in person.references:
            yield stored_media(reference.path, reference.reference_id, held)


def _not_read(made: Benchmark) -> list[str]:
    """A set is for models of others, too, so it holds what those here would leave as a hole."""
    readers = readers_in_use()
    notes = ((item.instance_id, readers.look_at(item.prompt)) for item in made.instances)
    return [f"{name}: {'; '.join(filter(None, said))}" for name, said in notes if any(said)]


def _choose_people(
    plan: MakePlan, split: str
) -> tuple[list[tuple[IdentityGroup, list[Reference]]], dict[str, int]]:
    """People who have and allow enough, drawn by the seed, with what may be used of them."""
    usable: dict[int, list[Reference]] = defaultdict(list)
    for reference in usable_references(*USES).filter(group__split=split).order_by("sha256"):
        usable[reference.group_id].append(reference)
    everybody = IdentityGroup.objects.filter(split=split).select_related("primary")
    everybody = everybody.annotate(has_consent=given("", *USES))
    fit, left_out = [], Counter[str]()
    for group in everybody.order_by(Collate("source", "C"), Collate("name", "C")):
        if not group.has_consent:
            left_out["no consent to evaluate and publish"] += 1
        elif len(usable[group.pk]) < plan.num_references:
            left_out[f"fewer than {plan.num_references} usable references"] += 1
        else:
            fit.append((group, usable[group.pk]))
    if len(fit) < plan.num_identities:
        reasons = "".join(f"; {reason}: {count}" for reason, count in left_out.items())
        raise BenchmarkError(
            f"{plan.num_identities} people are asked for and split {split} has {len(fit)} that fit{reasons}; "
            f"import more with this split, keep more of their references, or ask for fewer people. "
            f"{refusal(everybody, *USES)}".strip()
        )
    return random.Random(f"{plan.seed}/people").sample(fit, plan.num_identities), dict(left_out)


def _record(group: IdentityGroup, usable: Sequence[Reference], plan: MakePlan) -> GroupRecord:
    """The references that stand for a person, the primary that the product chose first."""
    name = f"{group.source}/{group.name}"
    primary = primary_of(group)
    references = tuple(ReferenceRecord(item.sha256, ReferenceKind(item.kind), item.path) for item in usable)
    everything = GroupRecord(name, references, primary.sha256 if primary else None)
    return GroupRecord(group.pseudonym, draw_references(everything, plan.num_references, plan.seed))


def _ask(folder: Path, plan: MakePlan) -> list[BenchmarkPrompt]:
    """Have the prompts written; what was said stays beside the set."""
    models = prompt_models()
    folder.parent.mkdir(parents=True, exist_ok=True)
    transcript = Transcript(folder.with_name(f"{folder.name}.transcripts.jsonl"))
    desk = Desk(Path, transcript, Patience(**models.get("patience", {})))
    try:
        return ask_prompts(desk.asker(_writer(models)), plan.counts, plan.seed)
    except UnansweredError as error:
        raise BenchmarkError(f"{error}; {transcript.path} has every question") from None


def _writer(models: Mapping[str, Any]) -> Mapping[str, Any]:
    """Who of PROMPT_MODELS can write: the comparer where it is a language model, else the describer.

    Raises:
        ValueError: nobody can.
    """
    for spec in (models.get("comparer"), models["describer"]):
        if spec and spec["backend"] in ("server", "local"):
            writer: Mapping[str, Any] = spec
            return writer
    raise ValueError(
        "PROMPT_MODELS names no language model that writes; add one with backend server or local, "
        "or give --prompts-file"
    )


def _writer_name() -> str:
    """As it is known elsewhere, too: a local model by its folder's name."""
    spec = _writer(prompt_models())
    return str(spec["model"]) if spec["backend"] == "server" else Path(spec["model"]).name


def _expect_same(folder: Path, created: Mapping[str, Any]) -> Benchmark:
    there = read_benchmark(folder, check_media=False)
    if there.card.created != json.loads(json.dumps(created)):
        raise BenchmarkError(
            f"{folder} holds a set of other people, prompts or numbers; write into a new folder"
        )
    return there


@transaction.atomic
def _note(made: Benchmark, groups: Sequence[IdentityGroup]) -> None:
    """Whose faces left the site, and in which set."""
    names = {instance.identity for instance in made.instances}
    for group in groups:
        if group.pseudonym in names:
            record_event("make_benchmark", group, set=made.card.name, sha256=made.card.sha256)


def _digest(value: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
