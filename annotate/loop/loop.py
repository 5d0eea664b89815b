"""Turn the loop: the next step of a round, or what it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from django.db.models import Count

from annotate.core.errors import RoundError
from annotate.evaluation.evaluations import evaluate_version
from annotate.exports.freezing import export_round
from annotate.jobs.queries import done_run, stuck_runs
from annotate.judging.resolution import settle_open_pairs
from annotate.judging.vote_queries import pairs_left_open
from annotate.models import LIVE, Round, RoundKind, RoundState, Run, Slot, Stage, Use, User
from annotate.privacy.consent_queries import given
from annotate.registry.queries import evaluations_of
from annotate.rounds import queries
from annotate.rounds.sampling import queue_sampling
from annotate.training.dpo import queue_dpo
from rlhf.records import Track


@dataclass(frozen=True)
class Step:
    """What advancing a round did (a queued run, which the caller must send), or what it waits for."""

    message: str
    run: Run | None = None
    is_waiting_for_people: bool = False
    is_finished: bool = False


def advance_round(
    round: Round,
    *,
    include_simulated: bool = False,
    devices: int | None = None,
    actor: User | None = None,
    tell: Callable[[int], object] = lambda num_pairs: None,
) -> Step:
    """Take the next step that the round is ready for. Safe to repeat: a live run is never doubled.

    People who did not agree to it are left out of every step. A training is spread over `devices`, where they
    are given, else over as many as the round's settings say. Where pairs are frozen, `tell` hears how many.

    Raises:
        RoundError: the round cannot go on by itself; the message says what to do.
    """
    live = round.runs.filter(status__in=[*LIVE]).last()
    if live:
        return Step(f"{live.stage} is {live.status}", live)
    if stuck := stuck_runs(round).last():
        raise RoundError(
            f"{stuck} {stuck.status}: {stuck.error or 'by a lead'}; retry it on the round's page"
        )
    if not round.pairs.exists():
        raise RoundError(f"{round} has no pairs; build instances, then plan the round's pairs")
    if round.state != RoundState.CLOSED and (run := queue_sampling(round, actor)) is not None:
        return Step("sampling is queued", run)
    if (evaluated := _evaluate(round, actor)) is not None:
        return evaluated
    settle_open_pairs(round)
    if (waiting := _votes_wanted(round)) is not None:
        return waiting
    if round.kind == RoundKind.COMPARISON:
        return Step("the comparison is complete; its page says who won", is_finished=True)
    return _train(round, include_simulated=include_simulated, devices=devices, actor=actor, tell=tell)


def is_ready_to_train(round: Round) -> bool:
    """Whether the next step would be the round's first Flow-DPO."""
    return (
        round.kind == RoundKind.PREFERENCE
        and round.pairs.exists()
        and not round.runs.filter(status__in=[*LIVE]).exists()
        and not round.runs.filter(stage=Stage.DPO).exists()
        and (
            round.state == RoundState.CLOSED
            or not queries.missing_samples(round, include_failed=False).exists()
            and not pairs_left_open(round).exists()
        )
        and _votes_wanted(round) is None
    )


def _votes_wanted(round: Round) -> Step | None:
    """What a round waits for; one that is closed goes on with the votes that it has."""
    if round.state == RoundState.CLOSED:
        return None
    wanted = dict(
        Slot.objects.filter(given("pair__instance__group", Use.SHOW), round=round, judged_at=None)
        .filter(pair__gold=None)
        .values_list("track")
        .annotate(Count("id"))
    )
    if not wanted:
        return None
    votes = " and ".join(f"{wanted[str(track)]} on {track}" for track in Track if str(track) in wanted)
    says = f"waiting for people: {votes}"
    if round.state == RoundState.PAUSED:
        says = f"paused, so nobody is asked for {votes}; reopen the round, or close it to go on without"
    return Step(says, is_waiting_for_people=True)


def _evaluate(round: Round, actor: User | None) -> Step | None:
    """What was tuned is evaluated whatever votes are still to come."""
    tuned = done_run(round, Stage.DPO)
    if tuned is None or evaluations_of(tuned.model_version).exists():
        return None
    if not queries.held_out_instances().exists():
        return None
    return Step("evaluation is queued", evaluate_version(tuned.model_version, actor))


def _train(
    round: Round,
    *,
    include_simulated: bool,
    devices: int | None,
    actor: User | None,
    tell: Callable[[int], object],
) -> Step:
    if done_run(round, Stage.DPO) is not None:
        return Step("the round is complete; the next one can start from its model", is_finished=True)
    export = export_round(round, include_simulated=include_simulated, actor=actor, tell=tell)
    says = f"{export} holds {export.num_pairs} pairs; Flow-DPO is queued"
    config = {**round.dpo, "devices": devices} if devices is not None else None
    return Step(says, queue_dpo(round, export, actor, config=config))
