"""All that a site can make of people: a turn of the loop by the real commands, and what hangs on it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.utils import timezone

from annotate.adjudication.adjudication import adjudicate
from annotate.evaluation.benchmarks import make_benchmark
from annotate.evaluation.evaluations import queue_evaluation
from annotate.exports.downloads import request_file, write_file
from annotate.exports.freezing import export_round
from annotate.fleet.run_folders import WorkFolder, work_folder
from annotate.gold.gold import make_gold
from annotate.jobs import runs
from annotate.jobs.local_worker import work_here
from annotate.jobs.run_folders import keep_new_folder
from annotate.jobs.stages import work_of
from annotate.judging.judgments import submit_judgment
from annotate.judging.slots import lease_slot
from annotate.models import (
    Export,
    GoldKind,
    IdentityGroup,
    Instance,
    Judgment,
    JudgmentFile,
    ModelVersion,
    Reference,
    Round,
    Run,
    Slot,
    User,
    VideoPair,
)
from annotate.people.datasets import export_dataset
from annotate.people.instances import build_instances
from annotate.people.people import decide
from annotate.people.prompt_reader_queries import part_by_prompt
from annotate.prompts.prompt_runs import queue_prompts
from annotate.rounds.rounds import plan_pairs, start_round
from annotate.rounds.sampling import queue_sampling
from annotate.storage.opening import site_storage
from annotate.storage.staging import stage_down, stage_up
from annotate.supervised.preview import dry_run
from annotate.supervised.queries import chosen_now
from annotate.supervised.sets import queue_folder
from annotate.supervised.sft import launch_sft
from annotate.training.dpo import queue_dpo
from generator.instances import Draw
from generator.rundir import RunDir
from rlhf.evaluation.benchmark.plan import MakePlan
from rlhf.evaluation.benchmark.set import Benchmark
from rlhf.records import Track, Verdict
from tests.annotate.described_people import import_described
from tests.factories import SAMPLER, make_model, make_user
from tests.generator.prompts.openai_server import KEY, openai_server
from tests.runs import claim
from tests.studies import come, open_study, sent, tasks_of
from tests.versions import import_model

#: Of the person who will be erased; nothing else on the site is called so.
NAME, NOTE = "Zephyrine Okapi", "that is Zephyrine from the second floor"
DPO = {
    "steps": 1,
    "batch_size": 1,
    "rank": 2,
    "held_out": 0.4,
    "sample_every": 1,
    "sample_count": 1,
    "sample_steps": 1,
}


def main_of(command: str) -> Callable[[RunDir, bool], None]:
    """What `python -m COMMAND RUNDIR` calls, of a module or of a package."""
    module = importlib.import_module(command)
    name = f"{command}.__main__" if hasattr(module, "__path__") else command
    main: Callable[[RunDir, bool], None] = importlib.import_module(name).main
    return main


def work(*queued: Run) -> None:
    """What a worker does for whole runs: claim, command, end. Torch is loaded here, so nothing starts."""
    workers = {run.pk: uuid4() for run in queued}
    for run in queued:
        claim(run, workers[run.pk])
    for run in queued:
        with work_folder(site_storage(), run.folder) as folder:
            main_of(work_of(run.stage).command)(RunDir(folder.path), False)
            folder.store(at_end=True)
            assert runs.finish_run(run, workers[run.pk])
        run.refresh_from_db()


def people(folder: Path) -> IdentityGroup:
    """Two real people, of whom one has a name that can be searched for."""
    import_described(folder / "people")
    IdentityGroup.objects.filter(name="mia").update(name=NAME)
    for reference in Reference.objects.filter(group__name=NAME):
        Reference.objects.filter(pk=reference.pk).update(source_name=f"zephyrine-{reference.source_name}")
    return IdentityGroup.objects.get(name=NAME)


def ask_models(folder: Path) -> None:
    """A run of prompts, asked of a real server over HTTP."""
    described = dict(Reference.objects.values_list("pk", "elements"))
    Reference.objects.update(elements=None)
    with openai_server() as (address, _):
        (folder / "key").write_text(KEY)
        server = {"backend": "server", "base_url": address, "api_key_file": "key"}
        models = {"describer": server | {"model": "sees"}, "comparer": server | {"model": "reads"}}
        (folder / "models.json").write_text(json.dumps(models))
        settings.PROMPT_MODELS = folder / "models.json"
        try:
            run, _ = queue_prompts(Draw(count=1, seed=1, num_references=3, with_target=True))
            assert run is not None
            work_here(run)
        finally:
            settings.PROMPT_MODELS = None
    run.refresh_from_db()
    assert run.status == "done", run.error
    for pk, elements in described.items():
        Reference.objects.filter(pk=pk).update(elements=elements)


def judge(slot: Slot, verdict: Verdict) -> Judgment:
    """One vote; where it is about her, its note says who she is."""
    note = NOTE if slot.pair.instance.group.name == NAME else "somebody"
    choice = "left" if (verdict is Verdict.FIRST) == (slot.first_side == "left") else "right"
    return submit_judgment(slot.annotator, slot.lease, choice, idempotency_key=uuid4(), note=note)


def vote_all(round: Round) -> None:
    """Everybody finds the first video better, on both tracks of every pair."""
    for track in Track:
        person = make_user()
        while (slot := lease_slot(person, track)) is not None:
            judge(slot, Verdict.FIRST)


def vote_on_gold(round: Round) -> None:
    """Somebody judged an impostor pair of each person."""
    for pair in VideoPair.objects.filter(round=round, gold__kind=GoldKind.IMPOSTOR):
        now = timezone.now()
        slot = Slot.objects.create(
            pair=pair,
            round=round,
            track=Track.IDENTITY,
            ordinal=0,
            annotator=make_user(),
            first_side="left",
            left_surplus=1,
            lease=uuid4(),
            leased_at=now,
            lease_expires_at=now,
        )
        judge(slot, Verdict.FIRST)


def turn(folder: Path) -> tuple[Round, Export]:
    """People, crops, prompts, videos, votes, gold, export, training, evaluation, study, files."""
    lead = make_user("lea", role="lead")
    person = people(folder)
    ask_models(folder)
    for cropped in (False, True):
        build_instances(Draw(count=1, seed=3, num_references=3, is_cropped=cropped))
    build_instances(Draw(count=1, seed=4, with_target=True))
    decide(person.references.first(), "keep", lead)
    policy = import_model(settings.MODEL_PATH)
    sampler = replace(SAMPLER, num_inference_steps=2)
    round = start_round("spring", policy, votes_wanted=1, sampler=sampler, dpo=DPO)
    # The small vocabulary of the shipped model does not know what the server wrote.
    read, _ = part_by_prompt([policy], Instance.objects.order_by("id"))
    plan_pairs(round, read)
    work_here(queue_sampling(round))
    vote_all(round)
    make_gold(round)
    vote_on_gold(round)
    pair = VideoPair.objects.filter(round=round, gold=None, instance__group=person).first()
    adjudicate(pair, dict.fromkeys(Track, Verdict.FIRST), NOTE, lead)
    export = export_round(round)
    training = queue_dpo(round, export)
    mine = [next(one for one in read if one.group.name == name) for name in (NAME, "tom")]
    candidate = make_model(base_model=settings.MODEL_PATH)
    evaluation = queue_evaluation(round, candidate, baseline=policy, seeds=[0], instances=mine)
    work(training, evaluation)
    hang_on(folder, evaluation, lead)
    learn_from_people(folder, policy, lead)
    return round, export


def learn_from_people(folder: Path, policy: ModelVersion, lead: User) -> None:
    """SFT on everybody's clips, and a folder of the same ones that a worker reads."""
    config = {"steps": "1", "batch_size": "1", "rank": "2", "stills": "1", "sample_every": "1"}
    preview = dry_run(policy, chosen_now(policy, ""), config | {"sample_steps": "1"})
    run = launch_sft(policy, preview, seen=preview.chosen.digest, accepted=True, actor=lead)
    assert run.training_set is not None
    outside = folder / "outside"
    for prefix in (run.training_set.folder, "references"):
        stage_down(site_storage(), prefix, outside / prefix)
    place = str(outside / run.training_set.folder)
    read = queue_folder(place, licence="CC0-1.0", is_vouched=True, actor=lead)
    work(run, read)


def hang_on(folder: Path, evaluation: Run, lead: object) -> None:
    """A study with answers, a file of judgments, and sets that were made into the storage."""
    study = open_study(evaluation, pairs=1, people=2)
    for number in range(2):
        browser, participant = come(study, f"participant-{number}")
        for task in tasks_of(participant):
            note = NOTE if task.pair.first.input.group.name == NAME else ""
            assert browser.post(f"/study/{study.pk}/", sent(task, note=note)).status_code < 400
    assert write_file(request_file(lead).pk, uuid4())
    assert JudgmentFile.objects.get().path
    export_dataset(folder / "dataset")
    stage_up(site_storage(), folder / "dataset", "datasets/spring")
    (folder / "prompts.txt").write_text("The person waves.\n")
    plan = MakePlan(num_identities=2, num_references=2, num_ipt2v=1, num_iept2v=0)
    made = make_benchmark(folder / "set", plan, split="train", prompts_file=folder / "prompts.txt")
    stage_up(site_storage(), folder / "set", "sets/spring")
    note_evaluation_on(made.benchmark, evaluation.round)


def note_evaluation_on(found: Benchmark, round: Round) -> None:
    """What an evaluation on the set keeps of each of its instances, as `rlhf.evaluate` writes it."""

    place = f"runs/round-{round.pk}/evaluate-9"
    run = Run.objects.create(round=round, stage="evaluate", ordinal=9, folder=place)
    folder = RunDir(settings.STORAGE_ROOT / place)
    benchmark = folder.relative(settings.STORAGE_ROOT / "sets" / "spring")
    folder.create({"stage": "evaluate", "set": {"path": benchmark, "sha256": found.card.sha256}})
    keep_new_folder(folder, place)
    claim(run, worker := uuid4())
    with work_folder(site_storage(), run.folder) as directory:
        evaluate_on(found, directory)
        assert runs.finish_run(run, worker)


def evaluate_on(found: Benchmark, directory: WorkFolder) -> None:
    videos = []
    for one in found.instances:
        stem = f"candidate/{one.instance_id}-0"
        (directory.path / stem).parent.mkdir(exist_ok=True)
        (directory.path / f"{stem}.mp4").write_bytes(one.identity.encode())
        directory.append_metrics({"system": "candidate", "sample_id": f"{one.instance_id}-0", "done": 1})
        videos.append({"instance_id": one.instance_id, "identity": one.identity, "path": f"{stem}.mp4"})
    (directory.path / "report.html").write_text("pictures of everybody")
    directory.write_result(
        {"videos": videos, "holes": [], "identities": [one.identity for one in found.instances]}
    )
    directory.store(at_end=True)
