"""SFT runs: launched after their dry run, queued on a frozen set; the result becomes a model version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.jobs.requests import model_request
from annotate.jobs.runs import queue_run
from annotate.models import ModelKind, ModelState, ModelVersion, Run, RunStatus, Stage, TrainingSet, User
from annotate.registry.registration import free_name
from annotate.supervised.preview import Preview
from annotate.supervised.queries import why_no_consent
from annotate.supervised.sets import freeze
from annotate.training.launches import StalePreviewError, refuse_unread
from generator.rundir import RunDir
from rlhf.sft.config import SFTConfig


@transaction.atomic
def launch_sft(
    policy: ModelVersion,
    preview: Preview,
    *,
    seen: str,
    accepted: bool,
    source: str = "",
    actor: User | None = None,
    tell: Callable[[int], object] = lambda num_instances: None,
) -> Run:
    """Freeze the instances that were looked at, and queue their training; the caller sends it.

    `seen` is the digest of the preview that the actor saw, `preview` is the one of now. `tell` hears how many
    instances are frozen.

    Raises:
        StalePreviewError: other instances than those seen.
        RoundError: a warning that blocks, warnings that nobody read, or as `queue_sft`.
    """
    refuse_launch(preview, seen=seen, accepted=accepted)
    chosen = preview.chosen.training_set or freeze(preview.chosen, source, actor, tell=tell)
    run = queue_sft(policy, chosen, preview.config, actor)
    record_event("launch_sft", run, actor=actor, warnings=[warning.name for warning in preview.warnings])
    return run


def refuse_launch(preview: Preview, *, seen: str, accepted: bool) -> None:
    """Nobody launches anything but what they saw, nor what they were warned of without having read it.

    Raises:
        StalePreviewError: other instances than those seen.
        RoundError: a warning that blocks, or warnings that nobody read.
    """
    if preview.chosen.digest != seen:
        raise StalePreviewError(
            "The instances have changed since this preview; it is new now. Check it again."
        )
    refuse_unread(preview.warnings, accepted=accepted)


def queue_sft(policy: ModelVersion, chosen: TrainingSet, config: SFTConfig, actor: User | None = None) -> Run:
    """Queue supervised training of an adapter on top of a version.

    Where rounds need approval, the run waits for somebody else's.

    Raises:
        RoundError: the version is archived, somebody in the set did not agree, or approval is needed and
            nobody launches by name.
    """
    if policy.state == ModelState.ARCHIVED:
        raise RoundError(f"{policy} is archived; restore it on its page, or start from another version")
    if settings.APPROVE_ROUNDS and actor is None:
        raise RoundError(
            "APPROVE_ROUNDS is on, so a person has to launch SFT and another one to approve it; "
            "sign in and launch it from the models' page"
        )
    if says := why_no_consent(chosen):
        raise RoundError(says)

    def request(folder: RunDir) -> dict[str, Any]:
        base = (policy.root or policy).weights_sha256[:16]
        place = chosen.folder if chosen.is_outside else folder.relative(settings.STORAGE_ROOT / chosen.folder)
        return {
            "model": model_request(policy, folder),
            "dataset": place,
            "cache": folder.relative(settings.STORAGE_ROOT / chosen.cache_folder / base),
            "config": config.to_json(),
        }

    return queue_run(
        None,
        Stage.SFT,
        request,
        actor=actor,
        policy=policy,
        training_set=chosen,
        devices=config.devices,
        needs_approval=settings.APPROVE_ROUNDS,
        status=RunStatus.WAITING if settings.APPROVE_ROUNDS else RunStatus.QUEUED,
    )


def register_adapter(run: Run, result: dict[str, Any]) -> ModelVersion:
    """The version that a finished run made; the same one when it is asked for again."""
    parent = run.policy
    assert parent is not None, "a database constraint"
    version, created = ModelVersion.objects.get_or_create(
        run=run,
        defaults={
            "name": free_name(f"{parent.name}+sft-{run.ordinal}", run),
            "kind": ModelKind.SFT,
            "base_model": parent.base_model,
            "parent": parent,
            "adapter_path": f"{run.folder}/{result['adapter']}",
            "weights_sha256": result["adapter_sha256"],
            # An adapter of the transformer changes nothing of how prompts are read.
            "max_tokens": parent.max_tokens,
            "special_tokens": parent.special_tokens,
            "tokenizer_sha256": parent.tokenizer_sha256,
        },
    )
    if created:
        record_event("register_model", version, training_set=run.training_set_id)
    return version
