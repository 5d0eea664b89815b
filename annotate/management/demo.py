"""The whole loop in one go, for somebody who has just cloned the repository.

Every stage looks first at what is there already, so a demo that was stopped goes on, and a second one
adds nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from annotate.accounts.accounts import create_account, renew_password
from annotate.management.demo_progress import Progress, Say
from annotate.management.demo_rounds import sampled_round, turn
from annotate.management.loop_command import first_model, import_folder, send_run
from annotate.models import IdentityGroup, ModelVersion, Split, Use, User
from annotate.people import queries as curation_queries
from annotate.people.instances import build_instances
from annotate.privacy.consent_queries import given, refusal
from annotate.registry.queries import version_found_by
from annotate.registry.registration import queue_adapter
from annotate.rounds import queries
from annotate.rounds.funnel_queries import round_funnel
from generator.files import replacing
from generator.instances import Draw
from generator.portraits.world import SUPERVISED

#: Enough pairs for a gain that can be seen, few enough for two cores and twelve minutes.
PEOPLE = {Split.TRAIN: 60, Split.EVAL: 24}
INSTANCES_PER_PERSON = {Split.TRAIN: 6, Split.EVAL: 2}
#: Of people, questions, annotators and training; the next ones are of people who are in other figures.
SEEDS = range(6)


def run_synthetic(say: Say, seed: int = 0, num_rounds: int = 1) -> dict[str, Any]:
    """The loop on the embedded world, with simulated annotators; returns the report.

    Another seed gives other people, questions, slips of annotators and noise of the training. Each further
    round starts from the model that the one before has tuned.
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
    rounds = [turn(progress, policy, seed, number) for number in range(1, num_rounds + 1)]
    first, *later = [queries.round_report(round) for round in rounds]
    report = first | {"later_rounds": later, "wall_s": progress.wall_s}
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
        round = sampled_round(say, source, source, policy, votes_wanted=1)
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
