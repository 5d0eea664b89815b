"""Rounds of the demo: its first one, and each further one from the model that the last one tuned."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import Max

from annotate.core.errors import RoundError
from annotate.evaluation.evaluations import EVALUATION_SEEDS, queue_evaluation
from annotate.jobs import run_workers
from annotate.jobs.queries import comparison_with_start, done_run, other_comparisons, stuck_runs
from annotate.jobs.runs import retry_run
from annotate.loop.loop import advance_round
from annotate.management.demo_progress import Progress, Say
from annotate.management.loop_command import send_run
from annotate.models import ModelVersion, Round, Split, Stage
from annotate.registry.versions import start_next_round
from annotate.rounds import queries
from annotate.rounds.funnel_queries import round_funnel
from annotate.rounds.rounds import plan_pairs, start_round
from annotate.rounds.sampling import queue_sampling
from annotate.rounds.simulation import SimulatedVoter, simulate_round
from generator.records import SamplerSettings

VOTES_WANTED = 3
#: Without guidance, which hides what a model would do by itself: pairs differ more, and cost a quarter.
SAMPLER = SamplerSettings(guidance_scale=1.0, num_inference_steps=10)
#: As a model of this kind is used; the gain is to hold there, too.
IN_USE = SamplerSettings()
#: Chosen on people who are in no demo, with fewer pairs and steps, see docs/dpo.md.
DPO: dict[str, Any] = {"steps": 200, "beta": 30.0, "max_excess": 1.0}
#: Pairs per step, which two devices share where there are as many.
PAIRS_PER_STEP = 8
VOTER = SimulatedVoter(accuracy=0.95, tie_rate=0.05, side_bias=0.05)
SIMULATED_ANNOTATORS = 8
#: Rounds that may follow each other; the annotators of each slip differently.
ROUNDS = range(1, 6)


def turn(progress: Progress, policy: ModelVersion, seed: int, number: int) -> Round:
    """One round from pairs to the comparison on held-out people; `policy` is the model before any votes."""
    again = f" {number}" if number > 1 else ""
    with progress.stage(f"samples{again}", "4  samples: two videos of each instance, on the gpu queue"):
        round = _first_round(progress.say, policy, seed) if number == 1 else _next_round(progress.say, number)
    with progress.stage(f"tracks{again}", "5  two tracks: simulated annotators judge over the HTTP API"):
        if round.pairs.filter(slots__judged_at=None, slots__isnull=False).exists():
            slips = 100 * seed + 20 * (number - 1)
            site = f"http://127.0.0.1:{settings.PORT}"
            simulate_round(round, VOTER, count=SIMULATED_ANNOTATORS, seed=slips, url=site)
    with progress.stage(f"dpo{again}", "6-9  consensus, Pareto, export, and a Flow-DPO round"):
        _take_step(round, Stage.DPO)
    title = "10  evaluation: tuned model against its parent, on held-out people"
    with progress.stage(f"evaluation{again}", title):
        _take_step(round, Stage.EVALUATE)
    if number == 1:
        with progress.stage("evaluation in use", "    and with guidance, as it would be used"):
            _evaluate_in_use(round)
    else:
        with progress.stage(
            f"evaluation against the start{again}", "    and against the model before any votes"
        ):
            _evaluate_against_start(round)
    return round


def sampled_round(say: Say, name: str, source: str, policy: ModelVersion, **chosen: Any) -> Round:
    """The round with all its videos made, what an earlier run made is kept; settings as of `start_round`."""
    round = queries.find_round(name) or start_round(name, policy, **chosen)
    unread: list[str] = []
    plan_pairs(round, queries.instances_of_split(Split.TRAIN, source), left_out=unread)
    for line in unread:
        say(f"   left out {line}")
    return _sampled(round)


def _first_round(say: Say, policy: ModelVersion, seed: int) -> Round:
    chosen = {"votes_wanted": VOTES_WANTED, "sampler": SAMPLER, "dpo": {**DPO, **_spread(), "seed": seed}}
    return sampled_round(say, "demo", "portraits", policy, **chosen)


def _next_round(say: Say, number: int) -> Round:
    """From what the round before has tuned, with new videos of the same people and prompts."""
    name, last = f"demo-{number}", queries.find_round("demo" if number == 2 else f"demo-{number - 1}")
    tuned = done_run(last, Stage.DPO) if last else None
    if tuned is None:
        raise RoundError(f"there is nothing tuned that {name} could start from; look at the round before it")
    policy = tuned.model_version
    return _sampled(queries.find_round(name) or start_next_round(name, policy, None, new_seeds=True, say=say))


def _sampled(round: Round) -> Round:
    send_run(queue_sampling(round))
    funnel = round_funnel(round)
    if funnel.samples_failed:
        raise RoundError(f"{funnel.samples_failed} videos could not be made; see the round's page")
    return round


def _spread() -> dict[str, int]:
    largest = run_workers.present().aggregate(devices=Max("devices"))["devices"] or 1
    devices = min(2, largest)
    return {"devices": devices, "batch_size": PAIRS_PER_STEP // devices}


def _evaluate_in_use(round: Round) -> None:
    """The same at the settings in which the model would be used, unless it was made.

    One input of each person: with guidance a video takes four times as long.
    """
    tuned = done_run(round, Stage.DPO)
    if tuned is None or other_comparisons(round):
        return
    version = tuned.model_version
    firsts = queries.held_out_instances().order_by("group_id", "id").distinct("group_id")
    send_run(
        queue_evaluation(
            round, version, seeds=[0], baseline=version.parent, instances=list(firsts), sampler=IN_USE
        )
    )


def _evaluate_against_start(round: Round) -> None:
    """What all rounds together have changed, unless it was measured."""
    tuned = done_run(round, Stage.DPO)
    if tuned is None or comparison_with_start(round) is not None:
        return
    start = tuned.model_version.before_votes
    send_run(queue_evaluation(round, tuned.model_version, seeds=EVALUATION_SEEDS, baseline=start))


def _take_step(round: Round, stage: Stage) -> None:
    """The round's step to the end of a stage, unless it was taken; one that was left unfinished goes on."""
    if done_run(round, stage) is not None:
        return
    for run in stuck_runs(round):
        retry_run(run)
    step = advance_round(round, include_simulated=True)
    if step.run is not None:
        step.run.refresh_from_db()
    send_run(step.run)
