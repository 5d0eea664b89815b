"""A benchmark set of drawn people: nothing to license, nobody to ask, and every element is known."""

from __future__ import annotations

import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from generator.files import file_sha256
from generator.frozen_set import MediaFile
from generator.instances import Draw, Vocabulary, draw_instances, draw_references
from generator.media.photo import write_photo
from generator.portraits.__main__ import write_people
from generator.portraits.people import Item
from generator.portraits.world import ELEMENT_STATES, draw_identity, phrase_change
from generator.records import (
    ELEMENTS,
    DifferentialPrompt,
    IdentityGroup,
    InstancePlan,
    Reference,
    ReferenceKind,
    ShownReference,
)
from rlhf.evaluation.benchmark.card import Card
from rlhf.evaluation.benchmark.people import instance_id, pair_up
from rlhf.evaluation.benchmark.plan import MakePlan
from rlhf.evaluation.benchmark.set import Benchmark, write_benchmark
from rlhf.evaluation.records import EvaluationInstance, NamedElement, Task

#: Who wears what the pictures of elements show: a person of no split.
_WEARER = 40_000_000
#: What is visible as a thing, and so can be looked for; "no accessories" cannot.
_THINGS = {
    element: tuple(state for state in ELEMENT_STATES[element] if state != "no accessories")
    for element in ("hairstyle", "clothing", "accessories")
}
#: What prompts of each task change: anything, or things of which there are pictures.
_VOCABULARIES = {
    Task.IPT2V: Vocabulary(states=ELEMENT_STATES, phrase=phrase_change),
    Task.IEPT2V: Vocabulary(states=_THINGS, phrase=phrase_change),
}


def make_portraits(folder: Path, plan: MakePlan) -> Benchmark:
    """Draw people of the split `benchmark`, and ask for changes that each of them has not shown yet.

    A prompt of IPT2V changes one to three elements of any kind. One of IEPT2V changes what the person wears
    or the hair, names these things with a picture of each, and names the others, which the primary shows.

    Args:
        folder: of the set.
        plan: how many of what.

    Returns:
        The set; equal plans give equal sets.

    Raises:
        ValueError: a number out of range, or another set in `folder`.
    """
    with tempfile.TemporaryDirectory() as media:
        folders = write_people(Path(media), plan.num_identities, "benchmark", plan.seed)
        people = [_read_person(person, plan) for person in folders]
        pictures = _draw_pictures(Path(media))
        owners = pair_up(plan.num_prompts, len(people), plan.seed)
        instances = [
            instance
            for task, owned in zip(Task, (owners[: plan.num_ipt2v], owners[plan.num_ipt2v :]), strict=True)
            for instance in _instances(task, owned, people, pictures, plan.seed)
        ]
        files = [_file(item) for person in people for item in person.references]
        card = Card(
            name=plan.name or "portraits",
            version=plan.version,
            licence="CC0-1.0",
            made_by="python -m rlhf.evaluation.benchmark --portraits",
            created=plan.to_json(),
        )
        return write_benchmark(folder, card, instances, plan.seeds, [*files, *pictures.values()])


def _read_person(folder: Path, plan: MakePlan) -> IdentityGroup:
    """The references that stand for a drawn person, the primary first, with what they show."""
    known = json.loads((folder / "identity.json").read_text(encoding="utf-8"))["files"]
    everything = tuple(
        Reference(name, ReferenceKind(item["kind"]), str(folder / name), elements=item["elements"])
        for name, item in sorted(known.items())
    )
    group = IdentityGroup(folder.name, everything)
    chosen = draw_references(group, plan.num_references, plan.seed)
    return IdentityGroup(folder.name, chosen, primary=chosen[0].reference_id)


def _draw_pictures(folder: Path) -> dict[tuple[str, str], MediaFile]:
    """A still of each thing, by element and state, on somebody who is in no set."""
    plain = {element: states[0] for element, states in ELEMENT_STATES.items()}
    plain |= {"camera_shot": "medium shot", "clothing": "a white shirt", "background": "a grey studio"}
    pictures = {}
    for element, states in _THINGS.items():
        for state in states:
            item = Item(ReferenceKind.PHOTO, plain | {element: state}, yaw=0.0, seed=0)
            path = folder / f"{element}-{state}.png"
            write_photo(path, item.render(draw_identity(_WEARER))[0])
            pictures[element, state] = MediaFile(path, file_sha256(path))
    return pictures


def _instances(
    task: Task,
    owners: Sequence[int],
    people: Sequence[IdentityGroup],
    pictures: dict[tuple[str, str], MediaFile],
    seed: int,
) -> list[EvaluationInstance]:
    """One instance per prompt, in the order of the prompts."""
    plans = {
        owner: iter(draw_instances(people[owner], Draw(count, seed, 5), _VOCABULARIES[task]))
        for owner, count in Counter(owners).items()
    }
    return [
        _instance(task, number, people[owner], next(plans[owner]), pictures)
        for number, owner in enumerate(owners)
    ]


def _instance(
    task: Task,
    number: int,
    person: IdentityGroup,
    plan: InstancePlan,
    pictures: dict[tuple[str, str], MediaFile],
) -> EvaluationInstance:
    shown = {reference.reference_id: reference for reference in person.references}
    names = {name: _file(reference).name for name, reference in shown.items()}
    expected = {change.element: str(change.target) for change in plan.prompt.elements}
    changed = tuple(change.element for change in plan.prompt.changed)
    return EvaluationInstance(
        instance_id=instance_id(task, number),
        prompt=plan.prompt.text,
        references=tuple(
            ShownReference(names[name], shown[name].kind) for name in (plan.primary, *plan.assistants)
        ),
        id_group=tuple(names.values()),
        expected=expected,
        changed=changed,
        identity=person.name,
        task=task,
        standard_prompt=_caption(plan.prompt, random.Random(f"{person.name}/{number}/{plan.prompt.text}")),
        elements=_named(expected, changed, pictures) if task is Task.IEPT2V else (),
    )


def _caption(prompt: DifferentialPrompt, rng: random.Random) -> str:
    """The whole scene, element by element, changed or not."""
    states = {change.element: str(change.target) for change in prompt.elements}
    return " ".join(phrase_change(element, states[element], rng.randrange(1 << 16)) for element in ELEMENTS)


def _named(
    expected: dict[str, str], changed: tuple[str, ...], pictures: dict[tuple[str, str], MediaFile]
) -> tuple[NamedElement, ...]:
    return tuple(
        NamedElement(state, pictures[element, state].name if element in changed else None)
        for element in _THINGS
        if (state := expected[element]) in _THINGS[element]
    )


def _file(reference: Reference) -> MediaFile:
    path = Path(reference.path)
    return MediaFile(path, file_sha256(path))
