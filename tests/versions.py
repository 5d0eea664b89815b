"""Rounds and what was trained on them."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

from django.conf import settings

from annotate.exports.freezing import export_round
from annotate.fleet.run_folders import work_folder
from annotate.jobs import runs
from annotate.models import Export, ModelVersion, Round, Run, RunStatus, VersionComparison
from annotate.registry.queries import version_found_by
from annotate.registry.registration import queue_base
from annotate.storage.opening import site_storage
from generator.register import main
from generator.rundir import RunDir
from rlhf.records import Track, Verdict
from tests.factories import make_model, make_pair, make_round, make_user, write_test_clip
from tests.runs import claim
from tests.votes import vote


def judged_round(**overrides) -> Round:
    """Two dominant pairs: one judged by two people on each track, one by simulated annotators."""
    round = make_round(votes_wanted=2, **overrides)
    for is_simulated in (False, True):
        pair = make_pair(round)
        for track in (*Track, *Track):
            vote(pair, track, Verdict.FIRST, make_user(is_simulated=is_simulated))
    return round


def train(round: Round, export: Export | None = None) -> ModelVersion:
    """A version as a finished DPO run of the round registers it."""
    export = export or export_round(round, include_simulated=True)
    number = round.runs.count() + 1
    run = Run.objects.create(
        round=round,
        stage="dpo",
        ordinal=number,
        folder=f"runs/round-{round.pk}/dpo-{number}",
        status=RunStatus.DONE,
        result={"steps": 7, "first_loss": 0.6931, "last_loss": 0.5},
        export=export,
    )
    return make_model(
        kind="dpo",
        parent=round.policy,
        base_model=round.policy.base_model,
        export=export,
        run=run,
        adapter_path=f"{run.folder}/adapter",
    )


def finish(comparison: VersionComparison) -> None:
    """As its worker does: one video a place, all but the candidate's of seed 1, and what the metrics say."""
    worker = uuid4()
    run = claim(comparison.run, worker)
    videos, failed = [], []
    for instance in comparison.instances.all():
        for seed in comparison.seeds:
            for place, system in enumerate(("baseline", "candidate")):
                if (system, seed) == ("candidate", 1):
                    failed.append(
                        {"system": system, "sample_id": f"{instance.pk}-1", "error": "the disk is full"}
                    )
                    continue
                clip = settings.STORAGE_ROOT / run.folder / system / f"{instance.pk}-{seed}.mp4"
                clip.parent.mkdir(exist_ok=True)
                clip.write_bytes((settings.STORAGE_ROOT / write_test_clip()[0]).read_bytes())
                values = {"holi_oracle": 0.25 + place / 2 + seed / 8}
                videos.append(
                    {"system": system, "instance_id": str(instance.pk), "seed": seed, "values": values}
                )
    columns = [{"name": "holi_oracle", "label": "Holi (oracle)", "metric": "oracle", "paper": "Holi-Arc"}]
    runs.run_dir(run).write_result({"columns": columns, "videos": videos, "failed": failed})
    assert runs.finish_run(run, worker)


def import_model(base: str | Path) -> ModelVersion:
    """A base as a finished registration leaves it."""
    run = queue_base(str(Path(base).resolve()))
    worker = uuid4()
    assert runs.claim_run(run.pk, worker)
    with work_folder(site_storage(), run.folder) as folder:
        main(RunDir(folder.path), False)
        folder.store(at_end=True)
        assert runs.finish_run(run, worker)
    version = version_found_by(Run.objects.get(pk=run.pk))
    assert version is not None
    return version
