"""The right to be forgotten: a person's data go from every place that they reached.

In one transaction rows go, whatever stays is struck, and everything that is to happen to files is written
down. Files follow the commit. Killed anywhere, it is done by running it again, or by the next beat.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast, Now
from django.utils.crypto import salted_hmac

from annotate.background.kinds import looks
from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.database.locks import hold_queue
from annotate.database.triggers import without_append_only
from annotate.models import (
    LIVE,
    AuditEvent,
    DifferentialPrompt,
    Erasure,
    Export,
    IdentityGroup,
    Job,
    ModelVersion,
    Round,
    Run,
    RunStatus,
    Study,
    StudyInput,
    TrainingSet,
    VideoSample,
)
from annotate.models.personal_data import OUT_OF_REACH, ROWS, pairs_of, samples_of
from annotate.privacy.file_removal import carry_out, remove_after_commit
from annotate.privacy.personal_data_queries import Located
from annotate.privacy.traces import STRUCK
from annotate.storage.leased_copies import LEASED

#: What exports and files of judgments say of themselves afterwards.
WITHDRAWN = "a person's data were erased"


def erase_identity(name: str, *, source: str | None = None, really: bool = False) -> dict[str, Any]:
    """Erase one person: rows, stored files, and the files of every export that holds them.

    Exports stay as rows, marked as withdrawn. What cannot be reached is named, so that whoever keeps it can
    decide. Without `really` only what would go is returned. Asking again for somebody who was erased ends
    what a crash left undone, and returns the same report.

    Raises:
        RoundError: nobody, or more than one person, has this name; or a run that uses their files is live.
    """
    named = IdentityGroup.objects.filter(name=name)
    groups = list(named.filter(source=source) if source else named)
    if really and not groups and (earlier := _earlier(name, source)):
        return _finish(earlier, name)
    if len(groups) != 1:
        sources = ", ".join(sorted(group.source for group in groups))
        remedy = f"give --source, one of: {sources}" if groups else "see the people page for the names"
        raise RoundError(f"{len(groups)} people are called {name!r}; {remedy}")
    if not really:
        return _told(name, _report(Located(groups[0])), [], erased=False)
    return _finish(_erase(groups[0]), name)


def _earlier(name: str, source: str | None) -> Erasure | None:
    erasures = Erasure.objects.filter(name_hash=_hash(name))
    return (erasures.filter(source_hash=_hash(source)) if source else erasures).last()


def _hash(text: str) -> str:
    """Nobody without the site's secret key can tell whose it is."""
    return salted_hmac("annotate.erasure", text, algorithm="sha256").hexdigest()


def _finish(erasure: Erasure, name: str) -> dict[str, Any]:
    carry_out(erasure)
    left = erasure.removals.order_by("path")
    return _told(name, erasure.report, [f"{item.path}: {item.error}" for item in left], erased=True)


def _told(name: str, report: dict[str, Any], left: list[str], *, erased: bool) -> dict[str, Any]:
    return {
        "person": name,
        **report,
        "files_left": left,
        "erased": erased,
        "out_of_reach": list(OUT_OF_REACH),
    }


def _report(person: Located) -> dict[str, Any]:
    """Everything that is found of a person, without their name: it is kept."""
    on_votes = Q(export__in=[export.pk for export in person.exports])
    on_clips = Q(run__training_set__in=[one.pk for one in person.training_sets])
    models = ModelVersion.objects.filter(on_votes | on_clips)
    sets = AuditEvent.objects.filter(verb="make_benchmark", row_id=person.group.pk).order_by("id")
    return {
        **{name: person.rows[name] for name in ("references", "instances", "videos", "votes")},
        "rows": person.rows,
        "files": len(person.files),
        "records_struck": len(person.records),
        "exports_withdrawn": [str(export) for export in person.exports],
        "training_sets_withdrawn": [one.pk for one in person.training_sets],
        "judgment_files_withdrawn": person.judgment_files.filter(status=RunStatus.DONE).count(),
        "sets_removed": person.sets_elsewhere,
        "models_trained_on_them": list(models.order_by("id").values_list("name", flat=True)),
        "benchmark_sets_that_left": [f"{item.detail['set']} ({item.detail['sha256']})" for item in sets],
        "texts_that_mention_the_name": person.mentions(),
    }


@transaction.atomic(durable=True)
def _erase(group: IdentityGroup) -> Erasure:
    """Everything that the database can do, at once or not at all.

    Raises:
        RoundError: a run that uses the person's files is under way.
    """
    _lock(group)
    person = Located(group)
    if runs := person.runs_at_work:
        raise RoundError(f"{runs[0]} works with files of {group}; cancel it, or wait for it, then erase them")
    report = _report(person)
    erasure = Erasure.objects.create(
        name_hash=_hash(group.name), source_hash=_hash(group.source), report=report
    )
    record_event("erase_identity", group, **report)
    inside = tuple(f"{folder}/" for folder in person.folders)
    remove_after_commit(
        (path for path in person.files if not path.startswith(inside)),
        # Copies for leases say of nobody whose they are; they are made again for whoever still looks.
        [*person.folders, LEASED],
        person.records,
        erasure=erasure,
    )
    Export.objects.filter(pk__in=[export.pk for export in person.exports]).update(withdrawn=WITHDRAWN)
    TrainingSet.objects.filter(pk__in=[one.pk for one in person.training_sets]).update(withdrawn=WITHDRAWN)
    _withdraw_judgment_files(person)
    _strike_runs(person)
    Job.objects.filter(kind__in=looks()).delete()  # what they found names people, and is found again
    _delete(person)
    return erasure


def _lock(group: IdentityGroup) -> None:
    """Keep still whatever could come to hold the person while they are looked for: runs, exports, votes."""
    hold_queue()
    IdentityGroup.objects.select_for_update().get(pk=group.pk)
    # What is exported of these rounds now is an export when this has the lock.
    rounds = Round.objects.filter(pk__in=pairs_of(group).order_by().values("round"))
    for rows in (
        rounds.select_for_update(no_key=True),
        Run.objects.exclude(status__in=[*LIVE]).select_for_update(no_key=True),
        group.instances.select_for_update(),
        VideoSample.objects.filter(pk__in=samples_of(group).values("pk")).select_for_update(),
        ROWS["slots"](group).select_for_update(),
    ):
        list(rows.order_by("pk").values_list("pk", flat=True))


def _withdraw_judgment_files(person: Located) -> None:
    """Files that are whole are withdrawn; one that is being written is begun anew, without the person."""
    whole = person.judgment_files.filter(status=RunStatus.DONE)
    whole.update(path="", withdrawn=WITHDRAWN)
    written = person.judgment_files.filter(status=RunStatus.RUNNING)
    written.update(status=RunStatus.QUEUED, worker=None, heartbeat_at=Now())


def _strike_runs(person: Located) -> None:
    """Take the person out of what runs said, in their rows as in their files."""
    for run in Run.objects.order_by("id").iterator():
        if run.folder in person.prompt_runs:
            run.metrics.all().delete()
            run.shards.update(facts={})
            Run.objects.filter(pk=run.pk, status=RunStatus.DONE).update(result={})
            continue
        traces = person.traces_in(run.folder)
        result, error = traces.strike(run.result), traces.strike_text(run.error)
        if (result, error) != (run.result, run.error):
            Run.objects.filter(pk=run.pk).update(result=result, error=error)
        run.shards.filter(error__regex=traces.regex).update(error=STRUCK)
        for shard in run.shards.exclude(facts={}):
            if (facts := traces.strike(shard.facts)) != shard.facts:
                run.shards.filter(pk=shard.pk).update(facts=facts)
        lines = run.metrics.annotate(text=Cast("values", TextField()))
        lines.filter(text__regex=traces.regex).update(values={})
    texts = person.traces_in("")
    for study in Study.objects.exclude(error="").filter(error__regex=texts.regex):
        Study.objects.filter(pk=study.pk).update(error=STRUCK)


def _delete(person: Located) -> None:
    group = person.group
    prompts = {version for newest in ROWS["prompts"](group) for version in newest.versions}
    shown = pairs_of(group)
    # The other copy of a gold pair that showed the person is of no use any more. Votes on the pair go
    # with it: a vote without its video cannot be explained.
    copies = Q(pairs_as_first__in=shown.values("pk")) | Q(pairs_as_second__in=shown.values("pk"))
    gold = VideoSample.objects.filter(copies).exclude(copy_of=None).distinct()
    # Votes, prompts and decisions are append-only for everything but this.
    with without_append_only({rows(group).model for rows in ROWS.values()}):
        StudyInput.objects.filter(pk__in=[shown.pk for shown in person.study_inputs]).delete()
        VideoSample.objects.filter(pk__in=list(gold.values_list("pk", flat=True))).delete()
        samples_of(group).exclude(instance__group=group).delete()
        group.delete()
        # The newest of each line first: what supersedes another one holds it.
        for prompt in sorted(prompts, key=lambda prompt: -prompt.pk):
            DifferentialPrompt.objects.filter(pk=prompt.pk, instances=None, superseded_by=None).delete()
