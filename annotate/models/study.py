"""User studies: several models' videos, compared pair by pair, by four criteria."""

from __future__ import annotations

import uuid

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from annotate.models.constraints import append_only, check, one_of
from annotate.models.entry import EntryLink
from annotate.models.identity import IdentityGroup, User
from annotate.models.judgment import Side
from annotate.models.run import Run
from rlhf.evaluation.study_plan import Criterion
from rlhf.records import Verdict

#: What may be said of a pair by one criterion.
STUDY_VERDICTS = (Verdict.FIRST, Verdict.SECOND, Verdict.TIE)


class Study(models.Model):
    """Videos of an evaluation run, planned for so many participants; open once its videos are stored."""

    name = models.CharField(max_length=100, unique=True)
    run = models.ForeignKey(Run, models.PROTECT, related_name="studies")
    seed = models.PositiveIntegerField()
    pairs_per_person = models.PositiveSmallIntegerField()
    link = models.OneToOneField(EntryLink, models.PROTECT, related_name="study")
    # A `generator.media.harmonise.ClipForm`, in which every video is shown; null until they were looked at.
    form = models.JSONField(null=True, blank=True)
    # Why its videos could not be stored; empty otherwise.
    error = models.TextField(blank=True)
    opened_at = models.DateTimeField(null=True, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            check(Q(pairs_per_person__gte=1, pairs_per_person__lte=500), "pairs_in_range"),
            check(Q(opened_at=None) | Q(error="", form__isnull=False), "opened_as_a_whole"),
        ]

    def __str__(self) -> str:
        return self.name


class StudyModel(models.Model):
    """One of the models: a system of the run."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="models")
    system = models.CharField(max_length=100)
    label = models.CharField(max_length=200)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["study", "system"], name="one_model_per_system"),
            models.UniqueConstraint(fields=["study", "label"], name="one_model_a_label"),
        ]

    def __str__(self) -> str:
        return self.label


class StudyInput(models.Model):
    """What every model was asked for, and with which noise; with what is shown of it.

    It may be of a benchmark set, so there need not be an instance, nor a person of this site.
    """

    study = models.ForeignKey(Study, models.CASCADE, related_name="inputs")
    instance_id = models.CharField(max_length=100)
    seed = models.PositiveBigIntegerField()
    group = models.ForeignKey(
        IdentityGroup, models.CASCADE, null=True, blank=True, related_name="study_inputs"
    )
    statements = models.JSONField()
    # [{"name", "source": relative to the run's folder}, ...], the primary reference first.
    sources = models.JSONField()
    # [{"name", "is_clip", "path", "poster"}, ...]; empty means not stored yet.
    shown = models.JSONField(default=list)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["study", "instance_id", "seed"], name="one_study_input_a_seed"),
            check(~Q(sources=[]), "shows_something"),
        ]

    def __str__(self) -> str:
        return f"{self.instance_id}-{self.seed}"


class StudyVideo(models.Model):
    """A model's video of one input. An empty path means that it is not stored yet."""

    model = models.ForeignKey(StudyModel, models.CASCADE, related_name="videos")
    input = models.ForeignKey(StudyInput, models.CASCADE, related_name="videos")
    # Relative to the run's folder.
    source = models.CharField(max_length=500)
    path = models.CharField(max_length=255, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["model", "input"], name="one_study_video_an_input")]

    def __str__(self) -> str:
        return f"study video {self.pk}"


class StudyPair(models.Model):
    """Two models' videos of one input; every participant who is shown them judges this row."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="pairs")
    first = models.ForeignKey(StudyVideo, models.CASCADE, related_name="+")
    second = models.ForeignKey(StudyVideo, models.CASCADE, related_name="+")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["first", "second"], name="one_study_pair_of_two_videos"),
            check(Q(first__lt=F("second")), "in_video_order"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="videos_of_one_input",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    IF NOT EXISTS (
                        SELECT 1 FROM annotate_studyvideo f
                        JOIN annotate_studymodel a ON a.id = f.model_id
                        JOIN annotate_studyvideo s ON s.id = NEW.second_id
                        JOIN annotate_studymodel b ON b.id = s.model_id
                        WHERE f.id = NEW.first_id AND a.id <> b.id
                          AND a.study_id = NEW.study_id AND b.study_id = NEW.study_id
                          AND f.input_id = s.input_id
                    ) THEN
                        RAISE EXCEPTION 'a study''s pair holds two of its models'' videos of one input'
                            USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            )
        ]

    def __str__(self) -> str:
        return f"study pair {self.pk}"


class StudySeat(models.Model):
    """The share of one participant, planned before anybody comes."""

    study = models.ForeignKey(Study, models.CASCADE, related_name="seats")
    number = models.PositiveSmallIntegerField()
    participant = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="study_seats")

    class Meta:
        ordering = ["study", "number"]
        constraints = [
            models.UniqueConstraint(fields=["study", "number"], name="one_seat_a_number"),
            models.UniqueConstraint(fields=["study", "participant"], name="one_seat_a_participant"),
        ]

    def __str__(self) -> str:
        return f"seat {self.number} of {self.study}"


class StudyTask(models.Model):
    """One pair of a seat. Its media are found under `lease`, which its participant alone may use."""

    seat = models.ForeignKey(StudySeat, models.CASCADE, related_name="tasks")
    position = models.PositiveSmallIntegerField()
    pair = models.ForeignKey(StudyPair, models.CASCADE, related_name="tasks")
    first_side = models.CharField(max_length=8)
    lease = models.UUIDField(unique=True, default=uuid.uuid4)

    class Meta:
        ordering = ["seat", "position"]
        constraints = [
            models.UniqueConstraint(fields=["seat", "position"], name="one_task_a_position"),
            models.UniqueConstraint(fields=["seat", "pair"], name="one_task_a_seat_and_pair"),
            one_of("first_side", Side.values),
        ]

    def __str__(self) -> str:
        return f"study task {self.pk}"

    @property
    def first_on_left(self) -> bool:
        return self.first_side == Side.LEFT


class StudyAnswer(models.Model):
    """What a participant said of a pair by all four criteria, at once and for good."""

    task = models.OneToOneField(StudyTask, models.CASCADE, related_name="answer")
    identity_fidelity = models.CharField(max_length=8)
    prompt_controllability = models.CharField(max_length=8)
    element_consistency = models.CharField(max_length=8)
    visual_quality = models.CharField(max_length=8)
    note = models.CharField(max_length=1000, blank=True)
    # See `annotate/judging/answer_schema.py`.
    evidence = models.JSONField(default=dict)
    is_simulated = models.BooleanField()
    idempotency_key = models.UUIDField(unique=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["id"]
        constraints = [one_of(criterion, STUDY_VERDICTS) for criterion in Criterion]
        triggers = [append_only()]

    def __str__(self) -> str:
        return f"answer to {self.task}"
