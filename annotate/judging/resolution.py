"""From votes to verdicts and Pareto pairs: by majority, by what is probably true, or by a lead's word."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.db import transaction

from annotate.database.batches import batches
from annotate.database.statements import first_row
from annotate.judging.queries import latest_judgments
from annotate.judging.slots import ask_for_votes, stop_asking
from annotate.judging.vote_queries import newest_models, pairs_left_open, vote_of
from annotate.models import Consensus, Judgment, Round, RoundKind, VideoPair
from rlhf import records
from rlhf.records import JointState, Sample, Track, Verdict
from rlhf.votes.consensus import adjudicated_track, resolve_track
from rlhf.votes.model import VoteModel
from rlhf.votes.pareto import resolve_pair as resolve_tracks
from rlhf.votes.stopping import Rule, decide

# A vote and what it changes are one statement. Rows come as JSON, which PostgreSQL reads by the columns of
# their tables.
_STORE = """
WITH judged AS (
    INSERT INTO annotate_judgment
        (slot_id, revision, verdict, strength, reasons, note, breaks, evidence, is_simulated,
         idempotency_key)
    SELECT slot_id, revision, verdict, strength, reasons, note, breaks, evidence, is_simulated,
           idempotency_key
    FROM jsonb_populate_recordset(NULL::annotate_judgment, %(judgments)s::jsonb)
    RETURNING id, created_at
), concluded AS (
    INSERT INTO annotate_consensus
        (pair_id, track, verdict, posterior, votes, rule_version, inputs_hash, is_simulated, updated_at)
    SELECT pair_id, track, verdict, posterior, votes, rule_version, inputs_hash, is_simulated,
           statement_timestamp()
    FROM jsonb_populate_recordset(NULL::annotate_consensus, %(consensuses)s::jsonb)
    ON CONFLICT (pair_id, track) DO UPDATE SET
        (verdict, posterior, votes, rule_version, inputs_hash, is_simulated, updated_at) = (
            EXCLUDED.verdict, EXCLUDED.posterior, EXCLUDED.votes, EXCLUDED.rule_version,
            EXCLUDED.inputs_hash, EXCLUDED.is_simulated, EXCLUDED.updated_at)
), preferred AS (
    INSERT INTO annotate_preferencepair
        (pair_id, joint_state, chosen_id, rejected_id, reason, stop, probability, is_simulated, updated_at)
    SELECT pair_id, joint_state, chosen_id, rejected_id, reason, stop, probability, is_simulated,
           statement_timestamp()
    FROM jsonb_populate_recordset(NULL::annotate_preferencepair, %(preferences)s::jsonb)
    ON CONFLICT (pair_id) DO UPDATE SET
        (joint_state, chosen_id, rejected_id, reason, stop, probability, is_simulated, updated_at) = (
            EXCLUDED.joint_state, EXCLUDED.chosen_id, EXCLUDED.rejected_id, EXCLUDED.reason, EXCLUDED.stop,
            EXCLUDED.probability, EXCLUDED.is_simulated, EXCLUDED.updated_at)
)
SELECT id, created_at FROM judged
"""

#: Pairs whose votes are looked at together: people who vote on one of them wait for all.
AT_ONCE = 200

#: What is known of the voters of a round, see `newest_models`.
Models = Callable[..., Mapping[Track, VoteModel]]
Votes = Mapping[Track, Sequence[Judgment]]
Conclusions = Mapping[Track, records.Consensus]


@dataclass(frozen=True)
class Resolution:
    """What the votes on a pair come to; `stop` and `probability` are of adaptive rounds."""

    conclusions: Conclusions
    state: JointState
    chosen: Sample | None
    reason: str
    stop: str = ""
    probability: float | None = None
    next_track: Track | None = None


@dataclass(frozen=True)
class _Resolved:
    """A pair with its votes, and what they come to."""

    pair: VideoPair
    votes: Votes
    made: Resolution


def resolve_pair(pair_id: int) -> None:
    """Bring a pair's consensus and joint state up to date with its votes.

    Votes on one pair resolve one after the other (its row is locked), so the last one sees them all.
    Safe to repeat: the same votes give the same rows.
    """
    _resolve_batch([pair_id])


def resolve_pairs(pairs: Iterable[int]) -> int:
    """The same of many pairs, some at a time; returns how many."""
    number = 0
    for batch in batches(pairs, AT_ONCE):
        _resolve_batch(batch)
        number += len(batch)
    return number


@transaction.atomic
def _resolve_batch(keys: Sequence[int]) -> None:
    locked = VideoPair.objects.select_for_update(of=("self",), no_key=True).filter(pk__in=keys)
    pairs = [pair for pair in locked.select_related("round").order_by("pk") if not pair.is_gold]
    votes, models = latest_judgments([pair.pk for pair in pairs]), lru_cache(newest_models)
    _conclude([_resolved(pair, votes[pair.pk], models) for pair in pairs], may_retract=True)


def settle_open_pairs(round: Round) -> int:
    """Look again at pairs that nothing is concluded of and nobody is asked about; returns how many."""
    return resolve_pairs(list(pairs_left_open(round).order_by("pair_id").values_list("pair_id", flat=True)))


def resolve_votes(
    pair: VideoPair, votes: Sequence[Judgment], *, new: Judgment | None = None, may_retract: bool = False
) -> None:
    """The same with the votes at hand; `new` is the one among them that is to be stored with what they say.

    Whoever calls it has locked the pair, and read the votes after that. Without `may_retract` they are at
    least those of the last time, on each track.
    """
    # Of gold the answer is known; it tells of people, not of models.
    resolved = [] if pair.is_gold else [_resolved(pair, votes, newest_models)]
    _conclude(resolved, new, may_retract=may_retract)


def _resolved(pair: VideoPair, votes: Sequence[Judgment], models: Models) -> _Resolved:
    by_track = {track: [vote for vote in votes if vote.slot.track == track] for track in Track}
    return _Resolved(pair, by_track, _resolve(pair, by_track, models))


def _conclude(resolved: Sequence[_Resolved], new: Judgment | None = None, *, may_retract: bool) -> None:
    _store(new, resolved)
    if may_retract:
        for track in Track:
            undecided = [one.pair for one in resolved if one.made.conclusions[track].verdict is None]
            if undecided:
                Consensus.objects.filter(pair__in=undecided, track=track).delete()
    wanted, over = [], []
    for one in resolved:
        asked = one.made.next_track
        if asked is not None and (rule := one.pair.round.rule):
            wanted.append((one.pair, asked, 1 if one.votes[asked] else rule.minimum))
        elif one.made.stop or one.pair.is_adjudicated:
            over.append(one.pair)
    ask_for_votes(wanted)
    stop_asking(over)


def _resolve(pair: VideoPair, by_track: Votes, models: Models) -> Resolution:
    if pair.is_adjudicated:
        return _by_word(pair, by_track)
    if (rule := pair.round.rule) is not None:
        return _by_probability(pair, by_track, rule, models)
    wanted = pair.round.votes_wanted
    return _jointly({track: resolve_track(_verdicts(given), wanted) for track, given in by_track.items()})


def _by_word(pair: VideoPair, by_track: Votes) -> Resolution:
    word = pair.adjudications.latest("id")
    return _jointly(
        {
            track: adjudicated_track(_verdicts(given), Verdict(getattr(word, track)), key=word.pk)
            for track, given in by_track.items()
        }
    )


def _by_probability(pair: VideoPair, by_track: Votes, rule: Rule, models: Models) -> Resolution:
    """Votes weigh what their givers are worth; one more is asked for while that can still settle the pair."""
    is_simulated = any(vote.is_simulated for given in by_track.values() for vote in given)
    votes = {track: [vote_of(vote, pair.pk) for vote in given] for track, given in by_track.items()}
    decision = decide(pair.pk, votes, models(pair.round_id, is_simulated=is_simulated), rule)
    return Resolution(
        conclusions=decision.conclusions
        if decision.stop
        else {track: resolve_track([], 1) for track in Track},
        state=decision.state,
        chosen=decision.chosen,
        reason=decision.reason,
        stop=str(decision.stop or ""),
        probability=decision.probability,
        next_track=decision.next_track,
    )


def _jointly(conclusions: Conclusions) -> Resolution:
    joint = resolve_tracks(conclusions[Track.IDENTITY], conclusions[Track.CONTROLLABILITY])
    return Resolution(conclusions, joint.state, joint.chosen, joint.reason)


def _verdicts(votes: Sequence[Judgment]) -> list[Verdict]:
    return [Verdict(vote.verdict) for vote in votes]


def _store(new: Judgment | None, resolved: Sequence[_Resolved]) -> None:
    """Store a judgment, if there is a new one, and resolutions. A track without a verdict has no row."""
    values = {
        "judgments": [_columns(new)] if new else [],
        "consensuses": [row for one in resolved for row in _consensuses(one)],
        # A comparison says which model is better, and is no preference to train on.
        "preferences": [_preference(one) for one in resolved if one.pair.round.kind != RoundKind.COMPARISON],
    }
    stored = first_row(_STORE, {name: json.dumps(found) for name, found in values.items()})
    if new and stored:
        new.pk, new.created_at = stored


def _consensuses(one: _Resolved) -> list[dict[str, Any]]:
    return [
        {
            "pair_id": one.pair.pk,
            "track": track,
            "verdict": consensus.verdict,
            "posterior": {str(verdict): share for verdict, share in consensus.posterior.items()},
            "votes": {str(verdict): count for verdict, count in consensus.counts.items()},
            "rule_version": consensus.rule_version,
            "inputs_hash": consensus.inputs_hash,
            "is_simulated": any(vote.is_simulated for vote in one.votes[track]),
        }
        for track, consensus in one.made.conclusions.items()
        if consensus.verdict is not None
    ]


def _columns(judgment: Judgment) -> dict[str, Any]:
    names = ("slot_id", "revision", "verdict", "strength", "reasons", "note", "breaks", "evidence")
    key = str(judgment.idempotency_key)
    columns = {name: getattr(judgment, name) for name in (*names, "is_simulated")}
    return columns | {"idempotency_key": key}


def _preference(one: _Resolved) -> dict[str, Any]:
    pair, made = one.pair, one.made
    samples = {"first": pair.first_id, "second": pair.second_id}
    others = [pk for side, pk in samples.items() if made.chosen and side != made.chosen]
    return {
        "pair_id": pair.pk,
        "joint_state": made.state,
        "chosen_id": samples.get(made.chosen or ""),
        "rejected_id": next(iter(others), None),
        "reason": made.reason,
        "stop": made.stop,
        "probability": made.probability,
        "is_simulated": any(vote.is_simulated for given in one.votes.values() for vote in given),
    }
