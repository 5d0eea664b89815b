"""From Pareto pairs to frozen exports."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db import transaction

from annotate.models import (
    Export,
    PreferencePair,
    Round,
    User,
    VideoSample,
)
from annotate.queries import dominant_pairs
from annotate.services.audit import record_event
from generator.frozen_set import MediaFile
from generator.records import ElementChange, ReferenceKind
from rlhf import records
from rlhf.export import write_export
from rlhf.export_row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.records import Track, Verdict


@transaction.atomic
def export_round(round: Round, *, include_simulated: bool = False, actor: User | None = None) -> Export:
    """Freeze the round's dominant pairs into a folder; the same set gives the same export again.

    Simulated votes are left out unless they are asked for by name.
    """
    Round.objects.select_for_update().get(pk=round.pk)
    pairs = dominant_pairs(round, include_simulated=include_simulated)
    every = PreferencePair.objects.filter(pair__round=round)
    left_out = every.exclude(pk__in=pairs.values("pk"))
    reasons = Counter(_reason_out(pair) for pair in left_out)
    parent = settings.STORAGE_ROOT / "exports" / f"round-{round.pk}"
    pending = parent / f"pending-{uuid4().hex}"
    try:
        manifest = write_export(
            pending,
            _export_rows(pairs.iterator(chunk_size=200)),
            joint_states=Counter(every.values_list("joint_state", flat=True)),
            reasons=reasons,
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
            "includes_simulated": include_simulated,
            "created_by": actor,
        },
    )
    if created:
        export.pairs.set(pairs)
        record_event("export_round", export, actor=actor, content_hash=manifest.content_hash)
    return export


def _reason_out(pair: PreferencePair) -> str:
    if pair.joint_state == records.JointState.DOMINANT:
        return "simulated votes"
    return f"{pair.joint_state}: {pair.reason}"


def _export_rows(pairs: Iterator[PreferencePair]) -> Iterator[ExportRow]:
    for preference in pairs:
        pair = preference.pair
        instance = pair.instance
        assert preference.chosen is not None and preference.rejected is not None
        found = {consensus.track: consensus for consensus in pair.consensuses.all()}
        places = instance.places.exclude(position=None).select_related("reference").order_by("position")
        yield ExportRow(
            pair_id=pair.pk,
            id_group=instance.group.name,
            references=tuple(
                ExportReference(_media(place.shown.path, place.shown.sha256), ReferenceKind(place.shown.kind))
                for place in places
            ),
            differential_prompt=instance.prompt.text,
            elements=tuple(ElementChange(**element) for element in instance.prompt.elements),
            chosen=_export_sample(preference.chosen),
            rejected=_export_sample(preference.rejected),
            tracks={
                track: TrackVotes(
                    Verdict(found[track].verdict),
                    {Verdict(name): share for name, share in found[track].posterior.items()},
                    {Verdict(name): count for name, count in found[track].votes.items()},
                )
                for track in Track
            },
            model_version=preference.chosen.model_version.name,
            licence=instance.group.licence,
            is_simulated=preference.is_simulated,
        )


def _export_sample(sample: VideoSample) -> ExportSample:
    return ExportSample(_media(sample.path, sample.sha256), sample.seed)


def _media(path: str, sha256: str) -> MediaFile:
    return MediaFile(Path(settings.STORAGE_ROOT / path), sha256)
