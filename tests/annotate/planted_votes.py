"""Votes of people with known habits, given through the services."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from uuid import uuid4

from annotate.judging.judgments import submit_judgment
from annotate.models import Slot, User
from rlhf.records import Track, Verdict
from tests.factories import make_instance, make_pair, make_round
from tests.votes import next_slot, vote

#: What a person answers: given the pair's true verdict, how the slot is shown, and the pair's number.
Habit = Callable[[Verdict, Slot, int], str]


def side_of(slot: Slot, verdict: Verdict) -> str:
    other = {"left": "right", "right": "left"}
    return slot.first_side if verdict is Verdict.FIRST else other[slot.first_side]


def drawn(seed: str) -> Verdict:
    return random.Random(seed).choice([Verdict.FIRST, Verdict.SECOND])


def truthful(truth: Verdict, slot: Slot, number: int) -> str:
    return side_of(slot, truth)


def left(truth: Verdict, slot: Slot, number: int) -> str:
    return "left"


def guessing(seed: int) -> Habit:
    """Two who guess with the same seed say the same of every pair."""
    return lambda truth, slot, number: side_of(slot, drawn(f"{seed} {number}"))


def judge_all(round, habits: Mapping[User, Habit], num_pairs: int, track: Track = Track.IDENTITY) -> None:
    """Every person judges every pair of a round, always in the same order and from the same sides."""
    random.seed(0)  # of the pairs' places in the queue
    instance = make_instance(num_references=1)
    numbers = {make_pair(round, instance).pk: number for number in range(num_pairs)}
    for place, (person, habit) in enumerate(habits.items()):
        for _ in range(num_pairs):
            slot = next_slot(person, track)
            number = numbers[slot.pair_id]
            # The database's own coin cannot be held still: how often it is tossed depends on its plan.
            slot.first_side = random.Random(f"side {place} {number}").choice(["left", "right"])
            slot.save(update_fields=["first_side"])
            choice = habit(drawn(f"truth {number}"), slot, number)
            evidence = {"active_ms": 4000, "coverage": {"left": 1.0, "right": 0.5}}
            submit_judgment(person, slot.lease, choice, idempotency_key=uuid4(), evidence=evidence)


def dominant_but_for(wrong: User, num_pairs: int = 2):
    """Pairs on which two people out of three say first on both tracks; one of them is `wrong` on identity."""
    round = make_round(votes_wanted=3)
    for _ in range(num_pairs):
        pair = make_pair(round)
        for person, verdict in ((wrong, Verdict.FIRST), (None, Verdict.FIRST), (None, Verdict.SECOND)):
            vote(pair, Track.IDENTITY, verdict, person)
        for _ in range(3):
            vote(pair, Track.CONTROLLABILITY, Verdict.FIRST)
    return round
