"""How much of a round has come through each stage of the loop: the one source of these figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from annotate.models import Export, Round, RoundKind, Run, RunStatus, Stage, Subject
from annotate.tallies.queries import counts_of
from rlhf.export.rule import ExportRule
from rlhf.records import JointState, Track


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
    pairs_withheld: int
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
    def open_votes(self) -> int:
        return sum(self.votes_wanted.values()) - sum(self.judgments.values())

    @property
    def decided(self) -> int:
        return sum(self.joint_states.values()) - self.joint_states[JointState.UNDECIDED]

    @property
    def dominant(self) -> int:
        return self.joint_states[JointState.DOMINANT]

    def to_json(self) -> dict[str, Any]:
        left_out = ("exported_of", "pairs_withheld", "is_comparison")
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
    """The funnel of each round, by its key, in three statements."""
    by_key = {round.pk: round for round in rounds}
    keys = list(by_key)
    counts = counts_of(Subject.ROUND, keys)
    exports = _standing_exports(keys)
    trained = _trained_pairs(keys)
    by_round = {}
    for key, round in by_key.items():
        of_round = counts[key]
        of_state = {str(state): of_round[f"state.{state}"] for state in JointState}
        exported, rule = exports.get(key, (0, ExportRule.PARETO))
        by_round[key] = Funnel(
            instances=of_round["instances"],
            samples=of_round["samples_made"],
            samples_wanted=of_round["samples"],
            samples_failed=of_round["samples_failed"],
            pairs=of_round["pairs"],
            pairs_withheld=of_round["withheld"],
            votes_wanted=_of_tracks(of_round, "wanted"),
            judgments=_of_tracks(of_round, "judged"),
            judged_in_full=of_round["judged_in_full"],
            resolved=_of_tracks(of_round, "resolved"),
            joint_states=of_state,
            exported_pairs=exported,
            exported_of=of_state[JointState.DOMINANT] if rule == ExportRule.PARETO else of_round["pairs"],
            trained_pairs=trained.get(key, 0),
            is_comparison=round.kind == RoundKind.COMPARISON,
        )
    return by_round


def _of_tracks(counts: Mapping[str, int], name: str) -> dict[str, int]:
    return {str(track): counts[f"{name}.{track}"] for track in Track}


def _standing_exports(rounds: list[int]) -> dict[int, tuple[int, str]]:
    standing = Export.objects.filter(round__in=rounds, withdrawn="", superseded=None)
    newest = standing.order_by("round", "-id").distinct("round")
    return {key: (pairs, rule) for key, pairs, rule in newest.values_list("round", "num_pairs", "rule")}


def _trained_pairs(rounds: list[int]) -> dict[int, int]:
    done = Run.objects.filter(round__in=rounds, stage=Stage.DPO, status=RunStatus.DONE)
    newest = done.order_by("round", "-id").distinct("round").values_list("round", "result__num_pairs")
    return {key: int(count) for key, count in newest if key is not None and count is not None}
