"""Flow-DPO runs: queued on a frozen export; the result becomes a model version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.jobs.requests import model_request
from annotate.jobs.runs import queue_run
from annotate.models import Export, ModelKind, ModelVersion, Round, Run, RunStatus, Stage, Use, User
from annotate.privacy.consent import refuse_training
from annotate.privacy.consent_queries import people_of, refusal
from annotate.rounds.rounds import refuse_comparison
from generator.rundir import RunDir
from rlhf.dpo.config import FlowDPOConfig


def queue_dpo(
    round: Round, export: Export, actor: User | None = None, *, config: Mapping[str, Any] | None = None
) -> Run:
    """Queue Flow-DPO on a frozen export, with the round's settings or others.

    Where rounds need approval, the run waits for somebody else's.

    Raises:
        RoundError: the export is empty or withdrawn, or holds people who did not agree to training, the round
            compares models, or approval is needed and nobody launches by name.
    """
    refuse_comparison(round)
    if settings.APPROVE_ROUNDS and actor is None:
        raise RoundError(
            "APPROVE_ROUNDS is on, so a person has to launch Flow-DPO and another one to approve it; "
            "sign in and launch it from the round's page"
        )
    if export.withdrawn:
        raise RoundError(f"{export} was withdrawn ({export.withdrawn}); export the round again")
    refuse_training(export)
    if not export.num_pairs:
        says = f"{export} holds no pair; collect more votes, or look at the reasons on the round's page"
        left_out = refusal(people_of(round), Use.SHOW, Use.TRAIN)
        raise RoundError(f"{says}. {left_out}" if left_out else says)

    wanted = round.dpo if config is None else dict(config)

    def request(folder: RunDir) -> dict[str, Any]:
        return {
            "model": model_request(round.policy, folder),
            "export": folder.relative(settings.STORAGE_ROOT / export.folder),
            "cache": folder.relative(settings.STORAGE_ROOT / export.cache_folder),
            "config": wanted,
        }

    return queue_run(
        round,
        Stage.DPO,
        request,
        actor=actor,
        export=export,
        devices=FlowDPOConfig.from_json(wanted).devices,
        needs_approval=settings.APPROVE_ROUNDS,
        status=RunStatus.WAITING if settings.APPROVE_ROUNDS else RunStatus.QUEUED,
    )


def register_adapter(run: Run, result: dict[str, Any]) -> ModelVersion:
    """The version that a finished run made; the same one when it is asked for again."""
    assert run.round is not None, "a database constraint"
    parent = run.round.policy
    version, created = ModelVersion.objects.get_or_create(
        run=run,
        defaults={
            "name": f"{parent.name}+dpo-{run.round_id}.{run.ordinal}",
            "kind": ModelKind.DPO,
            "base_model": parent.base_model,
            "parent": parent,
            "export": run.export,
            "adapter_path": f"{run.folder}/{result['adapter']}",
            "weights_sha256": result["adapter_sha256"],
            # An adapter of the transformer changes nothing of how prompts are read.
            "max_tokens": parent.max_tokens,
            "special_tokens": parent.special_tokens,
            "tokenizer_sha256": parent.tokenizer_sha256,
        },
    )
    if created:
        record_event("register_model", version, export=run.export_id)
    return version
