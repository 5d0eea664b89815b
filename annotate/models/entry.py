"""Entry links: how people of a crowd platform come in, and what they are given once they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from annotate.models.constraints import check, one_of
from annotate.models.identity import User
from annotate.models.round import Round
from rlhf.records import Track

if TYPE_CHECKING:
    from annotate.models.study import Study


class EntryLink(models.Model):
    """Who may come in: an address for a number of people, until a day, after they have agreed to a text.

    The text never changes, so an entry says what was agreed to. What people judge is a row of its own
    (`JudgingWork`), so that other work can be given through a link.
    """

    name = models.CharField(max_length=100, unique=True)
    token = models.CharField(max_length=43, unique=True)
    # The query parameter in which the platform names the participant.
    id_parameter = models.CharField(
        max_length=40, default="PROLIFIC_PID", validators=[RegexValidator(r"^[A-Za-z][A-Za-z0-9_.-]*$")]
    )
    max_people = models.PositiveIntegerField()
    closes_at = models.DateTimeField()
    consent_text = models.TextField()
    completion_code = models.CharField(max_length=100)
    completion_url = models.CharField(max_length=500, blank=True)
    screened_out_url = models.CharField(max_length=500, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            check(Q(max_people__gte=1), "for_somebody"),
            check(~Q(consent_text=""), "has_consent_text"),
            check(~Q(completion_code=""), "has_code"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def work(self) -> JudgingWork | Study:
        """What its people judge: pairs of a round's track, or of a study."""
        return self.study if hasattr(self, "study") else self.judging


class JudgingWork(models.Model):
    """What the people of a link judge: so many pairs of one track of one round."""

    link = models.OneToOneField(EntryLink, models.CASCADE, related_name="judging")
    round = models.ForeignKey(Round, models.PROTECT, related_name="+")
    track = models.CharField(max_length=16)
    pairs_per_person = models.PositiveSmallIntegerField()

    class Meta:
        constraints = [
            one_of("track", Track),
            check(Q(pairs_per_person__gte=1, pairs_per_person__lte=500), "pairs_in_range"),
        ]

    def __str__(self) -> str:
        return f"{self.pairs_per_person} pairs of {self.round} on {self.track}"


class Participant(models.Model):
    """Somebody of a crowd platform. One account for one external id, whatever links they come by:

    only so can nobody judge both tracks of a pair.
    """

    id_parameter = models.CharField(max_length=40)
    external_id = models.CharField(max_length=100)
    account = models.OneToOneField(User, models.PROTECT, related_name="participant")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["id_parameter", "external_id"], name="one_account_an_external_id")
        ]

    def __str__(self) -> str:
        return f"participant {self.pk}"


class Entry(models.Model):
    """One participant's way through one link. Without consent there is no row."""

    link = models.ForeignKey(EntryLink, models.PROTECT, related_name="entries")
    participant = models.ForeignKey(Participant, models.PROTECT, related_name="entries")
    consented_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["link", "participant"], name="one_entry_a_participant")
        ]

    def __str__(self) -> str:
        return f"entry {self.pk}"
