"""Every read. What a person may see is decided here, by who asks."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from annotate.models import (
    LIVE,
    Export,
    IdentityGroup,
    Instance,
    ModelVersion,
    PreferencePair,
    Reference,
    Round,
    RoundKind,
    Run,
    RunStatus,
    Slot,
    Split,
    Stage,
    Use,
    User,
    VideoPair,
    VideoSample,
)
from annotate.privacy.consent_queries import given
from annotate.rounds.funnel_queries import round_funnel
from rlhf.records import JointState, Track

#: How long monitors are told the same number of wanted votes.
WANTED_EVERY_S = 600


def visible_rounds(user: User) -> QuerySet[Round]:
    """Rounds are the leads' business; to everybody else they do not exist."""
    rounds = Round.objects.select_related("policy")
    return rounds if user.is_lead else rounds.none()


def visible_samples(user: User) -> QuerySet[VideoSample]:
    return VideoSample.objects.exclude(path="") if user.is_lead else VideoSample.objects.none()


def visible_references(user: User) -> QuerySet[Reference]:
    return Reference.objects.all() if user.is_lead else Reference.objects.none()


def visible_exports(user: User) -> QuerySet[Export]:
    exports = Export.objects.select_related("round")
    return exports if user.is_lead else exports.none()


def latest_policy() -> ModelVersion | None:
    """The model that the next round starts from: the newest version."""
    return ModelVersion.objects.order_by("-id").first()


def adapters_of(version: ModelVersion) -> list[str]:
    """The adapter folders of a version, oldest first, from its whole line of parents."""
    paths: list[str] = []
    step: ModelVersion | None = version
    while step is not None:
        if step.adapter_path:
            paths.insert(0, step.adapter_path)
        step = step.parent
    return paths


def instances_of_split(split: str, source: str | None = None) -> QuerySet[Instance]:
    instances = Instance.objects.filter(group__split=split).select_related("group", "prompt")
    return instances.filter(group__source=source) if source else instances


def find_round(name: str | None) -> Round | None:
    """A round by name or number; without a name the newest open one that is no comparison."""
    rounds = Round.objects.select_related("policy")
    if name is None:
        return rounds.filter(is_open=True, kind=RoundKind.PREFERENCE).last()
    return rounds.filter(name=name).first() or (
        rounds.filter(pk=int(name)).first() if name.isdecimal() else None
    )


def find_model(name: str | None) -> ModelVersion | None:
    """A model version by name; without a name the newest one."""
    if name is None:
        return latest_policy()
    return ModelVersion.objects.filter(name=name).first()


def model_names() -> str:
    return ", ".join(ModelVersion.objects.values_list("name", flat=True)) or "none yet"


def missing_samples(
    round: Round, *, include_failed: bool, include_refused: bool = False
) -> QuerySet[VideoSample]:
    """The round's videos that are not made yet, the two of an instance next to each other.

    Those of people who did not agree to what the round does are left out unless they are asked for, too.
    """
    missing = VideoSample.objects.filter(path="").filter(
        Exists(VideoPair.objects.filter(Q(first=OuterRef("pk")) | Q(second=OuterRef("pk")), round=round))
    )
    if not include_failed:
        missing = missing.filter(error="")
    if not include_refused:
        missing = missing.filter(given("instance__group", *uses_of(round)))
    return missing.select_related("instance__prompt").order_by("instance_id", "id")


def failed_videos(round: Round) -> list[dict[str, Any]]:
    """Why videos of a round could not be made, and how many each: the most frequent reasons."""
    mine = VideoPair.objects.filter(Q(first=OuterRef("pk")) | Q(second=OuterRef("pk")), round=round)
    failed = VideoSample.objects.filter(Exists(mine), path="").exclude(error="")
    counted = (
        failed.order_by()
        .values("error")
        .annotate(
            number=Count("id"), instance=Min("instance_id"), instances=Count("instance_id", distinct=True)
        )
    )
    return [dict(one) for one in counted.order_by("-number", "error")[:5]]


def uses_of(round: Round) -> tuple[Use, ...]:
    """What people have to agree to before a round's videos of them are made."""
    return (Use.SHOW, Use.EVALUATE) if round.kind == RoundKind.COMPARISON else (Use.SHOW,)


def people_of(round: Round) -> QuerySet[IdentityGroup]:
    """The people of a round's pairs."""
    return IdentityGroup.objects.filter(Exists(round.pairs.filter(instance__group=OuterRef("pk"))))


def done_run(round: Round, stage: str) -> Run | None:
    return round.runs.filter(stage=stage, status=RunStatus.DONE).last()


def done_evaluation(round: Round) -> Run | None:
    """The newest finished comparison of what the round tuned; ablations before that compare nothing."""
    return round.runs.filter(stage=Stage.EVALUATE, status=RunStatus.DONE).exclude(candidate=None).last()


def live_run(round: Round, stage: str) -> Run | None:
    return round.runs.filter(stage=stage, status__in=[*LIVE]).last()


def dpo_curves(run: Run) -> list[dict[str, Any]]:
    """The training curve, a row a step; a resumed run repeats no step."""
    steps = {line["step"]: line for line in run.metrics.values_list("values", flat=True) if "step" in line}
    return [steps[step] for step in sorted(steps)]


def pairs_side_by_side(round: Round, limit: int = 6) -> QuerySet[VideoPair]:
    """Finished pairs for a look, the dominant ones first."""
    dominant = PreferencePair.objects.filter(joint_state=JointState.DOMINANT)
    return (
        round.pairs.filter(gold=None)
        .exclude(first__path="")
        .exclude(second__path="")
        .select_related("first", "second", "instance__group", "instance__prompt", "preference")
        .annotate(is_dominant=Exists(dominant.filter(pair=OuterRef("pk"))))
        .order_by("-is_dominant", "id")[:limit]
    )


def people() -> QuerySet[IdentityGroup]:
    return IdentityGroup.objects.annotate(num_references=Count("references")).order_by("name")


def is_synthetic(round: Round) -> bool:
    """Whether every person of the round comes from an embedded world, whose truth is known."""
    return not round.pairs.filter(instance__group__truth__isnull=True).exists()


def held_out_instances() -> QuerySet[Instance]:
    """What a tuned model is evaluated on: held-out people of known truth who agreed to it."""
    held_out = instances_of_split(Split.EVAL).filter(group__truth__isnull=False)
    return held_out.filter(given("group", Use.EVALUATE))


def visible_runs(user: User) -> QuerySet[Run]:
    runs = Run.objects.select_related("round", "export", "launched_by", "approved_by", "model_version")
    return runs if user.is_lead else runs.none()


def run_progress(run: Run) -> dict[str, Any]:
    """How far a run is, from its newest metric line."""
    last = run.metrics.exclude(values={}).order_by("-line").values_list("values", flat=True).first() or {}
    done = last.get("done", last.get("step"))
    return {"done": done, "total": last.get("total", last.get("steps")), "last": last}


def accounts() -> QuerySet[User]:
    """Who signs in by name; those who come in by an entry link are on its page."""
    return (
        User.objects.exclude(role=User.Role.PARTICIPANT)
        .annotate(num_judged=Count("slots", filter=Q(slots__judged_at__isnull=False)))
        .order_by("role", "username")
    )


def counts_for_metrics() -> dict[str, tuple[str, dict[str, int]]]:
    """Gauges for a monitor: name -> (text, label -> count)."""
    return {
        "annotate_runs": ("Runs by status", dict(Run.objects.values_list("status").annotate(Count("id")))),
        "annotate_open_slots": (
            "Wanted votes by track, counted every ten minutes",
            cache.get_or_set("wanted-votes", _wanted_votes, WANTED_EVERY_S) or {},
        ),
        "annotate_judgments": (
            "Judged slots by track",
            dict(Slot.objects.exclude(judged_at=None).values_list("track").annotate(Count("id"))),
        ),
        "annotate_pairs": (
            "Pairs by joint state",
            dict(PreferencePair.objects.values_list("joint_state").annotate(Count("id"))),
        ),
    }


def _wanted_votes() -> dict[str, int]:
    """Gold is none of them. Whoever saw the number with every vote would see which votes it leaves out."""
    wanted = Slot.objects.filter(judged_at=None, round__is_open=True, pair__gold=None)
    return dict(wanted.values_list("track").annotate(Count("id")))


def root_model() -> ModelVersion | None:
    """The newest imported model: the one that training here started from."""
    return ModelVersion.objects.filter(parent=None).order_by("-id").first()


def stuck_runs(round: Round) -> QuerySet[Run]:
    """Failed or cancelled runs of stages that never came to an end; of evaluations only its own model's."""
    mine = Run.objects.exclude(stage=Stage.EVALUATE, candidate=None)
    done = mine.filter(round=OuterRef("round"), stage=OuterRef("stage"), status=RunStatus.DONE)
    ended = mine.filter(round=round, status__in=[RunStatus.FAILED, RunStatus.CANCELLED])
    return ended.filter(~Exists(done)).order_by("id")


def round_report(round: Round) -> dict[str, Any]:
    """The figures of a finished round, as `report.json` holds them."""
    funnel = round_funnel(round).to_json()
    dpo, evaluation = done_run(round, Stage.DPO), done_evaluation(round)
    return {
        "round": round.name,
        **{name: funnel[name] for name in ("instances", "samples", "pairs", "judgments", "joint_states")},
        "exported_pairs": funnel["exported_pairs"],
        "dpo": {name: dpo.result[name] for name in ("first_loss", "last_loss", "accuracy", "steps")}
        if dpo and dpo.result
        else {},
        **_evaluation_report(evaluation.result if evaluation else None),
        "evaluation_folder": evaluation.folder if evaluation else None,
    }


def _evaluation_report(result: dict[str, Any] | None) -> dict[str, Any]:
    """Each track that could be compared, and the whole table with all that a reader of it needs."""
    found = result or {}
    tracks = {str(track): _track_result(found[str(track)]) for track in Track if str(track) in found}
    names = ("columns", "arms", "reference", "table")
    table = {name: found[name] for name in names if name in found}
    return {"evaluation": tracks, "evaluation_table": table}


def _track_result(found: dict[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in ("win_rate", "low", "high", "n")}
