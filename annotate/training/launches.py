"""Launch a DPO run after its dry run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.db import transaction

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.exports.freezing import export_round
from annotate.jobs.queries import live_run
from annotate.models import Round, Run, Stage, User
from annotate.training.dpo import queue_dpo
from annotate.training.preview import Preview
from annotate.training.queries import PairSet
from rlhf.dpo.preflight.facts import PreflightWarning


class StalePreviewError(RoundError):
    """What the preview showed is not what would be trained on now."""


def launch_dpo(
    round: Round,
    chosen: PairSet,
    preview: Preview,
    *,
    seen: str,
    accepted: bool,
    include_simulated: bool,
    actor: User,
    tell: Callable[[int], object] = lambda num_pairs: None,
) -> Run:
    """Freeze the pairs of the preview, and queue their training; the caller sends it.

    `seen` is the digest of the preview that the actor saw, `preview` is the one of now. `tell` hears how many
    pairs are frozen.

    Raises:
        StalePreviewError: other pairs than those seen.
        RoundError: a warning that blocks, warnings that nobody read, or a training under way.
    """
    refuse_launch(round, preview, seen=seen, accepted=accepted)
    export = chosen.export or export_round(
        round, rule=chosen.rule, include_simulated=include_simulated, actor=actor, tell=tell
    )
    with transaction.atomic():
        run = queue_dpo(round, export, actor, config=preview.config.to_json())
        warnings = [warning.name for warning in preview.warnings]
        record_event("launch_dpo", run, actor=actor, warnings=warnings)
    return run


def refuse_launch(round: Round, preview: Preview, *, seen: str, accepted: bool) -> None:
    """Nobody launches anything but what they saw, nor beside a training that is under way.

    Raises:
        StalePreviewError: other pairs than those seen.
        RoundError: a warning that blocks, warnings that nobody read, or a training under way.
    """
    if live := live_run(round, Stage.DPO):
        raise RoundError(f"{live} is {live.status}; wait for it, or cancel it")
    if preview.digest != seen:
        raise StalePreviewError("The votes have changed since this preview; it is new now. Check it again.")
    refuse_unread(preview.warnings, accepted=accepted)


def refuse_unread(warnings: Sequence[PreflightWarning], *, accepted: bool) -> None:
    """Nobody launches what they were warned of without having read it.

    Raises:
        RoundError: the first warning blocks, or nobody said that they read them.
    """
    if warnings and warnings[0].blocks:
        raise RoundError(f"{warnings[0].message} {warnings[0].remedy}")
    if warnings and not accepted:
        raise RoundError("Tick that you have read the warnings, or change the settings.")
