"""From votes to verdicts, Pareto pairs and frozen exports."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

from django.conf import settings
from django.db import transaction
from django.db.models import Model

from annotate.judging_queries import latest_judgments
from annotate.models import (
    Consensus,
    Export,
    Judgment,
    PreferencePair,
    Round,
    User,
    VideoPair,
    VideoSample,
)
from annotate.queries import dominant_pairs
from annotate.services.audit import record_event
from generator.frozen_set import MediaFile
from generator.records import ElementChange, ReferenceKind
from rlhf import records
from rlhf.consensus import resolve_track
from rlhf.export import write_export
from rlhf.export_row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.pareto import resolve_pair as resolve_tracks
from rlhf.records import Track, Verdict


@transaction.atomic
def resolve_pair(pair_id: int) -> None:
    """Bring a pair's consensus and joint state up to date with its votes.

    Votes on one pair resolve one after the other (its row is locked), so the last one sees them all.
    Safe to repeat: the same votes give the same rows.
    """
    pair = (
        VideoPair.objects.select_for_update(of=("self",), no_key=True).select_related("round").get(pk=pair_id)
    )
    found = resolve_votes(pair, list(latest_judgments(pair_id)))
    undecided = [str(track) for track, consensus in found.items() if consensus.verdict is None]
    Consensus.objects.filter(pair=pair, track__in=undecided).delete()


def resolve_votes(pair: VideoPair, votes: Sequence[Judgment]) -> Mapping[Track, records.Consensus]:
    """The same with the votes at hand, of which there are at least as many as ever on each track.

    Whoever calls it has locked the pair, and read the votes after that.
    """
    by_track = {track: [vote for vote in votes if vote.slot.track == track] for track in Track}
    found = {
        track: resolve_track([Verdict(vote.verdict) for vote in given], wanted=pair.round.votes_wanted)
        for track, given in by_track.items()
    }
    _store_consensuses(pair, found, {t: any(v.is_simulated for v in given) for t, given in by_track.items()})
    joint = resolve_tracks(found[Track.IDENTITY], found[Track.CONTROLLABILITY])
    chosen, rejected = {
        "first": (pair.first_id, pair.second_id),
        "second": (pair.second_id, pair.first_id),
        None: (None, None),
    }[joint.chosen]
    preference = PreferencePair(
        pair=pair,
        joint_state=joint.state,
        chosen_id=chosen,
        rejected_id=rejected,
        reason=joint.reason,
        is_simulated=any(vote.is_simulated for vote in votes),
    )
    _upsert(PreferencePair, [preference], unique=["pair"])
    return found


def _store_consensuses(
    pair: VideoPair, found: Mapping[Track, records.Consensus], is_simulated: Mapping[Track, bool]
) -> None:
    """A track without its wanted votes has no verdict, and so no row."""
    decided = [
        Consensus(
            pair=pair,
            track=track,
            verdict=consensus.verdict,
            posterior={str(verdict): share for verdict, share in consensus.posterior.items()},
            votes={str(verdict): count for verdict, count in consensus.counts.items()},
            rule_version=consensus.rule_version,
            inputs_hash=consensus.inputs_hash,
            is_simulated=is_simulated[track],
        )
        for track, consensus in found.items()
        if consensus.verdict is not None
    ]
    if decided:
        _upsert(Consensus, decided, unique=["pair", "track"])


def _upsert(table: type[Model], rows: Sequence[Model], *, unique: list[str]) -> None:
    """One statement, whether the rows exist or not."""
    changed = [field.name for field in table._meta.concrete_fields if field.name not in ("id", *unique)]
    table._default_manager.bulk_create(
        rows, update_conflicts=True, unique_fields=unique, update_fields=changed
    )


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
