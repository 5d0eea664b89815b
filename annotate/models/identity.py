"""Stages 1 and 2: people, their media, and what to generate from them."""

from __future__ import annotations

import re

import pgtrigger
from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.functions import RandomUUID
from django.db import models
from django.db.models import F, Q, TextField, Value
from django.db.models.functions import Cast, Concat, Left, Now, Replace

from annotate.models.claim import MAX_ATTEMPTS
from annotate.models.consent import Use
from annotate.models.constraints import append_only, check, one_of
from annotate.models.tally import CONSENTS, KEPT, REFERENCES, tallies, tallies_of_a_change, tallies_of_changes
from generator.records import MAX_REFERENCES, ReferenceKind


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


class DifferentialPrompt(models.Model):
    """What changes from the primary reference. An edit is a new row that supersedes this one."""

    text = models.TextField()
    elements = models.JSONField()
    method = models.CharField(max_length=200)
    supersedes = models.OneToOneField(
        "self", models.PROTECT, null=True, blank=True, related_name="superseded_by"
    )
    author = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        triggers = [append_only()]

    def __str__(self) -> str:
        return self.text

    @property
    def versions(self) -> list[DifferentialPrompt]:
        """This one and all that it supersedes, the newest first."""
        return [self, *(self.supersedes.versions if self.supersedes else [])]


class Instance(models.Model):
    """One generation input: an ordered set of references of one person, and what to change."""

    group = models.ForeignKey(IdentityGroup, models.CASCADE, related_name="instances")
    prompt = models.ForeignKey(DifferentialPrompt, models.PROTECT, related_name="instances")
    references = models.ManyToManyField(Reference, through="InstanceReference", related_name="instances")
    # Of the plan (references in order, target, prompt): building twice adds nothing.
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        triggers = [
            pgtrigger.Trigger(
                name="videos_keep_their_prompt",
                when=pgtrigger.Before,
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange("prompt"),
                func="""
                    IF EXISTS (SELECT 1 FROM annotate_videosample WHERE instance_id = NEW.id) THEN
                        RAISE EXCEPTION 'an instance with videos keeps its prompt' USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return f"instance {self.pk} of {self.group}"


class InstanceReference(models.Model):
    """One reference's place in an instance: 0 is the primary, null the target clip.

    A place that shows a crop has its recipe and its file here; `shown` is what the model and people see.
    """

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="places")
    reference = models.ForeignKey(Reference, models.CASCADE, related_name="places")
    position = models.PositiveSmallIntegerField(null=True, blank=True)
    recipe = models.JSONField(null=True, blank=True)
    kind = models.CharField(max_length=16, blank=True)
    path = models.CharField(max_length=255, blank=True)
    poster = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["instance", F("position").asc(nulls_last=True)]
        constraints = [
            # A target is never also a reference, not even a crop of one, and no reference counts twice.
            models.UniqueConstraint(fields=["instance", "reference"], name="one_place_a_reference"),
            models.UniqueConstraint(
                fields=["instance", "position"], nulls_distinct=False, name="one_reference_a_place"
            ),
            check(Q(position__isnull=True) | Q(position__lt=MAX_REFERENCES), "at_most_five"),
            check(
                Q(recipe__isnull=True, kind="", path="", poster="", sha256="")
                | Q(
                    recipe__isnull=False,
                    position__isnull=False,
                    kind__in=[str(kind) for kind in ReferenceKind],
                )
                & ~Q(path="")
                & ~Q(poster="")
                & ~Q(sha256=""),
                "whole_or_crop",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.instance}: {self.position}"

    @property
    def shown(self) -> Reference | InstanceReference:
        return self.reference if self.recipe is None else self

    @property
    def modality(self) -> ReferenceKind:
        return ReferenceKind(self.kind)

    @property
    def is_clip(self) -> bool:
        return self.modality.is_clip
