"""What leads decide about versions of models: which one is meant to be used, which rest, what follows."""

from __future__ import annotations

from collections.abc import Callable

from django.db import transaction
from django.db.models import Q

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.database.batches import BATCH
from annotate.models import Instance, ModelState, ModelVersion, Round, RoundKind, User
from annotate.rounds.prompt_limits import say_left_out
from annotate.rounds.rounds import plan_pairs, refuse_archived, start_round
from generator.records import SamplerSettings


class VersionError(ValueError):
    """A version cannot be put into this state; the message names the reason and the remedy."""


@transaction.atomic
def promote(version: ModelVersion, actor: User) -> None:
    """Make a version the one of its lineage; the one before it becomes a candidate again."""
    version = _lock(version, ModelState.CANDIDATE, "promoted")
    lineage = Q(pk=version.lineage_id) | Q(root=version.lineage_id)
    for before in ModelVersion.objects.filter(lineage, state=ModelState.PROMOTED):
        _set(before, ModelState.CANDIDATE, "step_down_model", actor)
    _set(version, ModelState.PROMOTED, "promote_model", actor)


@transaction.atomic
def archive(version: ModelVersion, actor: User) -> None:
    """Let a version start no more rounds; what was made with it stays."""
    version = _lock(version, ModelState.CANDIDATE, "archived")
    _set(version, ModelState.ARCHIVED, "archive_model", actor)


@transaction.atomic
def restore(version: ModelVersion, actor: User) -> None:
    version = _lock(version, ModelState.ARCHIVED, "restored")
    _set(version, ModelState.CANDIDATE, "restore_model", actor)


def refuse_next_round(name: str, policy: ModelVersion) -> Round:
    """The round that the next one goes by.

    Raises:
        RoundError: the name is empty or taken, there is no round to go by, or the version is archived.
    """
    name = name.strip()
    if not name or len(name) > 100:
        raise RoundError(f"a round's name has 1 to 100 characters; this one has {len(name)}")
    if Round.objects.filter(name=name).exists():
        raise RoundError(f"there is a round {name!r} already; choose another name")
    last = last_round(policy)
    if last is None:
        raise RoundError(f"no round led to {policy} or started from it; use manage.py start_round")
    refuse_archived(policy)
    return last


@transaction.atomic
def start_next_round(
    name: str,
    policy: ModelVersion,
    actor: User | None,
    *,
    new_seeds: bool = False,
    say: Callable[[str], object] = lambda line: None,
    tell: Callable[[int], object] = lambda num_pairs: None,
) -> Round:
    """Open a round with this version as its policy and plan its pairs, as the last round of its line did.

    Sampler, votes, stopping, DPO settings and instances are those of the newest round that led to the version
    or started from it. With `new_seeds` its videos are new ones of the same instances. `say` hears of
    instances that are left out, since the version would not read their prompts whole, and `tell` how many
    are planned.

    Raises:
        RoundError: as `refuse_next_round`.
    """
    last = refuse_next_round(name, policy)
    round = start_round(
        name.strip(),
        policy,
        votes_wanted=last.votes_wanted,
        stopping=last.rule,
        sampler=SamplerSettings(**last.sampler),
        dpo=last.dpo,
        new_seeds=new_seeds,
        actor=actor,
    )
    of_last = Instance.objects.filter(pairs__round=last, pairs__gold=None).distinct().order_by("id")
    unread: list[str] = []
    wanted = of_last.select_related("group", "prompt").iterator(chunk_size=BATCH)
    plan_pairs(round, wanted, left_out=unread, tell=tell)
    if unread:
        say(say_left_out(unread))
    return round


def last_round(version: ModelVersion) -> Round | None:
    """The newest round that started from the version, else the one that trained it, else its parent's."""
    if (started := version.rounds.filter(kind=RoundKind.PREFERENCE).last()) is not None:
        return started
    if version.run is not None and version.run.round is not None:
        return version.run.round
    return last_round(version.parent) if version.parent else None


def _lock(version: ModelVersion, state: ModelState, action: str) -> ModelVersion:
    """The row as it is now; changes of one lineage wait for each other at its first model.

    Raises:
        VersionError: it is not in the state from which it can be promoted, archived or restored.
    """
    stored = ModelVersion.objects.get(pk=version.pk)  # a row that was just made does not know its root
    ModelVersion.objects.select_for_update(no_key=True).get(pk=stored.lineage_id)
    version = ModelVersion.objects.get(pk=version.pk)
    remedies = {
        ModelState.CANDIDATE: "only an archived version can be restored",
        ModelState.PROMOTED: "promote another one of its lineage first",
        ModelState.ARCHIVED: "restore it first",
    }
    if version.state != state:
        raise VersionError(
            f"{version} is {version.state} and cannot be {action}; {remedies[ModelState(version.state)]}"
        )
    return version


def _set(version: ModelVersion, state: ModelState, verb: str, actor: User) -> None:
    ModelVersion.objects.filter(pk=version.pk).update(state=state)
    record_event(verb, version, actor=actor)
