"""Rounds: turns of the loop."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q

from annotate.models.constraints import check, one_of
from annotate.models.identity import User
from annotate.models.version import ModelVersion
from annotate.models.webhook import WebhookEvent, announces
from rlhf.votes.stopping import Rule

#: From 0, the last.
DEFAULT_PRIORITY, MAX_PRIORITY = 5, 9


class RoundKind(models.TextChoices):
    PREFERENCE = "preference"
    COMPARISON = "comparison"  # of two models' videos; no model is trained on the votes that judge it


class RoundState(models.TextChoices):
    """Whether a round gives out pairs. What was said stays in each, and pairs that people hold are taken."""

    OPEN = "open"
    PAUSED = "paused"  # it gives out nothing for now, and waits for its votes
    CLOSED = "closed"  # it gives out nothing, and goes on with the votes that it has


class Round(models.Model):
    """One turn of the loop with one policy; or people's comparison of that model with its parent."""

    kind = models.CharField(max_length=16, default=RoundKind.PREFERENCE)
    name = models.CharField(max_length=100, unique=True)
    policy = models.ForeignKey(ModelVersion, models.PROTECT, related_name="rounds")
    votes_wanted = models.PositiveSmallIntegerField(default=3)
    # A `votes.stopping.Rule`, which asks for votes one by one until it stops; null asks for `votes_wanted`.
    stopping = models.JSONField(null=True, blank=True)
    sampler = models.JSONField()
    dpo = models.JSONField(default=dict)
    # Which of an instance's seeds its videos are made from: draw n takes its seeds 2n and 2n + 1.
    draw = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=16, default=RoundState.OPEN)
    is_open = models.GeneratedField(
        expression=Q(state="open"),  # type: ignore[arg-type]
        output_field=models.BooleanField(),
        db_persist=True,
    )
    # Whose shards come first while GPU workers are scarce; those of equal rounds take turns.
    priority = models.PositiveSmallIntegerField(default=DEFAULT_PRIORITY, db_default=DEFAULT_PRIORITY)
    # Whether annotators may ask for this round rather than be given what comes next.
    may_be_chosen = models.BooleanField(default=False, db_default=False)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            one_of("kind", RoundKind.values),
            one_of("state", RoundState.values),
            check(Q(votes_wanted__gte=1, votes_wanted__lte=15), "votes_in_range"),
            check(Q(priority__lte=MAX_PRIORITY), "priority_in_range"),
            # Whoever could choose a comparison would know whose videos they are.
            check(Q(may_be_chosen=False) | Q(kind=RoundKind.PREFERENCE), "comparisons_are_not_chosen"),
        ]
        triggers = [
            announces(
                WebhookEvent.ROUND_STARTED,
                "jsonb_build_object('round', NEW.id)",
                operation=pgtrigger.Insert,
            )
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def rule(self) -> Rule | None:
        return Rule(**self.stopping) if self.stopping is not None else None
