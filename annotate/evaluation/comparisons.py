"""Does it help people? A model against its parent, judged by people like any other pairs."""

from __future__ import annotations

from django.db import transaction

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.database.batches import batches
from annotate.evaluation.comparison_queries import held_out_instances, instances_to_compare_on
from annotate.models import IdentityGroup, Instance, ModelVersion, Round, RoundKind, Use, User
from annotate.people.prompt_reader_queries import part_by_prompt
from annotate.privacy.consent_queries import refusal
from annotate.registry.versions import last_round
from annotate.rounds.prompt_limits import say_left_out
from annotate.rounds.rounds import Video, open_ready_pairs, sample_seed, start_round, want_pairs
from generator.records import SamplerSettings

#: Both models are evaluated, and people judge their videos.
USES = (Use.SHOW, Use.EVALUATE)


@transaction.atomic
def start_comparison(version: ModelVersion, actor: User | None = None) -> Round:
    """Open a round of pairs, one video by the model and one by its parent, of people held out of training.

    Settings and votes are those of the round that trained it. Doing it again returns the same round.

    Raises:
        RoundError: the model has no parent, or nobody is held out who agreed to it.
    """
    trained_in = (version.run.round if version.run else None) or last_round(version)
    if version.parent is None or trained_in is None:
        raise RoundError(f"{version} was not trained here: there is no parent to compare it with")
    # People compare two videos of one prompt, so both models must have read it.
    drawn = list(instances_to_compare_on(*USES))
    if not drawn and held_out_instances().exists():
        people = IdentityGroup.objects.filter(pk__in=held_out_instances().order_by().values("group"))
        raise RoundError(refusal(people, *USES))
    instances, unread = part_by_prompt([version.parent, version], drawn)
    if drawn and not instances:
        raise RoundError(say_left_out(unread))
    if not instances:
        raise RoundError(
            "no instance of a held-out person; import people of split eval or benchmark and build instances"
        )
    round = start_round(
        f"comparison-of-model-{version.pk}",
        version,
        votes_wanted=trained_in.votes_wanted,
        sampler=SamplerSettings(**trained_in.sampler),
        kind=RoundKind.COMPARISON,
        actor=actor,
    )
    if unread:
        # Without names: the record outlives an erasure.
        record_event("leave_out_instances", round, actor=actor, prompts_not_read=len(unread))
    for batch in batches(instances):
        want_pairs(round, {instance: _videos(instance, version, version.parent) for instance in batch})
    open_ready_pairs(round)
    return round


def _videos(instance: Instance, version: ModelVersion, parent: ModelVersion) -> list[Video]:
    """Both models are given the same noise, and its parity decides, like a coin, which one comes first."""
    seed = sample_seed(instance, 0)
    in_order = (version, parent) if seed % 2 else (parent, version)
    return [(model, seed) for model in in_order]
