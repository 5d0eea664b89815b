"""From votes on pairs to frozen exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from functools import lru_cache, partial
from typing import Any

from django.db import connection, transaction
from django.db.models import Prefetch

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.exports.queries import NO_CONSENT, chosen_by
from annotate.models import (
    Consensus,
    Export,
    Instance,
    InstanceReference,
    PreferencePair,
    Round,
    Use,
    User,
    VideoSample,
)
from annotate.privacy.consent_queries import people_of, refusal
from annotate.rounds.rounds import refuse_comparison
from annotate.storage.opening import site_storage
from annotate.storage.stored_media import stored_media
from generator.frozen_set import MediaFile
from generator.records import ElementChange
from rlhf.export.freezing import Manifest, write_export
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.export.rule import ExportRule
from rlhf.records import Sample, Track, Verdict

#: A set of more than so many changes what its table looks like to the planner.
MANY_PAIRS = 5_000


@transaction.atomic
def export_round(
    round: Round,
    *,
    rule: ExportRule = ExportRule.PARETO,
    include_simulated: bool = False,
    is_published: bool = False,
    actor: User | None = None,
) -> Export:
    """Freeze what a rule makes of the round's pairs into a folder; the same set gives the same export again.

    Simulated votes are left out unless they are asked for by name, and so are people who did not agree to
    training, or where the set is to be handed out, to that as well.

    Raises:
        RoundError: the round compares models, or nobody agreed of whom there is a pair to export.
    """
    refuse_comparison(round)
    Round.objects.select_for_update().get(pk=round.pk)
    uses = (Use.TRAIN, Use.PUBLISH) if is_published else (Use.TRAIN,)
    chosen, reasons = chosen_by(rule, round, include_simulated=include_simulated, uses=uses)
    if reasons[NO_CONSENT] and not chosen:
        raise RoundError(refusal(people_of(round), *uses))
    manifest, folder = _freeze(round, chosen, reasons, rule)
    export, created = Export.objects.get_or_create(
        round=round,
        content_hash=manifest.content_hash,
        defaults={
            "folder": folder,
            "manifest": asdict(manifest),
            "num_pairs": manifest.num_pairs,
            "rule": rule,
            "includes_simulated": include_simulated,
            "created_by": actor,
        },
    )
    if created:
        export.pairs.add(*chosen)
        if len(chosen) > MANY_PAIRS:
            # What is read of it next would be planned for the table as it was, and take minutes.
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE annotate_export_pairs")
        record_event("export_round", export, actor=actor, content_hash=manifest.content_hash, rule=str(rule))
    return export


def _freeze(
    round: Round, chosen: Mapping[int, Sample], reasons: Counter[str], rule: ExportRule
) -> tuple[Manifest, str]:
    """What a set says of itself, and its folder, which is named by its content."""
    states = PreferencePair.objects.filter(pair__round=round).values_list("joint_state", flat=True)
    storage = site_storage()
    with storage.workspace() as workspace, ExitStack() as held:
        rows = _export_rows(chosen, partial(stored_media, held=held))
        pending = workspace / "set"
        manifest = write_export(pending, rows, joint_states=Counter(states), reasons=reasons, rule=rule)
        folder = f"exports/round-{round.pk}/{manifest.content_hash[:16]}"
        storage.put_folder(pending, folder, last=Manifest.file_name)
    return manifest, folder


#: Gives a stored file, by its path and hash, on this machine.
Fetch = Callable[[str, str], MediaFile]


#: What a row is made of; the rest of these tables would take longer to read than all of it.
_OF_SAMPLE = ("path", "sha256", "seed", "model_version")
_OF_PAIR = (
    "is_simulated",
    "pair__instance",
    *(f"pair__{place}__{name}" for place in ("first", "second") for name in _OF_SAMPLE),
)
_OF_TRACK = ("pair", "track", "verdict", "posterior", "votes")


def _export_rows(chosen: Mapping[int, Sample], fetch: Fetch) -> Iterator[ExportRow]:
    pairs = PreferencePair.objects.filter(pk__in=chosen).select_related("pair__first", "pair__second")
    shown = InstanceReference.objects.exclude(position=None).select_related("reference").order_by("position")
    # Not joined, what pairs have in common is read once; and it is put into words once.
    pairs = pairs.prefetch_related(
        Prefetch("pair__consensuses", Consensus.objects.only(*_OF_TRACK), to_attr="decided"),
        Prefetch("pair__instance", Instance.objects.select_related("group", "prompt")),
        Prefetch("pair__instance__places", shown, to_attr="shown_places"),
        "pair__first__model_version",
    )
    of_instance = lru_cache(1_000)(partial(_of_instance, fetch=fetch))
    for preference in pairs.only(*_OF_PAIR).order_by("pair_id").iterator(chunk_size=1_000):
        pair = preference.pair
        samples = (pair.first, pair.second)
        best, worst = samples if chosen[preference.pk] == "first" else samples[::-1]
        decided = pair.decided  # type: ignore[attr-defined]
        yield ExportRow(
            pair_id=pair.pk,
            chosen=_export_sample(best, fetch),
            rejected=_export_sample(worst, fetch),
            tracks={Track(consensus.track): _track_votes(consensus) for consensus in decided},
            model_version=pair.first.model_version.name,
            is_simulated=preference.is_simulated,
            **of_instance(pair.instance),
        )


def _of_instance(instance: Instance, fetch: Fetch) -> dict[str, Any]:
    """The columns that all pairs of an instance share."""
    return {
        "id_group": instance.group.pseudonym,
        "references": tuple(
            ExportReference(fetch(place.shown.path, place.shown.sha256), place.shown.modality)
            for place in instance.shown_places  # type: ignore[attr-defined]
        ),
        "differential_prompt": instance.prompt.text,
        "elements": tuple(ElementChange(**element) for element in instance.prompt.elements),
        "licence": instance.group.licence,
    }


def _track_votes(consensus: Consensus) -> TrackVotes:
    return TrackVotes(
        Verdict(consensus.verdict),
        {Verdict(name): share for name, share in consensus.posterior.items()},
        {Verdict(name): count for name, count in consensus.votes.items()},
    )


def _export_sample(sample: VideoSample, fetch: Fetch) -> ExportSample:
    return ExportSample(fetch(sample.path, sample.sha256), sample.seed)
