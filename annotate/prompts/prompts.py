"""Edits of differential prompts. Every version stays, and videos keep the prompt that they were made with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from django.db import IntegrityError, transaction

from annotate.core.audit import record_event
from annotate.models import DifferentialPrompt, Instance, InstanceReference, User
from annotate.people.prompt_reader_queries import readers_in_use
from generator.prompts.differential import differential_prompt

#: Of a prompt, whatever the model; each model has its own limit in tokens.
MAX_CHARACTERS = 2000


class PromptError(ValueError):
    """An edit cannot be stored; the message names the reason and the remedy."""


@dataclass(frozen=True)
class PromptEdit:
    """For each element that is to change, what it is to be, and a sentence that says so.

    An empty `text` is composed from the sentences.
    """

    targets: Mapping[str, str]
    statements: Mapping[str, str]
    text: str = ""


@transaction.atomic
def edit_prompt(instance: Instance, base_id: int, edit: PromptEdit, author: User) -> Instance:
    """Give an instance another prompt, or where it has videos already, a copy of it; returns which has it.

    `base_id` is the version that the author saw.

    Raises:
        PromptError: somebody else edited it meanwhile, the edit is not a prompt, or no model reads it to
            its end.
    """
    instance = Instance.objects.select_for_update(of=("self",)).select_related("prompt").get(pk=instance.pk)
    if instance.prompt_id != base_id:
        raise PromptError("somebody else edited this prompt meanwhile; look at theirs, then edit again")
    prompt = _new_version(instance.prompt, edit, author)
    if not instance.samples.exists():
        Instance.objects.filter(pk=instance.pk).update(prompt=prompt)
        record_event("edit_prompt", instance, actor=author, prompt=prompt.pk)
        instance.prompt = prompt
        return instance
    copy = _copy_with(instance, prompt)
    record_event("edit_prompt", copy, actor=author, prompt=prompt.pk, copied_from=instance.pk)
    return copy


def _new_version(base: DifferentialPrompt, edit: PromptEdit, author: User) -> DifferentialPrompt:
    shown = {item["element"]: item["primary"] for item in base.elements if item["primary"]}
    similarity = {
        item["element"]: item["similarity"]
        for item in base.elements
        if item["similarity"] is not None and item["target"] == edit.targets.get(item["element"])
    }
    try:
        composed = differential_prompt(shown, edit.targets, edit.statements, similarity)
    except ValueError as error:
        raise PromptError(str(error)) from None
    text = " ".join(edit.text.replace("\0", "").split()) or composed.text
    if len(text) > MAX_CHARACTERS:
        raise PromptError(f"the text has {len(text)} characters; {MAX_CHARACTERS} are allowed")
    refusal, _ = readers_in_use().look_at(text)
    if refusal:
        raise PromptError(refusal)
    elements = [asdict(change) for change in composed.elements]
    if (text, elements) == (base.text, base.elements):
        raise PromptError("nothing was changed; tick an element, or write another sentence")
    try:
        with transaction.atomic():
            return DifferentialPrompt.objects.create(
                text=text, elements=elements, method="edited by hand", supersedes=base, author=author
            )
    except IntegrityError:
        raise PromptError("this version was edited before; edit the newest one instead") from None


def _copy_with(instance: Instance, prompt: DifferentialPrompt) -> Instance:
    digest = hashlib.sha256(f"{instance.digest}/{prompt.text}/{prompt.elements}".encode()).hexdigest()
    copy = Instance.objects.create(group_id=instance.group_id, prompt=prompt, digest=digest)
    places = list(instance.places.all())
    for place in places:
        place.pk, place.instance = None, copy
    InstanceReference.objects.bulk_create(places)
    return copy
