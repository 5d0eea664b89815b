"""Videos of a round: queued, and believed once their files are decoded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from django.db.models import Q

from annotate.database.batches import BATCH
from annotate.jobs.requests import model_request, references_requests
from annotate.jobs.runs import queue_run
from annotate.jobs.shards import seconds_per_item
from annotate.models import ModelVersion, Round, Run, Shard, Stage, User, VideoSample
from annotate.privacy.consent import refuse_without_consent
from annotate.privacy.consent_queries import given, people_of, refusal_among, uses_of
from annotate.rounds import queries
from annotate.rounds.prompt_limits import leave_out_unread
from annotate.rounds.rounds import open_pairs_of, open_ready_pairs
from annotate.storage.opening import site_storage
from generator.media.display_copies import write_display_copy
from generator.media.formats import MediaError, MediaFacts
from generator.media.video import probe
from generator.records import Encoding
from generator.rundir import RunDir

#: Videos of one run, whose request is one document that every worker of it reads.
MAX_VIDEOS = 20_000


def queue_sampling(round: Round, actor: User | None = None, *, retry_failed: bool = False) -> Run | None:
    """Queue a run for the videos of the round that are not made yet, or None when all are.

    Votes are asked for on pairs whose videos exist, whichever round made them.

    A run loads one model and makes `MAX_VIDEOS` at most: where there is more to do, one run follows another.
    Videos that failed are left alone unless they are to be tried again, and so are people who did not agree.
    Those whose prompt the model would not read whole fail at once, with the reason.

    Raises:
        RoundError: videos are missing, and nobody of the round agreed to them.
    """
    missing = queries.missing_samples(round, include_failed=retry_failed)
    versions = ModelVersion.objects.filter(pk__in=missing.order_by().values("model_version"))
    if (
        not versions.exists()
        and queries.missing_samples(round, include_failed=retry_failed, include_refused=True).exists()
    ):
        refuse_without_consent(round)
    for version in versions.order_by("id"):
        of_version = missing.filter(model_version=version).iterator(chunk_size=BATCH)
        if samples := list(islice(leave_out_unread(version, of_version), MAX_VIDEOS)):
            break
    else:
        open_ready_pairs(round)
        return None

    def request(folder: RunDir) -> dict[str, Any]:
        references = references_requests({sample.instance_id for sample in samples}, folder)
        return {
            "model": model_request(version, folder),
            "settings": round.sampler,
            "samples": [
                {
                    "sample_id": str(sample.pk),
                    "seed": sample.seed,
                    "prompt": sample.instance.prompt.text,
                    "references": references[sample.instance_id],
                    "encoding": str(sample.encoding),
                }
                for sample in samples
            ],
        }

    return queue_run(round, Stage.SAMPLE, request, actor=actor)


def store_samples(run: Run, sample_ids: Sequence[str]) -> int:
    """Believe samples only once their files are decoded; gives how many of them are there."""
    return sum(_store_sample(run, sample_id) for sample_id in sample_ids)


def _store_sample(run: Run, sample_id: str) -> bool:
    """The facts are the file's, not the command's. Votes are asked for once both videos are there."""
    sample = VideoSample.objects.filter(pk=int(sample_id)).first() if sample_id.isdecimal() else None
    if sample is None or sample.path:
        return sample is not None
    path, shown_path = (f"{run.folder}/{folder}/{sample_id}.mp4" for folder in ("samples", "shown"))
    try:
        facts = _facts_of(path, shown_path, sample.encoding)
    except (MediaError, FileNotFoundError) as problem:
        store_failure(run, {"sample_id": sample_id, "error": str(problem)})
        return False
    VideoSample.objects.filter(pk=sample.pk, path="").update(
        path=path,
        shown_path=shown_path,
        sha256=facts.sha256,
        error="",
        facts=sample.facts
        | {name: getattr(facts, name) for name in ("width", "height", "num_frames", "fps", "size_bytes")},
    )
    open_pairs_of(sample)
    return True


def store_failure(run: Run, failure: Mapping[str, Any]) -> None:
    if (sample_id := str(failure["sample_id"])).isdecimal():
        VideoSample.objects.filter(pk=int(sample_id), path="").update(error=str(failure["error"]))


def _facts_of(path: str, shown_path: str, encoding: Encoding) -> MediaFacts:
    """What a video is, once it was read to its end and has its display copy."""
    storage = site_storage()
    with storage.local(path) as video:
        facts = probe(video)
        if not storage.exists(shown_path):  # sampled by an earlier version
            with storage.writing(shown_path) as copy:
                write_display_copy(video, copy, name=facts.sha256, encoding=encoding)
    return facts


def seconds_per_video(run: Run) -> float | None:
    """What a video of these settings took by models of this base."""
    assert run.round is not None
    return seconds_per_item(
        Shard.objects.filter(
            run__stage=Stage.SAMPLE,
            run__round__sampler=run.round.sampler,
            run__round__policy__base_model=run.round.policy.base_model,
        )
    )


def sampled(run: Run, request: dict[str, Any]) -> dict[str, Any]:
    """Which videos of a request are there, and why the others are not."""
    asked = [int(item["sample_id"]) for item in request["samples"] if str(item["sample_id"]).isdecimal()]
    rows = VideoSample.objects.filter(pk__in=asked).order_by("id").values_list("pk", "path", "error")
    newest = run.shards.filter(facts__has_key="precision").order_by("-ended_at").first()
    return {
        **({"precision": newest.facts["precision"]} if newest else {}),
        "samples": [{"sample_id": str(key), "path": path} for key, path, _ in rows if path],
        "failed": [{"sample_id": str(key), "error": error} for key, path, error in rows if not path],
    }


def refused_in_samples(run: Run, request: dict[str, Any], start: int, stop: int | None = None) -> str:
    """Who in a part of a queued run does not agree to it now, and the remedy; empty where all do."""
    if run.round is None:
        return ""
    asked = {str(item["sample_id"]) for item in request.get("samples", [])[start:stop]}
    uses, people = uses_of(run.round), people_of(run.round)
    refused = VideoSample.objects.filter(~Q(given("instance__group", *uses)), instance__group__in=people)
    rows = refused.values_list("pk", "instance__group").iterator()
    return refusal_among(people, {group for sample, group in rows if str(sample) in asked}, *uses)
