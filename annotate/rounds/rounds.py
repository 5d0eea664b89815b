"""Rounds: plan their videos and pairs, open, pause and close them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max, Q, QuerySet

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.database.batches import BATCH, batches
from annotate.judging.slots import open_slots
from annotate.models import (
    MAX_PRIORITY,
    Instance,
    ModelState,
    ModelVersion,
    Round,
    RoundKind,
    RoundState,
    User,
    VideoPair,
    VideoSample,
)
from annotate.people.prompt_reader_queries import part_by_prompt
from annotate.rounds.prompt_limits import say_left_out
from generator.records import Encoding, SamplerSettings
from rlhf.dpo.config import FlowDPOConfig
from rlhf.votes.stopping import Rule

#: Whose model, and from which seed.
Video = tuple[ModelVersion, int]


@transaction.atomic
def start_round(
    name: str,
    policy: ModelVersion,
    *,
    votes_wanted: int = 3,
    stopping: Rule | None = None,
    sampler: SamplerSettings | None = None,
    dpo: dict[str, Any] | None = None,
    kind: RoundKind = RoundKind.PREFERENCE,
    new_seeds: bool = False,
    actor: User | None = None,
) -> Round:
    """Open a round; a round of this name that exists is returned as it is.

    With `stopping`, votes are asked for one by one until a pair is settled; without, `votes_wanted` a track.
    With `new_seeds` its videos are made from seeds that no round of the policy has used; without, from the
    first ones, so that videos of another round with the same settings are used again.

    Raises:
        ValueError: a setting out of its range.
        RoundError: the policy is archived.
    """
    refuse_archived(policy)
    if not 1 <= votes_wanted <= 15:
        raise ValueError(f"votes_wanted is {votes_wanted}; it must be 1 to 15")
    FlowDPOConfig.from_json(dpo or {})
    round, created = Round.objects.get_or_create(
        name=name,
        defaults={
            "policy": policy,
            "kind": kind,
            "votes_wanted": votes_wanted,
            "stopping": asdict(stopping) if stopping else None,
            "sampler": asdict(sampler or SamplerSettings()),
            "dpo": dpo or {},
            "draw": _next_draw(policy) if new_seeds else 0,
            "created_by": actor,
        },
    )
    if created:
        record_event("start_round", round, actor=actor, policy=policy.name)
    return round


def refuse_archived(policy: ModelVersion) -> None:
    """
    Raises:
        RoundError: the policy is archived.
    """
    if policy.state == ModelState.ARCHIVED:
        raise RoundError(f"{policy} is archived; restore it on its page, or name another policy")


def _next_draw(policy: ModelVersion) -> int:
    last: int | None = policy.rounds.filter(kind=RoundKind.PREFERENCE).aggregate(last=Max("draw"))["last"]
    return 0 if last is None else last + 1


def refuse_comparison(round: Round) -> None:
    """What people said of two models is never trained on: else the next model is judged by its teachers.

    Raises:
        RoundError: the round compares two models.
    """
    if round.kind == RoundKind.COMPARISON:
        raise RoundError(
            f"{round} compares two models, and what people said in it is kept out of training; "
            "take a round of preferences, or start one with manage.py start_round"
        )


def sample_seed(instance: Instance, number: int) -> int:
    """The seed of an instance's n-th sample: fixed, below 2**31, different for every instance."""
    digest = hashlib.sha256(f"{instance.digest}:{number}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


@transaction.atomic
def plan_pairs(
    round: Round,
    instances: Iterable[Instance],
    *,
    left_out: list[str] | None = None,
    tell: Callable[[int], object] = lambda num_pairs: None,
) -> int:
    """Want two videos of different seeds, and their pair, for each instance; returns how many pairs are new.

    Instances whose whole prompt its model would not read are left out and named in `left_out`. Votes are
    asked for at once on pairs whose videos another round has made. `tell` hears how many are planned.

    Raises:
        RoundError: the round compares two models, or there is such an instance and no `left_out`.
    """
    refuse_comparison(round)
    before, planned = round.pairs.count(), 0
    for batch in batches(instances):
        whole, unread = part_by_prompt([round.policy], batch)
        if unread:
            if left_out is None:
                raise RoundError(say_left_out(unread))
            left_out += unread
        want_pairs(round, {instance: _videos(round, instance) for instance in whole})
        planned += len(whole)
        tell(planned)
    open_ready_pairs(round)
    return round.pairs.count() - before


def _videos(round: Round, instance: Instance) -> list[Video]:
    return [(round.policy, sample_seed(instance, 2 * round.draw + number)) for number in (0, 1)]


def want_pairs(round: Round, wanted: Mapping[Instance, Sequence[Video]]) -> None:
    """Want two videos of each instance, each by a model from a seed, and their pair; some at a time."""
    digest = SamplerSettings(**round.sampler).digest
    lean = {"encoding": str(Encoding.LEAN)} if settings.DISPLAY_ENCODING == Encoding.LEAN else {}
    VideoSample.objects.bulk_create(
        (
            VideoSample(
                instance=instance,
                model_version=version,
                seed=seed,
                settings_digest=digest,
                settings=round.sampler,
                facts=lean,
            )
            for instance, videos in wanted.items()
            for version, seed in videos
        ),
        ignore_conflicts=True,
    )
    stored = VideoSample.objects.filter(instance__in=[*wanted], settings_digest=digest)
    rows = stored.values_list("pk", "instance", "model_version", "seed")
    key_of = {(instance, version, seed): key for key, instance, version, seed in rows}
    pairs = []
    for instance, videos in wanted.items():
        first, second = sorted(key_of[instance.pk, version.pk, seed] for version, seed in videos)
        pairs.append(VideoPair(round=round, instance=instance, first_id=first, second_id=second))
    VideoPair.objects.bulk_create(pairs, ignore_conflicts=True)


def open_ready_pairs(round: Round) -> None:
    """Ask for votes on every pair whose two videos can be shown; asking again changes nothing."""
    _open(round.pairs.all())


def open_pairs_of(sample: VideoSample) -> None:
    """Ask for votes on those pairs of this video, whichever rounds they are in, that can be shown now."""
    _open(VideoPair.objects.filter(first=sample))
    _open(VideoPair.objects.filter(second=sample))


def _open(pairs: QuerySet[VideoPair]) -> None:
    ready = (
        pairs.filter(slots=None, gold=None, prompt_unread="")
        .exclude(first__shown_path="")
        .exclude(second__shown_path="")
    )
    shown = ready.select_related("round", "first", "second")
    for batch in batches(shown.iterator(chunk_size=BATCH)):
        open_slots(batch)


def rounds_sharing_videos(round: Round) -> QuerySet[Round]:
    """Other rounds that show some of this one's videos."""
    theirs = VideoPair.objects.filter(round=round, gold=None)
    shared = Q(first__in=theirs.values("first")) | Q(first__in=theirs.values("second"))
    shared |= Q(second__in=theirs.values("first")) | Q(second__in=theirs.values("second"))
    pairs = VideoPair.objects.filter(shared, gold=None).exclude(round=round)
    return Round.objects.filter(pk__in=pairs.values("round"))


def let_choose(round: Round, may_be_chosen: bool, *, actor: User | None = None) -> bool:
    """Let annotators ask for the round rather than be given what comes next, or not.

    False when it is so already.

    Raises:
        RoundError: the round compares models, and whoever chose it would know so.
    """
    if may_be_chosen and round.kind == RoundKind.COMPARISON:
        raise RoundError(
            f"{round} compares two models; whoever could choose it would know that, so it comes among others"
        )
    changed = Round.objects.filter(pk=round.pk).exclude(may_be_chosen=may_be_chosen)
    if not changed.update(may_be_chosen=may_be_chosen):
        return False
    record_event("let_choose_round", round, actor=actor, may_be_chosen=may_be_chosen)
    return True


def set_priority(round: Round, priority: int, *, actor: User | None = None) -> bool:
    """Have the round's videos made before those of rounds of lower priority; False when it has it already.

    Raises:
        RoundError: there is no such priority.
    """
    if not 0 <= priority <= MAX_PRIORITY:
        raise RoundError(f"priority {priority} is not known; give a number from 0 (last) to {MAX_PRIORITY}")
    changed = Round.objects.filter(pk=round.pk).exclude(priority=priority).update(priority=priority)
    if changed:
        record_event("set_priority", round, actor=actor, priority=priority)
    round.refresh_from_db(fields=["priority"])
    return bool(changed)


#: What becomes of a round, as the audit log has it.
_VERBS = {
    RoundState.OPEN: "reopen_round",
    RoundState.PAUSED: "pause_round",
    RoundState.CLOSED: "close_round",
}


@transaction.atomic
def set_round_state(round: Round, state: RoundState, actor: User | None = None) -> bool:
    """Open, pause or close a round; False when it is so already. Nothing is lost, and each can be undone.

    A round that is not open gives out no pair, gold included. Whoever holds a pair of it may still answer,
    however late: nobody else can be given the pair.
    """
    changed = Round.objects.filter(pk=round.pk).exclude(state=state).update(state=state)
    if changed:
        record_event(_VERBS[state], round, actor=actor)
    round.refresh_from_db(fields=["state", "is_open"])
    return bool(changed)
