"""The editor of an instance's differential prompt: seven elements beside the primary reference."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from annotate.core.access import SignedInRequest, leads_only
from annotate.models import DifferentialPrompt, Instance
from annotate.people import queries as curation_queries
from annotate.people.prompt_reader_queries import readers_in_use
from annotate.prompts.prompts import MAX_CHARACTERS, PromptEdit, PromptError, edit_prompt
from generator.prompts.differential import make_prompt
from generator.records import ELEMENTS


@leads_only
@require_http_methods(["GET", "HEAD", "POST"])
def prompt(request: SignedInRequest, instance_id: int) -> HttpResponse:
    instance = get_object_or_404(curation_queries.visible_instances(request.user), pk=instance_id)
    if request.method != "POST":
        return render(request, "annotate/prompts/prompt.html", _context(instance))
    rows = _given_rows(instance, request.POST.dict())
    text = request.POST.get("text", "")
    try:
        base = request.POST.get("base", "")
        # Python refuses to read a number of thousands of digits; a row's has at most 19.
        base_id = int(base) if base.isdecimal() and len(base) < 20 else 0
        edited = edit_prompt(instance, base_id, _edit(instance, rows, text), request.user)
    except PromptError as error:
        context = _context(instance, text) | {"rows": rows, "problem": str(error)}
        return render(request, "annotate/prompts/prompt.html", context, status=422)
    _, warning = readers_in_use().look_at(edited.prompt.text)
    if warning:
        messages.warning(request, f"Saved, but a round of this model leaves the instance out: {warning}.")
    if edited.pk != instance.pk:
        messages.info(request, "The videos made so far keep their prompt; this copy has the new one.")
    return redirect("prompt", instance_id=edited.pk)


@leads_only
@require_POST
def prompt_tokens(request: SignedInRequest) -> HttpResponse:
    counts = readers_in_use().count(request.POST.get("text", "")[:MAX_CHARACTERS])
    return render(request, "annotate/prompts/prompt.html#tokens", {"counts": counts})


def _context(instance: Instance, text: str | None = None) -> dict[str, Any]:
    text = instance.prompt.text if text is None else text
    return {
        "instance": instance,
        "primary": instance.places.select_related("reference").filter(position=0).first(),
        "rows": _stored_rows(instance.prompt),
        "text": text,
        "counts": readers_in_use().count(text),
        "history": instance.prompt.versions[1:],
        "has_videos": instance.samples.exists(),
        "copy": curation_queries.edited_copy(instance),
    }


def _stored_rows(stored: DifferentialPrompt) -> list[dict[str, Any]]:
    changes = {item["element"]: item for item in stored.elements}
    return [{**changes[element], "name": element.replace("_", " ")} for element in ELEMENTS]


def _given_rows(instance: Instance, given: dict[str, str]) -> list[dict[str, Any]]:
    """The form as it came, so that a refused edit is not typed again."""
    return [
        row
        | {
            "changed": f"{row['element']}-changed" in given,
            "target": given.get(f"{row['element']}-target", "").strip(),
            "statement": given.get(f"{row['element']}-statement", "").strip(),
        }
        for row in _stored_rows(instance.prompt)
    ]


def _edit(instance: Instance, rows: list[dict[str, Any]], text: str) -> PromptEdit:
    """A text that was left as it stood follows the statements; one that was written anew stays."""
    changed = [row for row in rows if row["changed"]]
    before = {item["element"]: item["statement"] for item in instance.prompt.elements if item["changed"]}
    is_untouched = text.split() == instance.prompt.text.split() == make_prompt(before).split()
    return PromptEdit(
        targets={row["element"]: row["target"] for row in changed},
        statements={row["element"]: row["statement"] for row in changed},
        text="" if is_untouched else text,
    )
