"""A day of random work on a small site, by the services that people and programs use."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any, TypeVar
from uuid import uuid4

from django.db.models import Model, QuerySet
from django.utils import timezone

from annotate.adjudication.adjudication import adjudicate, take_back
from annotate.judging.judgments import revise_judgment
from annotate.judging.slots import lease_slot, release_slot
from annotate.models import (
    Choice,
    Disqualification,
    IdentityGroup,
    Reference,
    Round,
    RoundState,
    Slot,
    User,
    VideoPair,
    VideoSample,
)
from annotate.people.people import decide, describe_person
from annotate.privacy.erasure import erase_identity
from annotate.quality.disqualification import disqualify, lift, settle
from annotate.rounds.rounds import open_pairs_of, set_round_state
from annotate.tallies.recount import fold
from rlhf.records import Track, Verdict
from rlhf.votes.stopping import Rule
from tests.factories import make_pair, make_round, make_sample, make_user, write_test_clip
from tests.votes import judge

Row = TypeVar("Row", bound=Model)
CHOICES = ("left", "right", "tie", "both_bad", "unsure")


@dataclass
class Day:
    """Two rounds, one of which asks for votes until a pair is settled; `act` does one thing."""

    rng: random.Random
    lead: User = field(default_factory=lambda: make_user(role=User.Role.LEAD))
    people: list[User] = field(default_factory=lambda: [make_user() for _ in range(4)])
    rounds: list[Round] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.people.append(make_user(is_simulated=True))
        self.rounds += [make_round(votes_wanted=2), make_round(stopping=asdict(Rule(minimum=1, maximum=2)))]
        for round in self.rounds:
            for _ in range(3):
                make_pair(round)

    def act(self) -> None:
        acts: list[Callable[[], Any]] = [self.vote] * 12 + [
            self.revise,
            self.expire,
            self.release,
            self.disqualify,
            self.lift,
        ]
        acts += [self.decide, self.describe, self.plan, self.make, self.share, self.adjudicate]
        acts += [self.withhold, self.shut, self.erase, self.gold, fold, self.examine]
        self.rng.choice(acts)()

    def vote(self) -> None:
        slot = lease_slot(self.rng.choice(self.people), self.rng.choice(tuple(Track)))
        if slot is not None and self.rng.random() < 0.9:
            judge(slot, self.rng.choice(tuple(Verdict)))

    def revise(self) -> None:
        if (
            slot := self.one_of(Slot.objects.filter(judged_at__isnull=False))
        ) is None or slot.annotator is None:
            return
        if not slot.annotator.disqualifications.filter(lifted_at=None).exists():
            assert slot.lease is not None
            revise_judgment(slot.annotator, slot.lease, self.rng.choice(CHOICES), idempotency_key=uuid4())

    def expire(self) -> None:
        Slot.objects.filter(judged_at=None).exclude(lease=None).update(lease_expires_at=timezone.now())

    def release(self) -> None:
        if (slot := self.one_of(Slot.objects.filter(judged_at=None).exclude(lease=None))) is not None:
            assert slot.annotator is not None and slot.lease is not None
            release_slot(slot.annotator, slot.lease)

    def disqualify(self) -> None:
        person = self.rng.choice(self.people)
        if not person.disqualifications.filter(lifted_at=None).exists():
            settle(disqualify(person, "answers without looking", self.lead).pk)

    def lift(self) -> None:
        if (one := self.one_of(Disqualification.objects.filter(lifted_at=None))) is not None:
            lift(one, "looked after all", self.lead)
            settle(one.pk)

    def adjudicate(self) -> None:
        if (pair := self.one_of(VideoPair.objects.filter(gold_verdicts__isnull=True))) is None:
            return
        if pair.is_adjudicated:
            take_back(pair, self.lead)
        else:
            adjudicate(pair, {track: self.rng.choice(tuple(Verdict)) for track in Track}, "", self.lead)

    def decide(self) -> None:
        if (reference := self.one_of(Reference.objects.all())) is not None:
            decide(reference, self.rng.choice(tuple(Choice)), self.lead)

    def examine(self) -> None:
        """Several references at once, as thresholds do that a lead applies."""
        keys = list(Reference.objects.order_by("pk").values_list("pk", flat=True))
        some = Reference.objects.filter(pk__in=self.rng.sample(keys, len(keys) // 2))
        reasons = self.rng.choice([[], ["blurred"], ["blurred", "small_face"]])
        some.update(curation=self.rng.choice(["pending", "done"]), reject_reasons=reasons)

    def describe(self) -> None:
        if (person := self.one_of(IdentityGroup.objects.all())) is None:
            return
        uses = self.rng.choice([["show"], ["show", "train"], [], None])
        days = self.rng.choice([None, -1, 1])
        ends = "" if days is None or not uses else str(timezone.now().date() + timedelta(days=days))
        describe_person(person, {"consent_uses": uses, "consent_expires_on": ends}, self.lead)

    def plan(self) -> None:
        make_pair(self.rng.choice(self.rounds), is_made=self.rng.random() < 0.5)

    def share(self) -> None:
        """A pair whose first video is shown by another pair already, of this round or another."""
        if (pair := self.one_of(VideoPair.objects.filter(gold_verdicts__isnull=True))) is not None:
            other = make_sample(pair.instance, pair.round.policy, is_made=self.rng.random() < 0.5)
            VideoPair.objects.create(
                round=self.rng.choice(self.rounds), instance=pair.instance, first=pair.first, second=other
            )

    def make(self) -> None:
        if (sample := self.one_of(VideoSample.objects.filter(path=""))) is None:
            return
        if self.rng.random() < 0.4:
            sample.error = self.rng.choice(["it failed", ""])
        else:
            sample.error = ""
            sample.path, sample.sha256 = write_test_clip()
            sample.shown_path = sample.path
        sample.save()
        if sample.path:
            open_pairs_of(sample)

    def withhold(self) -> None:
        if (pair := self.one_of(VideoPair.objects.filter(prompt_unread=""))) is not None:
            VideoPair.objects.filter(pk=pair.pk).update(prompt_unread="it is too long")

    def shut(self) -> None:
        set_round_state(self.rng.choice(self.rounds), self.rng.choice(tuple(RoundState)), self.lead)

    def gold(self) -> None:
        make_pair(self.rng.choice(self.rounds), gold_verdicts={"identity": "tie"}).slots.update(random_key=2)

    def erase(self) -> None:
        if self.rng.random() < 0.5 and (person := self.one_of(IdentityGroup.objects.all())) is not None:
            erase_identity(person.name, source=person.source, really=True)

    def one_of(self, rows: QuerySet[Row]) -> Row | None:
        keys = list(rows.order_by("pk").values_list("pk", flat=True))
        return rows.get(pk=self.rng.choice(keys)) if keys else None
