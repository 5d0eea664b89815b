"""Weights that were made elsewhere: looked at and hashed by a worker that has them, then a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.jobs.requests import model_request
from annotate.jobs.runs import queue_run, read_request
from annotate.models import ModelKind, ModelState, ModelVersion, Run, Stage, User
from annotate.rounds.prompt_limits import learn_limit
from annotate.storage.opening import site_storage
from generator.model_files import is_hub_id
from generator.prompts.limit import PromptLimit
from generator.rundir import RunDir

#: What weights without a parent may be: nobody who did not train them can say more.
BASE_KINDS = (ModelKind.SFT, ModelKind.BASE)
_MAX_NAME, _MAX_PLACE = 100, 500


def queue_base(base: str, kind: str = ModelKind.SFT, actor: User | None = None) -> Run:
    """Queue the look at a base: a folder in the Diffusers layout, or a hub id in a worker's cache.

    Args:
        base: where the workers find it.
        kind: `sft` of one that takes references already, `base` of one that does not yet.
        actor: who wants it.

    Raises:
        RoundError: neither a folder nor a hub id, or no such kind.
    """
    if kind not in BASE_KINDS:
        raise RoundError(f"kind is {kind!r}; it must be one of {', '.join(BASE_KINDS)}")
    base = _place(base, "base", or_hub_id=True)
    request = {"model": {"base": base, "adapters": []}, "kind": str(kind)}
    return queue_run(None, Stage.REGISTER, lambda folder: request, actor=actor)


def queue_adapter(adapter: str, policy: ModelVersion, actor: User | None = None) -> Run:
    """Queue the look at an adapter that was trained elsewhere, on top of a version.

    Raises:
        RoundError: no path that workers could find, or the version is archived.
    """
    adapter = _place(adapter, "adapter", or_hub_id=False)
    if policy.state == ModelState.ARCHIVED:
        raise RoundError(f"{policy} is archived; restore it on its page, or name another version")

    def request(folder: RunDir) -> dict[str, Any]:
        return {"model": model_request(policy, folder), "adapter": adapter}

    return queue_run(None, Stage.REGISTER, request, actor=actor, policy=policy)


def _place(place: str, what: str, *, or_hub_id: bool) -> str:
    """A place as the workers will read it.

    Raises:
        RoundError: it means nothing to a program in another folder.
    """
    place = place.strip()
    if not place or len(place) > _MAX_PLACE or not place.isprintable():
        raise RoundError(f"{what} has {len(place)} characters; name a place of 1 to {_MAX_PLACE}")
    if not place.startswith("/") and not (or_hub_id and is_hub_id(place)):
        hub = ", or a hub id such as org/name" if or_hub_id else ""
        raise RoundError(f"{what} is {place!r}; give the whole path on the workers, from /{hub}")
    return place


def register_found(run: Run, result: dict[str, Any]) -> ModelVersion:
    """The version that a finished look makes; the same one when the same weights were looked at before."""
    if run.policy is not None:
        version, created = _register_adapter(run, run.policy, result)
    else:
        version, created = _register_base(run, read_request(run), result["weights_sha256"])
    learn_limit(version, _limit(run, result))
    if created:
        record_event("import_model", version, weights_sha256=version.weights_sha256)
    return version


def _register_base(run: Run, request: dict[str, Any], sha256: str) -> tuple[ModelVersion, bool]:
    base = request["model"]["base"]
    return ModelVersion.objects.get_or_create(
        base_model=base,
        parent=None,
        weights_sha256=sha256,
        defaults={
            "kind": request["kind"],
            "name": free_name(f"{Path(base).name}-{sha256[:8]}", run),
            "run": run,
        },
    )


def _register_adapter(run: Run, policy: ModelVersion, result: dict[str, Any]) -> tuple[ModelVersion, bool]:
    sha256 = result["weights_sha256"]
    return ModelVersion.objects.get_or_create(
        parent=policy,
        weights_sha256=sha256,
        run__stage=Stage.REGISTER,
        defaults={
            "kind": ModelKind.SFT,
            "base_model": policy.base_model,
            "name": free_name(f"{policy.name}+{sha256[:8]}", run),
            "adapter_path": f"{run.folder}/{result['adapter']}",
            "run": run,
        },
    )


def free_name(name: str, run: Run) -> str:
    """The name, or with the number of the run where another version has it or it is too long."""
    if len(name) <= _MAX_NAME and not ModelVersion.objects.filter(name=name).exists():
        return name
    end = f"-{run.ordinal}"
    return name[: _MAX_NAME - len(end)] + end


def _limit(run: Run, result: dict[str, Any]) -> PromptLimit | None:
    """How the worker found that the base reads prompts."""
    found = result.get("limit")
    if found is None:
        return None
    text = b"".join(site_storage().stream(f"{run.folder}/tokenizer.json")).decode()
    return PromptLimit(found["max_tokens"], found["special_tokens"], text, found["tokenizer_sha256"])
