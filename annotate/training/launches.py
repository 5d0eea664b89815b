"""Launch a DPO run after its dry run."""

from __future__ import annotations

from django.db import transaction

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.exports.freezing import export_round
from annotate.jobs.queries import live_run
from annotate.models import Round, Run, Stage, User
from annotate.training.dpo import queue_dpo
from annotate.training.preview import DryRun
from annotate.training.queries import PairSet


class StaleLookError(RoundError):
    """What was looked at is not what would be trained on now."""


@transaction.atomic
def launch_dpo(
    round: Round,
    chosen: PairSet,
    look: DryRun,
    *,
    seen: str,
    accepted: bool,
    include_simulated: bool,
    actor: User,
) -> Run:
    """Freeze the pairs that were looked at, and queue their training; a door sends it.

    `seen` is the digest of what the actor looked at, `look` is the same look made now.

    Raises:
        StaleLookError: other pairs than those seen.
        RoundError: a trap that blocks, warnings that nobody read, or a training under way.
    """
    if live := live_run(round, Stage.DPO):
        raise RoundError(f"{live} is {live.status}; wait for it, or cancel it")
    if look.digest != seen:
        raise StaleLookError("The votes have changed since this look; here is what they say now. Look again.")
    if look.blocks:
        trap = look.traps[0]
        raise RoundError(f"{trap.says} {trap.remedy}")
    if look.traps and not accepted:
        raise RoundError("Tick that you have read the warnings, or change the settings.")
    export = chosen.export or export_round(
        round, rule=chosen.rule, include_simulated=include_simulated, actor=actor
    )
    run = queue_dpo(round, export, actor, config=look.config.to_json())
    record_event("launch_dpo", run, actor=actor, warnings=[trap.name for trap in look.traps])
    return run
