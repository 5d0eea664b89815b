"""From votes on pairs to frozen exports."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Prefetch

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.exports.queries import NO_CONSENT, Place, chosen_by
from annotate.models import Export, InstanceReference, PreferencePair, Round, Use, User, VideoSample
from annotate.privacy.consent_queries import people_of, refusal
from annotate.rounds.rounds import refuse_comparison
from generator.frozen_set import MediaFile
from generator.records import ElementChange, ReferenceKind
from rlhf.export.freezing import write_export
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.export.rule import ExportRule
from rlhf.records import Track, Verdict

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
    every = PreferencePair.objects.filter(pair__round=round)
    parent = settings.STORAGE_ROOT / "exports" / f"round-{round.pk}"
    pending = parent / f"pending-{uuid4().hex}"
    try:
        manifest = write_export(
            pending,
            _export_rows(chosen),
            joint_states=Counter(every.values_list("joint_state", flat=True)),
            reasons=reasons,
            rule=rule,
        )
        folder = parent / manifest.content_hash[:16]
        if not folder.exists():
            pending.rename(folder)
    finally:
        shutil.rmtree(pending, ignore_errors=True)
    export, created = Export.objects.get_or_create(
        round=round,
        content_hash=manifest.content_hash,
        defaults={
            "folder": str(folder.relative_to(settings.STORAGE_ROOT)),
            "manifest": asdict(manifest),
            "num_pairs": manifest.num_pairs,
            "rule": rule,
            "includes_simulated": include_simulated,
            "created_by": actor,
        },
    )
    if created:
        export.pairs.set(chosen)
        if len(chosen) > MANY_PAIRS:
            # What is read of it next would be planned for the table as it was, and take minutes.
            with connection.cursor() as cursor:
                cursor.execute("ANALYZE annotate_export_pairs")
        record_event("export_round", export, actor=actor, content_hash=manifest.content_hash, rule=str(rule))
    return export


def _export_rows(chosen: Mapping[int, Place]) -> Iterator[ExportRow]:
    pairs = PreferencePair.objects.filter(pk__in=chosen).select_related(
        "pair__instance__group", "pair__instance__prompt", "pair__first__model_version", "pair__second"
    )
    shown = InstanceReference.objects.exclude(position=None).select_related("reference").order_by("position")
    places_of = Prefetch("pair__instance__places", shown, to_attr="shown_places")
    pairs = pairs.prefetch_related("pair__consensuses", places_of).order_by("pair_id")
    for preference in pairs.iterator(chunk_size=1_000):
        pair = preference.pair
        instance = pair.instance
        samples = (pair.first, pair.second)
        best, worst = samples if chosen[preference.pk] == "first" else samples[::-1]
        found = {consensus.track: consensus for consensus in pair.consensuses.all()}
        yield ExportRow(
            pair_id=pair.pk,
            id_group=instance.group.pseudonym,
            references=tuple(
                ExportReference(_media(place.shown.path, place.shown.sha256), ReferenceKind(place.shown.kind))
                for place in instance.shown_places  # type: ignore[attr-defined]
            ),
            differential_prompt=instance.prompt.text,
            elements=tuple(ElementChange(**element) for element in instance.prompt.elements),
            chosen=_export_sample(best),
            rejected=_export_sample(worst),
            tracks={
                track: TrackVotes(
                    Verdict(found[track].verdict),
                    {Verdict(name): share for name, share in found[track].posterior.items()},
                    {Verdict(name): count for name, count in found[track].votes.items()},
                )
                for track in Track
            },
            model_version=pair.first.model_version.name,
            licence=instance.group.licence,
            is_simulated=preference.is_simulated,
        )


def _export_sample(sample: VideoSample) -> ExportSample:
    return ExportSample(_media(sample.path, sample.sha256), sample.seed)


def _media(path: str, sha256: str) -> MediaFile:
    return MediaFile(Path(settings.STORAGE_ROOT / path), sha256)
