"""How much of a round has come through each stage of the loop: the one source of these figures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from django.db import connection
from django.db.models import Count, Exists, OuterRef, QuerySet

from annotate.models import (
    Consensus,
    Export,
    PreferencePair,
    Round,
    RoundKind,
    Run,
    RunStatus,
    Slot,
    Stage,
    VideoPair,
)
from rlhf.export.rule import ExportRule
from rlhf.records import JointState, Track

# A video counts once, however many pairs of the round show it.
_SAMPLES = """
SELECT shown.round_id, count(*), count(*) FILTER (WHERE s.path <> ''), count(*) FILTER (WHERE s.error <> '')
FROM (
    SELECT p.round_id, side.sample_id FROM annotate_videopair p
    CROSS JOIN LATERAL (VALUES (p.first_id), (p.second_id)) side (sample_id)
    WHERE p.round_id = ANY (%s) AND NOT EXISTS (SELECT FROM annotate_goldpair g WHERE g.pair_id = p.id)
    GROUP BY p.round_id, side.sample_id
) shown JOIN annotate_videosample s ON s.id = shown.sample_id
GROUP BY shown.round_id
"""


@dataclass(frozen=True)
class FunnelStage:
    """One stage of a funnel: how many came through, and of how many before."""

    title: str
    count: int
    of: int | None = None
    failed: int = 0

    @property
    def share(self) -> float | None:
        return self.count / self.of if self.of else None


@dataclass(frozen=True)
class Funnel:
    """The figures of a round as things stand; gold is in none of them.

    `joint_states` are those of pairs that have been judged at all, `exported_pairs` those of the newest
    export that was neither withdrawn nor superseded, `trained_pairs` those of the newest finished training.
    """

    instances: int
    samples: int
    samples_wanted: int
    samples_failed: int
    pairs: int
    votes_wanted: dict[str, int]
    judgments: dict[str, int]
    judged_in_full: int
    resolved: dict[str, int]
    joint_states: dict[str, int]
    exported_pairs: int
    exported_of: int
    trained_pairs: int
    is_comparison: bool

    @property
    def decided(self) -> int:
        return sum(self.joint_states.values()) - self.joint_states[JointState.UNDECIDED]

    @property
    def dominant(self) -> int:
        return self.joint_states[JointState.DOMINANT]

    def to_json(self) -> dict[str, Any]:
        left_out = ("exported_of", "is_comparison")
        shown = {name: value for name, value in asdict(self).items() if name not in left_out}
        return {**shown, "decided": self.decided, "dominant": self.dominant}

    @property
    def stages(self) -> list[FunnelStage]:
        """From instances to the pairs that were trained on; a comparison of models ends with its votes."""
        begun = [
            FunnelStage("Instances", self.instances),
            FunnelStage("Videos made", self.samples, self.samples_wanted, self.samples_failed),
            FunnelStage("Pairs", self.pairs),
            *(
                FunnelStage(f"{track.label} votes", self.judgments[track], self.votes_wanted[track])
                for track in Track
            ),
            FunnelStage("Judged in full", self.judged_in_full, self.pairs),
        ]
        if self.is_comparison:
            return begun
        return [
            *begun,
            FunnelStage("Decided on both tracks", self.decided, self.judged_in_full),
            FunnelStage("Dominant", self.dominant, self.decided),
            FunnelStage("Exported", self.exported_pairs, self.exported_of),
            FunnelStage("Trained on", self.trained_pairs, self._trained_of),
        ]

    @property
    def _trained_of(self) -> int | None:
        """What was trained on may have been withdrawn or superseded since; then it is no part of this."""
        return self.exported_pairs if self.trained_pairs <= self.exported_pairs else None


def round_funnel(round: Round) -> Funnel:
    return funnels([round])[round.pk]


def funnels(rounds: Iterable[Round]) -> dict[int, Funnel]:
    """The funnel of each round, by its key; the number of statements does not grow with the rounds."""
    by_key = {round.pk: round for round in rounds}
    keys = list(by_key)
    pairs = VideoPair.objects.filter(round__in=keys, gold=None).order_by()
    slots = Slot.objects.filter(pair=OuterRef("pk"))
    full = pairs.filter(Exists(slots), ~Exists(slots.filter(judged_at=None)))
    of_pairs = pairs.values_list("round").annotate(Count("id"), Count("instance", distinct=True))
    counts = {key: numbers for key, *numbers in of_pairs}
    samples = _samples(keys)
    in_full = dict(full.values_list("round").annotate(Count("id")))
    votes = Slot.objects.filter(round__in=keys, pair__gold=None).values_list("round", "track")
    wanted, judged = _counted(votes), _counted(votes.filter(judged_at__isnull=False))
    verdicts = Consensus.objects.filter(pair__round__in=keys, pair__gold=None)
    resolved = _counted(verdicts.values_list("pair__round", "track"))
    results = PreferencePair.objects.filter(pair__round__in=keys, pair__gold=None)
    states = _counted(results.values_list("pair__round", "joint_state"))
    exports = _standing_exports(keys)
    trained = _trained_pairs(keys)
    by_round = {}
    for key, round in by_key.items():
        num_pairs, num_instances = counts.get(key, (0, 0))
        samples_wanted, made, failed = samples.get(key, (0, 0, 0))
        of_state = {str(state): states[key].get(state, 0) for state in JointState}
        exported, rule = exports.get(key, (0, ExportRule.PARETO))
        by_round[key] = Funnel(
            instances=num_instances,
            samples=made,
            samples_wanted=samples_wanted,
            samples_failed=failed,
            pairs=num_pairs,
            votes_wanted=_of_tracks(wanted[key]),
            judgments=_of_tracks(judged[key]),
            judged_in_full=in_full.get(key, 0),
            resolved=_of_tracks(resolved[key]),
            joint_states=of_state,
            exported_pairs=exported,
            exported_of=of_state[JointState.DOMINANT] if rule == ExportRule.PARETO else num_pairs,
            trained_pairs=trained.get(key, 0),
            is_comparison=round.kind == RoundKind.COMPARISON,
        )
    return by_round


def _samples(rounds: list[int]) -> dict[int, tuple[int, int, int]]:
    """All, made and failed."""
    with connection.cursor() as cursor:
        cursor.execute(_SAMPLES, [rounds])
        return {key: (wanted, made, failed) for key, wanted, made, failed in cursor.fetchall()}


def _counted(rows: QuerySet[Any, tuple[int, str]]) -> dict[int, dict[str, int]]:
    counts: dict[int, dict[str, int]] = defaultdict(dict)
    for key, name, count in rows.order_by().annotate(Count("id")):
        counts[key][name] = count
    return counts


def _of_tracks(counts: dict[str, int]) -> dict[str, int]:
    return {str(track): counts.get(track, 0) for track in Track}


def _standing_exports(rounds: list[int]) -> dict[int, tuple[int, str]]:
    standing = Export.objects.filter(round__in=rounds, withdrawn="", superseded=None)
    newest = standing.order_by("round", "-id").distinct("round")
    return {key: (pairs, rule) for key, pairs, rule in newest.values_list("round", "num_pairs", "rule")}


def _trained_pairs(rounds: list[int]) -> dict[int, int]:
    done = Run.objects.filter(round__in=rounds, stage=Stage.DPO, status=RunStatus.DONE)
    newest = done.order_by("round", "-id").distinct("round").values_list("round", "result__num_pairs")
    return {key: int(count) for key, count in newest if key is not None and count is not None}
