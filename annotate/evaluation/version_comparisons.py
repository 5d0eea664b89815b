"""Any two versions on the same held-out inputs and seeds: queued as a run, shown clip beside clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import transaction

from annotate.core.errors import RoundError
from annotate.evaluation.evaluations import queue_evaluation
from annotate.jobs.runs import run_dir
from annotate.models import Instance, ModelVersion, Run, User, VersionComparison
from annotate.registry.versions import last_round
from annotate.storage.opening import site_storage
from rlhf.evaluation.stored import in_current_keys

#: The two systems of the run, in the order in which they are shown.
SYSTEMS = ("baseline", "candidate")


@transaction.atomic
def compare_versions(
    baseline: ModelVersion,
    candidate: ModelVersion,
    instances: Sequence[Instance],
    *,
    num_seeds: int,
    actor: User | None = None,
) -> VersionComparison:
    """Queue a run that samples both, at the size of the candidate's newest round; the caller sends it.

    Asking again while it is under way gives the same one.

    Raises:
        RoundError: no round says at which size to sample, another evaluation of that round is under way, or
            nobody may be shown.
    """
    # For its size and folder alone: the run is no evaluation of this round.
    round = last_round(candidate) or last_round(baseline)
    if round is None:
        raise RoundError(
            f"no round led to {candidate} or {baseline} or started from them, so no size of videos is known; "
            "start one from either"
        )
    seeds = list(range(num_seeds))
    run = queue_evaluation(round, candidate, baseline=baseline, instances=instances, seeds=seeds, actor=actor)
    if not _asks_for(run, [baseline.name, candidate.name], instances, seeds):
        raise RoundError(f"{run} is {run.status} and compares something else; wait for it, or cancel it")
    comparison, created = VersionComparison.objects.get_or_create(
        run=run, defaults={"baseline": baseline, "candidate": candidate, "num_seeds": num_seeds}
    )
    if created:
        comparison.instances.set(instances)
    return comparison


def _asks_for(run: Run, names: list[str], instances: Sequence[Instance], seeds: list[int]) -> bool:
    """Whether the run that is under way is the one that was wished for."""
    request = in_current_keys(run_dir(run).read_request())
    return (
        [request["systems"].get(system, {}).get("label") for system in SYSTEMS] == names
        and request["seeds"] == seeds
        and {one["instance_id"] for one in request["instances"]}
        <= {str(instance.pk) for instance in instances}
    )


@dataclass(frozen=True)
class Clip:
    """One video of an input, and why there is none where it could not be made."""

    system: str
    version: ModelVersion
    is_made: bool
    why: str


@dataclass(frozen=True)
class Place:
    """One input with one seed: the baseline's video and the candidate's, and what is measured of both."""

    instance: Instance
    seed: int
    clips: list[Clip]
    scores: list[tuple[str, list[float | None]]]

    @property
    def is_whole(self) -> bool:
        return all(clip.is_made for clip in self.clips)


def clip_path(comparison: VersionComparison, system: str, instance_id: int, seed: int) -> str:
    return f"{comparison.run.folder}/{system}/{instance_id}-{seed}.mp4"


def places(comparison: VersionComparison) -> Iterator[Place]:
    """All inputs, seed by seed. Whoever was erased since is not among them."""
    result = in_current_keys(comparison.run.result or {})
    values = {
        (one["system"], one["instance_id"], one["seed"]): one["values"] for one in result.get("videos", [])
    }
    failed = {(one["system"], one["sample_id"]): one["error"] for one in result.get("failed", [])}
    for instance in comparison.instances.select_related("group", "prompt").order_by("id"):
        for seed in comparison.seeds:
            found = [values.get((system, str(instance.pk), seed), {}) for system in SYSTEMS]
            scores = [
                (column["label"], [one.get(column["name"]) for one in found])
                for column in result.get("columns", [])
                if any(column["name"] in one for one in found)
            ]
            clips = [
                Clip(
                    system,
                    version,
                    site_storage().exists(clip_path(comparison, system, instance.pk, seed)),
                    failed.get((system, f"{instance.pk}-{seed}"), ""),
                )
                for system, version in zip(SYSTEMS, (comparison.baseline, comparison.candidate), strict=True)
            ]
            yield Place(instance, seed, clips, scores)
