"""From votes on pairs to frozen exports."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.models import Count, Prefetch

from annotate.core.audit import record_event
from annotate.core.errors import RoundError
from annotate.database.batches import batches
from annotate.database.snapshots import snapshot
from annotate.exports.queries import NO_CONSENT, Chosen, iter_chosen
from annotate.models import (
    Consensus,
    Export,
    Instance,
    InstanceReference,
    PreferencePair,
    Reference,
    Round,
    Use,
    User,
    VideoSample,
)
from annotate.privacy.consent_queries import people_of, refusal
from annotate.rounds.rounds import refuse_comparison
from annotate.storage.opening import site_storage
from annotate.storage.stored_media import put_set, refer_media
from generator.frozen_set import MediaFile
from generator.records import ElementChange
from rlhf.export.freezing import Manifest, write_export
from rlhf.export.row import ExportReference, ExportRow, ExportSample, TrackVotes
from rlhf.export.rule import ExportRule
from rlhf.records import Sample, Track, Verdict

#: A set of more than so many changes what its table looks like to the planner.
MANY_PAIRS = 5_000
#: Pairs that are in memory at once, with all that their rows tell.
AT_ONCE = 250


def export_round(
    round: Round,
    *,
    rule: ExportRule = ExportRule.PARETO,
    include_simulated: bool = False,
    is_published: bool = False,
    actor: User | None = None,
    tell: Callable[[int], object] = lambda num_pairs: None,
) -> Export:
    """Freeze what a rule makes of the round's pairs into a folder; the same set gives the same export again.

    Simulated votes are left out unless they are asked for by name, and so are people who did not agree to
    training, or where the set is to be handed out, to that as well. `tell` hears how many pairs are written.

    The folder comes first and the row last, so that whoever is killed in between leaves what the next one
    finds: the same set has the same folder.

    Raises:
        RoundError: the round compares models, nobody agreed of whom there is a pair to export, or somebody in
            the set was erased meanwhile.
    """
    refuse_comparison(round)
    uses = (Use.TRAIN, Use.PUBLISH) if is_published else (Use.TRAIN,)
    frozen = _freeze(round, rule, uses, include_simulated=include_simulated, tell=tell)
    export = _store(round, frozen, rule, include_simulated=include_simulated, actor=actor)
    if export is None:
        if not Export.objects.filter(folder=frozen.folder, withdrawn="").exists():
            site_storage().remove_folder(frozen.folder)
        raise RoundError("somebody in the set was erased while it was written; export the round again")
    return export


@dataclass(frozen=True)
class _Frozen:
    """What a set says of itself, its folder, which is named by its content, and its pairs by preference."""

    manifest: Manifest
    folder: str
    keys: array[int]


def _freeze(
    round: Round,
    rule: ExportRule,
    uses: Sequence[Use],
    *,
    include_simulated: bool,
    tell: Callable[[int], object],
) -> _Frozen:
    reasons: Counter[str] = Counter()
    keys = array("q")
    storage = site_storage()
    with storage.workspace() as workspace:
        pending = workspace / "set"
        with snapshot():
            states = PreferencePair.objects.filter(pair__round=round).values_list("joint_state")
            chosen = iter_chosen(rule, round, reasons, include_simulated=include_simulated, uses=uses)
            manifest = write_export(
                pending,
                _export_rows(chosen, keys, tell),
                joint_states=dict(states.annotate(Count("pk"))),
                reasons=reasons,
                rule=rule,
                place=refer_media,
            )
        if reasons[NO_CONSENT] and not keys:
            raise RoundError(refusal(people_of(round), *uses))
        folder = f"exports/round-{round.pk}/{manifest.content_hash[:16]}"
        put_set(pending, folder, last=Manifest.file_name)
    return _Frozen(manifest, folder, keys)


@transaction.atomic
def _store(
    round: Round, frozen: _Frozen, rule: ExportRule, *, include_simulated: bool, actor: User | None
) -> Export | None:
    """The row of a set, or None where somebody in it was erased since it was read.

    An erasure locks the round, too: it comes before, and is seen here, or after, and finds the row.
    """
    Round.objects.select_for_update(no_key=True).get(pk=round.pk)
    there = sum(PreferencePair.objects.filter(pk__in=some).count() for some in batches(frozen.keys))
    is_whole = site_storage().exists(f"{frozen.folder}/{Manifest.file_name}")
    if there < len(frozen.keys) or not is_whole:
        return None
    export, created = Export.objects.get_or_create(
        round=round,
        content_hash=frozen.manifest.content_hash,
        defaults={
            "folder": frozen.folder,
            "manifest": asdict(frozen.manifest),
            "num_pairs": frozen.manifest.num_pairs,
            "rule": rule,
            "includes_simulated": include_simulated,
            "created_by": actor,
        },
    )
    if not created:
        return export
    holds = Export.pairs.through
    for batch in batches(frozen.keys):
        holds.objects.bulk_create(holds(export=export, preferencepair_id=key) for key in batch)
    if len(frozen.keys) > MANY_PAIRS:
        # What is read of it next would be planned for the table as it was, and take minutes.
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE annotate_export_pairs")
    _count_votes(export)
    facts = {"content_hash": export.content_hash, "rule": str(rule)}
    record_event("export_round", export, actor=actor, **facts)
    return export


def _count_votes(export: Export) -> None:
    """Once, since there may be a million, and pages show them."""
    with connection.cursor() as cursor:
        cursor.execute(_VOTES_BY, [export.pk, export.pk])
    export.refresh_from_db(fields=["votes_by"])


_VOTES_BY = """
UPDATE annotate_export SET votes_by = coalesce((
    SELECT jsonb_object_agg(annotator_id, number) FROM (
        SELECT s.annotator_id, count(*) AS number
        FROM annotate_export_pairs e
        JOIN annotate_preferencepair p ON p.id = e.preferencepair_id
        JOIN annotate_slot s ON s.pair_id = p.pair_id AND s.judged_at IS NOT NULL
        WHERE e.export_id = %s GROUP BY s.annotator_id
    ) given
), '{}') WHERE id = %s
"""

#: What a row is made of; the rest of these tables would take longer to read than all of it.
_OF_SAMPLE = ("path", "sha256", "seed", "model_version")
_OF_PAIR = (
    "is_simulated",
    "pair__instance",
    *(f"pair__{place}__{name}" for place in ("first", "second") for name in _OF_SAMPLE),
)
_OF_TRACK = ("pair", "track", "verdict", "posterior", "votes")


def _export_rows(
    chosen: Iterable[Chosen], keys: array[int], tell: Callable[[int], object]
) -> Iterator[ExportRow]:
    """The rows of what was chosen; `keys` collects it, and `tell` hears how many came."""
    for batch in batches(chosen, AT_ONCE):
        yield from _rows_of(dict(batch))
        keys.extend(key for key, _ in batch)
        tell(len(keys))


def _rows_of(chosen: Mapping[int, Sample]) -> Iterator[ExportRow]:
    pairs = PreferencePair.objects.filter(pk__in=[*chosen]).select_related("pair__first", "pair__second")
    shown = InstanceReference.objects.exclude(position=None).select_related("reference").order_by("position")
    # Not joined, what pairs have in common is read once; and it is put into words once.
    pairs = pairs.prefetch_related(
        Prefetch("pair__consensuses", Consensus.objects.only(*_OF_TRACK), to_attr="decided"),
        Prefetch("pair__instance", Instance.objects.select_related("group", "prompt")),
        Prefetch("pair__instance__places", shown, to_attr="shown_places"),
        "pair__first__model_version",
    )
    of_instance = lru_cache(_of_instance)
    for preference in pairs.only(*_OF_PAIR).order_by("pair_id"):
        pair = preference.pair
        samples = (pair.first, pair.second)
        best, worst = samples if chosen[preference.pk] == "first" else samples[::-1]
        decided = pair.decided  # type: ignore[attr-defined]
        yield ExportRow(
            pair_id=pair.pk,
            chosen=_export_sample(best),
            rejected=_export_sample(worst),
            tracks={Track(consensus.track): _track_votes(consensus) for consensus in decided},
            model_version=pair.first.model_version.name,
            is_simulated=preference.is_simulated,
            **of_instance(pair.instance),
        )


def _of_instance(instance: Instance) -> dict[str, Any]:
    """The columns that all pairs of an instance share."""
    return {
        "id_group": instance.group.pseudonym,
        "references": tuple(
            ExportReference(_stored(place.shown), place.shown.modality)
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


def _export_sample(sample: VideoSample) -> ExportSample:
    return ExportSample(_stored(sample), sample.seed)


def _stored(what: VideoSample | Reference | InstanceReference) -> MediaFile:
    """By its key in the storage; `refer_media` puts it into the set."""
    return MediaFile(Path(what.path), what.sha256)
