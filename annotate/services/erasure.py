"""The right to be forgotten: a person's data go from every place that they reached."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pgtrigger
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from annotate.models import (
    AuditEvent,
    DifferentialPrompt,
    Export,
    IdentityGroup,
    InstanceReference,
    ModelVersion,
    Reference,
    Run,
    RunStatus,
    Stage,
    StudyInput,
    StudyVideo,
    VideoPair,
    VideoSample,
)
from annotate.services.audit import record_event
from annotate.services.described import people_of
from annotate.services.rounds import RoundError
from annotate.services.runs import run_dir
from generator.curation.annotation import ANNOTATION_NAME
from rlhf.evaluation.report_tables import REPORT_FILE


def erase_identity(name: str, *, source: str | None = None, really: bool = False) -> dict[str, Any]:
    """Erase one person: rows, stored files, and the files of every export that holds them.

    Exports stay as rows, marked as withdrawn. Adapters that were trained on them and benchmark sets that hold
    the person are named, so that whoever keeps one can decide. Without `really` only the counts are returned.

    Raises:
        RoundError: nobody, or more than one person, has this name.
    """
    found = IdentityGroup.objects.filter(name=name)
    groups = list(found.filter(source=source) if source else found)
    if len(groups) != 1:
        sources = ", ".join(sorted(group.source for group in groups))
        remedy = f"give --source, one of: {sources}" if groups else "see the people page for the names"
        raise RoundError(f"{len(groups)} people are called {name!r}; {remedy}")
    group = groups[0]
    exports = Export.objects.filter(pairs__pair__instance__group=group).distinct()
    sets = AuditEvent.objects.filter(verb="make_benchmark", row_id=group.pk).order_by("id")
    files = _stored_files(group)
    report = {
        "person": group.name,
        "references": group.references.count(),
        "instances": group.instances.count(),
        "videos": VideoSample.objects.filter(instance__group=group).count(),
        "files": len(files),
        "exports_withdrawn": [str(export) for export in exports],
        "models_trained_on_them": list(
            ModelVersion.objects.filter(export__in=exports).values_list("name", flat=True)
        ),
        "benchmark_sets_that_left": [f"{item.detail['set']} ({item.detail['sha256']})" for item in sets],
        "erased": really,
    }
    if really:
        _forget_prompt_runs(group)
        _erase(group, list(exports), report)
        for path in files:
            (settings.STORAGE_ROOT / path).unlink(missing_ok=True)
    return report


def _forget_prompt_runs(group: IdentityGroup) -> None:
    """Folders of runs that looked at the person hold what was said of them; their instances are stored.

    Raises:
        RoundError: such a run is at work.
    """
    for run in Run.objects.filter(stage=Stage.PROMPTS).order_by("id"):
        if group.pk not in people_of(run_dir(run)):
            continue
        if run.is_live:
            raise RoundError(f"{run} is looking at {group}; cancel it, then erase them")
        shutil.rmtree(run_dir(run).path)
        run.metrics.all().delete()
        Run.objects.filter(pk=run.pk, status=RunStatus.DONE).update(result={})


@transaction.atomic
def _erase(group: IdentityGroup, exports: list[Export], report: dict[str, Any]) -> None:
    prompts = list(_prompt_versions(group))
    counts = {key: value for key, value in report.items() if key not in ("person", "erased")}
    record_event("erase_identity", group, **counts)
    for export in exports:
        for folder in (export.folder, export.cache_folder):
            shutil.rmtree(settings.STORAGE_ROOT / folder, ignore_errors=True)
        Export.objects.filter(pk=export.pk).update(withdrawn="a person's data were erased")
    # Votes, prompts and decisions are append-only for everything but this.
    with pgtrigger.ignore(
        "annotate.Judgment:append_only",
        "annotate.StudyAnswer:append_only",
        "annotate.DifferentialPrompt:append_only",
        "annotate.CurationDecision:append_only",
    ):
        group.delete()
        for prompt in prompts:
            DifferentialPrompt.objects.filter(pk=prompt.pk, instances=None, superseded_by=None).delete()


def _prompt_versions(group: IdentityGroup) -> Iterator[DifferentialPrompt]:
    """The prompts of a person's instances and all that they supersede, the newest of each line first."""
    newest = DifferentialPrompt.objects.filter(instances__group=group).distinct()
    for prompt in newest.order_by("-id"):
        version: DifferentialPrompt | None = prompt
        while version is not None:
            yield version
            version = version.supersedes


def _stored_files(group: IdentityGroup) -> list[str]:
    """Everything stored of a person, but what another person's rows still name."""
    references = Reference.objects.filter(group=group)
    mine = {path for row in references.values_list("path", "poster") for path in row}
    others = Reference.objects.exclude(group=group).filter(Q(path__in=mine) | Q(poster__in=mine))
    shared = {path for row in others.values_list("path", "poster") for path in row}
    shared |= {str(Path(path).with_name(ANNOTATION_NAME)) for path in shared}
    mine |= {str(Path(path).with_name(ANNOTATION_NAME)) for path in references.values_list("path", flat=True)}
    crops = InstanceReference.objects.filter(reference__group=group).exclude(path="")
    mine |= {path for row in crops.values_list("path", "poster") for path in row}
    of_them = Q(instance__group=group) | Q(copy_of__instance__group=group)
    samples = VideoSample.objects.filter(of_them).values_list("path", "shown_path")
    videos = {path for row in samples for path in row if path}
    return sorted((mine - shared) | videos | set(_study_files(group)) | set(_run_files(group)))


def _study_files(group: IdentityGroup) -> Iterator[str]:
    """Copies of videos and references in user studies."""
    videos = StudyVideo.objects.filter(input__group=group).exclude(path="")
    yield from videos.values_list("path", flat=True)
    for shown in StudyInput.objects.filter(group=group).values_list("shown", flat=True):
        yield from (item[part] for item in shown for part in ("path", "poster"))


def _run_files(group: IdentityGroup) -> Iterator[str]:
    """What jobs keep of a person beside rows: clips of trainings, and all that evaluations keep of them."""
    pairs = VideoPair.objects.filter(instance__group=group).values_list("pk", flat=True)
    instances = group.instances.values_list("pk", flat=True)
    patterns = [f"runs/*/*/samples/step-*/{pk}.mp4" for pk in pairs]
    patterns += [f"runs/*/evaluate-*/*/{pk}-*.mp4" for pk in instances]
    patterns += [f"runs/*/evaluate-*/scores/*/{pk}-*.json" for pk in instances]
    found = {path for pattern in patterns for path in settings.STORAGE_ROOT.glob(pattern)}
    # A report holds pictures of the best and the worst videos.
    runs = {parent for path in found for parent in path.parents if parent.match("runs/*/evaluate-*")}
    found |= {run / REPORT_FILE for run in runs}
    for path in found:
        if path.is_file():
            yield str(path.relative_to(settings.STORAGE_ROOT))
