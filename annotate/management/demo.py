"""The whole loop in one go, for somebody who has just cloned the repository.

Every stage looks first at what is there already, so a demo that was stopped goes on, and a second one
adds nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db.models import Max

from annotate.accounts.accounts import create_account, renew_password
from annotate.core.errors import RoundError
from annotate.evaluation.evaluations import queue_evaluation
from annotate.jobs import run_workers
from annotate.jobs.queries import done_run, other_comparisons, stuck_runs
from annotate.jobs.runs import retry_run
from annotate.loop.loop import advance_round
from annotate.management.loop_command import first_model, import_folder, send_run
from annotate.models import IdentityGroup, ModelVersion, Round, Split, Stage, Use, User
from annotate.people import queries as curation_queries
from annotate.people.instances import build_instances
from annotate.privacy.consent_queries import given, refusal
from annotate.registry.queries import version_found_by
from annotate.registry.registration import queue_adapter
from annotate.rounds import queries
from annotate.rounds.funnel_queries import round_funnel
from annotate.rounds.rounds import plan_pairs, start_round
from annotate.rounds.sampling import queue_sampling
from annotate.rounds.simulation import SimulatedVoter, simulate_round
from generator.files import replacing
from generator.instances import Draw
from generator.portraits.world import SUPERVISED
from generator.records import SamplerSettings

Say = Callable[[str], None]

#: Enough pairs for a gain that can be seen, few enough for two cores and twelve minutes.
PEOPLE = {Split.TRAIN: 60, Split.EVAL: 24}
INSTANCES_PER_PERSON = {Split.TRAIN: 6, Split.EVAL: 2}
VOTES_WANTED = 3
#: Without guidance, which hides what a model would do by itself: pairs differ more, and cost a quarter.
SAMPLER = SamplerSettings(guidance_scale=1.0, num_inference_steps=10)
#: As a model of this kind is used; the gain is to hold there, too.
IN_USE = SamplerSettings()
#: Of people, questions, annotators and training; the next ones are of people who are in other figures.
SEEDS = range(6)
#: Chosen on people who are in no demo, with fewer pairs and steps, see docs/dpo.md.
DPO: dict[str, Any] = {"steps": 200, "beta": 30.0, "max_excess": 1.0}
#: Pairs per step, which two devices share where there are as many.
PAIRS_PER_STEP = 8
VOTER = SimulatedVoter(accuracy=0.95, tie_rate=0.05, side_bias=0.05)
SIMULATED_ANNOTATORS = 8


class Progress:
    """What the demo prints and remembers between runs."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self.folder = settings.VAR_DIR / "demo"
        self.folder.mkdir(parents=True, exist_ok=True)
        report = self.folder / "report.json"
        self.wall_s: dict[str, float] = json.loads(report.read_text())["wall_s"] if report.exists() else {}

    @contextmanager
    def stage(self, name: str, title: str) -> Iterator[None]:
        """Time a stage; one that finds its work done keeps the time of the run that did it."""
        self.say(title)
        start = time.monotonic()
        yield
        spent = round(time.monotonic() - start, 1)
        self.wall_s[name] = max(spent, self.wall_s.get(name, 0.0))


def run_synthetic(say: Say, seed: int = 0) -> dict[str, Any]:
    """The loop on the embedded world, with simulated annotators; returns the report.

    Another seed gives other people, questions, slips of annotators and noise of the training.
    """
    progress = Progress(say)
    with progress.stage("identities", "1  identities: drawing people and importing them"):
        for split, count in PEOPLE.items():
            drawn = IdentityGroup.objects.filter(source="portraits", split=split)
            curated = curation_queries.usable_references().filter(group__in=drawn).values("group").distinct()
            if curated.count() < count:
                _import(say, _draw_people(progress.folder / "people", split, count, seed), split)
    with progress.stage("instances", "2  instances: references in order, and what changes"):
        for split, count in INSTANCES_PER_PERSON.items():
            build_instances(Draw(count=count, seed=seed), split=split, source="portraits")
    with progress.stage("sft", "3  SFT: a model that has learned from found data, with their faults"):
        policy = _supervised_model()
    with progress.stage("samples", "4  samples: two videos of each instance, on the gpu queue"):
        dpo = {**DPO, **_spread(), "seed": seed}
        chosen = {"votes_wanted": VOTES_WANTED, "sampler": SAMPLER, "dpo": dpo}
        round = _sampled_round(say, "demo", "portraits", policy, **chosen)
    with progress.stage("tracks", "5  two tracks: simulated annotators judge over the HTTP API"):
        if round.pairs.filter(slots__judged_at=None, slots__isnull=False).exists():
            site = f"http://127.0.0.1:{settings.PORT}"
            simulate_round(round, VOTER, count=SIMULATED_ANNOTATORS, seed=100 * seed, url=site)
    with progress.stage("dpo", "6-9  consensus, Pareto, export, and a Flow-DPO round"):
        _take_step(round, Stage.DPO)
    with progress.stage("evaluation", "10  evaluation: tuned model against its parent, on held-out people"):
        _take_step(round, Stage.EVALUATE)
    with progress.stage("evaluation in use", "    and with guidance, as it would be used"):
        _evaluate_in_use(round)
    report = queries.round_report(round) | {"wall_s": progress.wall_s}
    with replacing(progress.folder / "report.json") as unfinished:
        unfinished.write_text(json.dumps(report, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return report


def run_people(folder: Path, say: Say, consent: Sequence[str] | None = None) -> dict[str, Any]:
    """Stages 1 to 5 on a real folder of people, up to the point where people must vote.

    `consent` are the uses that those agreed to whose folder does not state any.

    Raises:
        ValueError: nobody agreed to being shown.
    """
    progress = Progress(say)
    source = folder.resolve().name
    with progress.stage("identities", f"1  identities: importing {folder}"):
        _import(say, folder, Split.TRAIN, source, consent)
        _refuse_without_consent(say, source)
    with progress.stage("instances", "2  instances: references in order, and what changes"):
        build_instances(Draw(count=1, seed=0), split=Split.TRAIN, source=source)
    with progress.stage("samples", "4  samples: two videos for every person, on the gpu queue"):
        policy = queries.root_model() or first_model()
        round = _sampled_round(say, source, source, policy, votes_wanted=1)
    return {"round": round.name, **round_funnel(round).to_json(), "wall_s": progress.wall_s}


def _refuse_without_consent(say: Say, source: str) -> None:
    people = IdentityGroup.objects.filter(source=source)
    without = refusal(people, Use.SHOW)
    if not people.filter(given("", Use.SHOW)).exists():
        raise ValueError(f"{without or 'nobody was imported.'} If they agreed: CONSENT=show,train make demo")
    if without:
        say(f"   left out: {without}")


def demo_accounts() -> list[dict[str, str]]:
    """Sign-ins of a demo annotator and a demo lead: random once, then the same in every run."""
    path = settings.VAR_DIR / "demo" / "accounts.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    for username, role in (("demo-annotator", User.Role.ANNOTATOR), ("demo-lead", User.Role.LEAD)):
        user = User.objects.filter(username=username).first()
        if user is None:
            _, known[username] = create_account(username, role)
        elif not user.check_password(known.get(username, "")):
            known[username] = renew_password(user)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(known, file, indent=1)
    return [{"username": username, "password": password} for username, password in known.items()]


def _draw_people(folder: Path, split: Split, count: int, seed: int) -> Path:
    """Draw portraits of people once; the marker is written last."""
    people = folder / split
    if not (folder / f"{split}.done").exists():
        command = [sys.executable, "-m", "generator.portraits", str(people), "--identities", str(count)]
        subprocess.run(
            [*command, "--split", str(split), "--seed", str(seed)], cwd=settings.BASE_DIR, check=True
        )
        (folder / f"{split}.done").touch()
    return people


def _import(
    say: Say, folder: Path, split: Split, source: str = "portraits", consent: Sequence[str] | None = None
) -> None:
    report = import_folder(folder, source=source, split=split, consent=consent)
    say(f"   {report['people']} people, {report['new_references']} new references, {report['kept']} usable")
    for line in report["rejected"]:
        say(f"   left out {line}")


def _supervised_model() -> ModelVersion:
    """The shipped supervised model on its base, both registered as versions."""
    base = queries.root_model() or first_model()
    run = queue_adapter(str(SUPERVISED.resolve()), base)
    send_run(run)
    version = version_found_by(run)
    assert version is not None, "a finished run registers what it looked at"
    return version


def _sampled_round(say: Say, name: str, source: str, policy: ModelVersion, **settings: Any) -> Round:
    """The round with all its videos made, what an earlier run made is kept; settings as of `start_round`."""
    round = queries.find_round(name) or start_round(name, policy, **settings)
    unread: list[str] = []
    plan_pairs(round, queries.instances_of_split(Split.TRAIN, source), left_out=unread)
    for line in unread:
        say(f"   left out {line}")
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
