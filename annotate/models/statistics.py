"""Stage 6: what the votes of a round tell of its voters, and what leads decide where votes do not."""

from __future__ import annotations

from django.db import models

from annotate.models.constraints import append_only, check, one_of
from annotate.models.identity import User
from annotate.models.round import Round
from annotate.models.video import VideoPair
from rlhf.records import Track, Verdict


class VoteFit(models.Model):
    """The model of one track's votes, see `rlhf.votes.fit`; the newest of its kind counts.

    People and simulated annotators are never in one fit.
    """

    round = models.ForeignKey(Round, models.CASCADE, related_name="vote_fits")
    track = models.CharField(max_length=16)
    is_simulated = models.BooleanField()
    model = models.JSONField()
    num_votes = models.PositiveIntegerField()
    # Tells whether there are other votes or other maths by now: the same votes are not read again.
    inputs_hash = models.CharField(max_length=64)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            one_of("track", Track),
        ]
        indexes = [models.Index(fields=["round", "is_simulated", "track", "-id"], name="newest_fit")]
        triggers = [append_only()]

    def __str__(self) -> str:
        return f"{self.round} {self.track}: {self.num_votes} votes"


class Adjudication(models.Model):
    """A lead's word on a pair that votes left open. The newest counts; without verdicts it takes back."""

    pair = models.ForeignKey(VideoPair, models.CASCADE, related_name="adjudications")
    identity = models.CharField(max_length=16, blank=True)
    controllability = models.CharField(max_length=16, blank=True)
    note = models.CharField(max_length=1000, blank=True)
    author = models.ForeignKey(User, models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pair", "id"]
        constraints = [
            check(
                models.Q(identity="", controllability="")
                | models.Q(
                    identity__in=[str(verdict) for verdict in Verdict],
                    controllability__in=[str(verdict) for verdict in Verdict],
                ),
                "both_or_none",
            ),
        ]
        triggers = [append_only()]

    def __str__(self) -> str:
        return f"{self.pair}: {self.identity or 'taken back'}, {self.controllability}"
