"""Stage 1: people and their media."""

from __future__ import annotations

import re

import pgtrigger
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import Q, TextField, Value
from django.db.models.functions import Cast, Concat, Left, Now, Replace

from annotate.models.claim import MAX_ATTEMPTS
from annotate.models.consent import Use
from annotate.models.constraints import check, one_of
from annotate.models.counted import CONSENTS, KEPT, REFERENCES
from annotate.models.tally import tallies, tallies_of_a_change, tallies_of_changes
from generator.records import ReferenceKind


def role_choices() -> list[tuple[str, str]]:
    """A callable, so that a new role needs no migration of the column's choices."""
    return User.Role.choices


class User(AbstractUser):
    """Somebody who signs in: an annotator, or a lead who runs rounds; or who came in by an entry link."""

    class Role(models.TextChoices):
        ANNOTATOR = "annotator"
        LEAD = "lead"
        PARTICIPANT = "participant"

    role = models.CharField(max_length=16, default=Role.ANNOTATOR, choices=role_choices)
    is_simulated = models.BooleanField(default=False, editable=False)

    class Meta(AbstractUser.Meta):
        constraints = [one_of("role", ("annotator", "lead", "participant"))]
        indexes = [models.Index(fields=["role", "username"], name="account_by_role")]
        triggers = [pgtrigger.ReadOnly(name="simulated_for_ever", fields=["is_simulated"])]

    @property
    def is_lead(self) -> bool:
        return self.role == self.Role.LEAD

    @property
    def is_participant(self) -> bool:
        return self.role == self.Role.PARTICIPANT


class Split(models.TextChoices):
    TRAIN = "train"
    EVAL = "eval"
    BENCHMARK = "benchmark"


def new_pseudonym() -> Concat:
    """Random, so that it leads back to nobody once its row is erased."""
    digits = Replace(Cast(RandomUUID(), TextField()), Value("-"), Value(""))
    return Concat(Value("person-"), Left(digits, 16), output_field=TextField())


def is_pseudonym(name: str) -> bool:
    """Whether a site, this one or another, made this name of a person."""
    return re.fullmatch(r"person-[0-9a-f]{16}", name) is not None


class IdentityGroup(models.Model):
    """One person with all their media. One row has one split, so no person is in two.

    `consent_uses` is null while nobody has stated anything, and empty where every use is refused; who
    stated it is a user, or what it was imported from. `privacy.consent_queries` says what it allows.
    """

    name = models.CharField(max_length=200)
    source = models.CharField(max_length=200)
    licence = models.CharField(max_length=200, blank=True)
    # What files that leave the site call this person.
    pseudonym = models.CharField(max_length=64, unique=True, editable=False, db_default=new_pseudonym())
    consent_uses = ArrayField(models.CharField(max_length=16, choices=Use.choices), null=True, blank=True)
    consent_stated_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    consent_stated_in = models.CharField(max_length=200, blank=True)
    consent_stated_at = models.DateTimeField(null=True, blank=True)
    consent_expires_on = models.DateField(null=True, blank=True)
    consent_note = models.CharField(max_length=200, blank=True)
    split = models.CharField(max_length=16, default=Split.TRAIN)
    # What an embedded world knows exactly; null for real people, of whom nobody knows the truth.
    truth = models.JSONField(null=True, blank=True)
    # Chosen by hand; null leaves it to `services.curation.suggest_primary`.
    primary = models.ForeignKey("Reference", models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "id"]
        indexes = [models.Index(fields=["name", "id"], name="person_by_name")]
        constraints = [
            models.UniqueConstraint(fields=["source", "name"], name="one_group_a_person"),
            one_of("split", Split.values),
            check(Q(consent_uses=None) | Q(consent_uses__contained_by=Use.values), "consent_uses_known"),
            check(
                Q(consent_uses=None, consent_stated_at=None, consent_stated_by=None, consent_stated_in="")
                | Q(consent_uses__isnull=False, consent_stated_at__isnull=False)
                & (
                    Q(consent_stated_by__isnull=False, consent_stated_in="")
                    | Q(consent_stated_by=None) & ~Q(consent_stated_in="")
                ),
                "consent_is_stated_by_somebody",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="primary_of_its_own",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                condition=pgtrigger.Q(new__primary__isnull=False),
                func="""
                    IF NOT EXISTS (SELECT 1 FROM annotate_reference
                                   WHERE id = NEW.primary_id AND group_id = NEW.id) THEN
                        RAISE EXCEPTION 'a primary is a reference of its person' USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            ),
            *tallies("annotate_identitygroup"),
            tallies_of_a_change(
                """(OLD.consent_uses, OLD.consent_expires_on) IS DISTINCT FROM
                    (NEW.consent_uses, NEW.consent_expires_on)""",
                CONSENTS,
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_synthetic(self) -> bool:
        return self.truth is not None


class Curation(models.TextChoices):
    """How far the curation of a reference is; `failed` waits for a person."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Reference(models.Model):
    """One photo, half-body portrait or shot of a clip of a person, normalised at import.

    What detectors saw lies beside the media as `annotation.json.gz`; `quality` and `boxes` sum it up.
    """

    group = models.ForeignKey(IdentityGroup, models.CASCADE, related_name="references")
    kind = models.CharField(max_length=16)
    source_name = models.CharField(max_length=255)
    # Of the original file: the same bytes are imported once for a person, as one reference a shot.
    source_sha256 = models.CharField(max_length=64)
    shot = models.PositiveSmallIntegerField(default=0)
    path = models.CharField(max_length=255)
    sha256 = models.CharField(max_length=64)
    poster = models.CharField(max_length=255)
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    num_frames = models.PositiveIntegerField()
    fps = models.FloatField()
    size_bytes = models.PositiveBigIntegerField()
    facts = models.JSONField(default=dict)
    elements = models.JSONField(null=True, blank=True)
    boxes = models.JSONField(default=dict, blank=True)
    quality = models.JSONField(default=dict, blank=True)
    reject_reasons = models.JSONField(default=list, blank=True)
    curation = models.CharField(max_length=8, default=Curation.PENDING)
    curation_error = models.CharField(max_length=500, blank=True)
    curation_queued_at = models.DateTimeField(db_default=Now(), editable=False)
    # Whoever curates it renews this; a reference that is not renewed is lost and is queued again.
    curation_heartbeat_at = models.DateTimeField(null=True, blank=True)
    curation_worker = models.UUIDField(null=True, blank=True)
    curation_attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["group", "source_name", "shot", "id"]
        constraints = [
            models.UniqueConstraint(fields=["group", "source_sha256", "shot"], name="one_reference_a_shot"),
            models.UniqueConstraint(fields=["group", "sha256"], name="one_reference_a_checksum"),
            one_of("kind", ReferenceKind),
            one_of("curation", Curation.values),
            check(Q(num_frames__gte=1, width__gte=1, height__gte=1), "has_pixels"),
            check(~Q(curation=Curation.FAILED, curation_error=""), "failed_has_error"),
            check(Q(curation_attempts__lte=MAX_ATTEMPTS), "attempts_end"),
            check(
                ~Q(curation=Curation.RUNNING)
                | Q(curation_worker__isnull=False, curation_heartbeat_at__isnull=False),
                "running_has_worker",
            ),
        ]
        indexes = [
            models.Index(
                fields=["curation", "curation_queued_at"],
                condition=Q(curation__in=["pending", "running"]),
                name="reference_to_curate",
            )
        ]
        triggers = [
            *tallies("annotate_reference"),
            # A change of the consent waits for it, or it for that.
            tallies_of_changes(
                REFERENCES,
                KEPT,
                first="""
                    PERFORM 1 FROM annotate_identitygroup WHERE id IN (
                        SELECT n.group_id FROM new_rows n JOIN old_rows o ON o.id = n.id
                        WHERE (n.curation, n.reject_reasons) IS DISTINCT FROM (o.curation, o.reject_reasons)
                    ) ORDER BY id FOR SHARE;
                """,
            ),
        ]

    def __str__(self) -> str:
        return f"{self.group}/{self.source_name}"

    @property
    def modality(self) -> ReferenceKind:
        return ReferenceKind(self.kind)

    @property
    def is_clip(self) -> bool:
        return self.modality.is_clip
