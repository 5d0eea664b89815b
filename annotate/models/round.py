"""Stages 3, 4, 9 and 10: rounds, jobs, and the videos they make."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from annotate.models.claim import MAX_ATTEMPTS
from annotate.models.consent import Use, given_sql
from annotate.models.constraints import check, one_of
from annotate.models.identity import Instance, User
from annotate.models.tally import CHANGED_SAMPLES, PAIRS, SAMPLES, tallies, tallies_of_a_change
from annotate.models.version import ModelVersion
from annotate.models.webhook import WebhookEvent, announces
from generator.records import Encoding
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


class Stage(models.TextChoices):
    PROMPTS = "prompts"
    REGISTER = "register"
    DATASET = "dataset"
    SFT = "sft"
    SAMPLE = "sample"
    DPO = "dpo"
    EVALUATE = "evaluate"


class RunStatus(models.TextChoices):
    WAITING = "waiting"  # for somebody else's approval
    QUEUED = "queued"
    RUNNING = "running"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


#: What comes before there is a round; only of prompts is one run under way at a time.
BEFORE_ROUNDS = (Stage.PROMPTS, Stage.REGISTER, Stage.DATASET, Stage.SFT)

#: A run in one of these states may still write to its folder.
LIVE = (RunStatus.WAITING, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.CANCELLING)


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


_RUN_DATA = "jsonb_build_object('round', NEW.round_id, 'run', NEW.id, 'stage', NEW.stage)"


class Run(models.Model):
    """One job in a round. Its folder is the whole seam to the command that does the work.

    Of what comes before there is a round, it is null.
    """

    round = models.ForeignKey(Round, models.CASCADE, null=True, blank=True, related_name="runs")
    stage = models.CharField(max_length=16)
    ordinal = models.PositiveSmallIntegerField()
    folder = models.CharField(max_length=255, unique=True)
    status = models.CharField(max_length=16, default=RunStatus.QUEUED)
    error = models.TextField(blank=True)
    export = models.ForeignKey("Export", models.PROTECT, null=True, blank=True, related_name="runs")
    candidate = models.ForeignKey(
        ModelVersion, models.PROTECT, null=True, blank=True, related_name="evaluations"
    )
    # What an SFT starts from, or an adapter that is registered goes on; rounds name their own policy.
    policy = models.ForeignKey(ModelVersion, models.PROTECT, null=True, blank=True, related_name="trainings")
    training_set = models.ForeignKey(
        "TrainingSet", models.PROTECT, null=True, blank=True, related_name="runs"
    )
    result = models.JSONField(null=True, blank=True)
    launched_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    needs_approval = models.BooleanField(default=False)
    approved_by = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="+")
    approved_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    queued_at = models.DateTimeField(db_default=Now(), editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    # Whoever executes the run renews this; a run that is not renewed is lost and is queued again.
    heartbeat_at = models.DateTimeField(null=True, blank=True)
    worker = models.UUIDField(null=True, blank=True)
    # Where a whole run is, or was last, worked on, and on which devices; shards say it themselves.
    machine = models.CharField(max_length=255, blank=True, default="", db_default="")
    # Starts since somebody queued it; those that a worker broke off in good order are not counted.
    attempts = models.PositiveSmallIntegerField(default=0, db_default=0)
    ended_at = models.DateTimeField(null=True, blank=True)
    # Of one worker, over which a training is spread.
    devices = models.PositiveSmallIntegerField(default=1, db_default=1)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["round", "stage", "ordinal"], nulls_distinct=False, name="one_run_an_ordinal"
            ),
            models.UniqueConstraint(
                fields=["round", "stage"],
                condition=Q(status__in=[*LIVE]) & (Q(round__isnull=False) | Q(stage=Stage.PROMPTS)),
                nulls_distinct=False,
                name="one_live_run_a_stage",
            ),
            check(
                Q(stage__in=[*BEFORE_ROUNDS], round=None)
                | ~Q(stage__in=[*BEFORE_ROUNDS]) & Q(round__isnull=False),
                "some_before_rounds",
            ),
            check(
                ~Q(stage=Stage.SFT) | Q(policy__isnull=False, training_set__isnull=False),
                "sft_starts_from_something",
            ),
            one_of("status", RunStatus.values),
            check(
                Q(status=RunStatus.DONE, result__isnull=False) | ~Q(status=RunStatus.DONE), "done_has_result"
            ),
            check(~Q(status=RunStatus.FAILED, error=""), "failed_has_error"),
            check(Q(attempts__lte=MAX_ATTEMPTS), "attempts_end"),
            check(Q(devices__gte=1), "run_has_a_device"),
            # Two people stand behind a run that needs approval, and it starts after the second's word.
            check(Q(needs_approval=False) | Q(launched_by__isnull=False), "approval_needs_a_launcher"),
            check(~Q(approved_by=F("launched_by")), "approved_by_another"),
            check(
                Q(approved_by=None, approved_at=None)
                | Q(approved_by__isnull=False, approved_at__isnull=False),
                "approved_as_a_whole",
            ),
            check(
                Q(needs_approval=False)
                | Q(approved_by__isnull=False)
                | Q(status__in=[RunStatus.WAITING, RunStatus.CANCELLED]),
                "no_start_without_approval",
            ),
        ]
        triggers = [
            pgtrigger.ReadOnly(name="launched_once", fields=["launched_by", "needs_approval"]),
            announces(
                WebhookEvent.ROUND_FAILED,
                _RUN_DATA,
                operation=pgtrigger.Update,
                where="NEW.round_id IS NOT NULL AND NEW.status = 'failed' AND OLD.status <> 'failed'",
            ),
            # The last stage is the evaluation of what was tuned, or the training where nobody is held out.
            announces(
                WebhookEvent.ROUND_FINISHED,
                _RUN_DATA,
                operation=pgtrigger.Update,
                where=f"""NEW.round_id IS NOT NULL AND NEW.status = 'done' AND OLD.status <> 'done'
                    AND (NEW.stage = 'evaluate' AND NEW.candidate_id IS NOT NULL
                        OR NEW.stage = 'dpo' AND NOT EXISTS (
                        SELECT 1 FROM annotate_instance i JOIN annotate_identitygroup g ON g.id = i.group_id
                        WHERE g.split = 'eval' AND g.truth IS NOT NULL
                        AND {given_sql("g", Use.EVALUATE)}))""",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.round or ''} {self.stage}-{self.ordinal}".lstrip()

    @property
    def is_live(self) -> bool:
        return self.status in LIVE


class RunMetric(models.Model):
    """One line of a run's `metrics.jsonl`."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="metrics")
    line = models.PositiveIntegerField()
    values = models.JSONField()

    class Meta:
        ordering = ["run", "line"]
        constraints = [models.UniqueConstraint(fields=["run", "line"], name="one_metric_a_line")]

    def __str__(self) -> str:
        return f"{self.run}:{self.line}"


class VideoSample(models.Model):
    """One generated clip; wanted first, made later. An empty path means not made yet."""

    instance = models.ForeignKey(Instance, models.CASCADE, related_name="samples")
    model_version = models.ForeignKey(ModelVersion, models.PROTECT, related_name="samples")
    seed = models.PositiveBigIntegerField()
    settings = models.JSONField()
    settings_digest = models.CharField(max_length=64)
    path = models.CharField(max_length=255, blank=True)
    sha256 = models.CharField(max_length=64, blank=True)
    # The display copy: all that whoever judges is ever sent. What is trained on is the video itself.
    shown_path = models.CharField(max_length=255, blank=True, db_default="")
    facts = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    # What a gold video was written from; it shows whoever that one shows, and goes with it.
    copy_of = models.ForeignKey("self", models.CASCADE, null=True, blank=True, related_name="copies")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["instance", "model_version", "seed", "settings_digest"], name="one_sample_a_seed"
            ),
            check(Q(path="", sha256="") | (~Q(path="") & ~Q(sha256="")), "made_is_hashed"),
        ]
        indexes = [models.Index(fields=["instance", "id"], condition=Q(path=""), name="sample_to_make")]
        triggers = [
            *tallies("annotate_videosample"),
            tallies_of_a_change(
                """(OLD.path, OLD.error, OLD.model_version_id) IS DISTINCT FROM
                    (NEW.path, NEW.error, NEW.model_version_id)""",
                SAMPLES,
                CHANGED_SAMPLES,
            ),
        ]

    def __str__(self) -> str:
        return f"sample {self.pk}"

    @property
    def encoding(self) -> Encoding:
        """That of its display copy; a video that was wanted before there were others says none."""
        return Encoding(self.facts.get("encoding", Encoding.FULL))


class VideoPair(models.Model):
    """Two samples of one instance, compared in one round; or a gold pair with a known answer."""

    round = models.ForeignKey(Round, models.CASCADE, related_name="pairs")
    instance = models.ForeignKey(Instance, models.CASCADE, related_name="pairs")
    first = models.ForeignKey(VideoSample, models.CASCADE, related_name="pairs_as_first")
    second = models.ForeignKey(VideoSample, models.CASCADE, related_name="pairs_as_second")
    gold_verdicts = models.JSONField(null=True, blank=True)
    # Whether a lead's word stands above the votes.
    is_adjudicated = models.BooleanField(default=False)
    # Why a model of its videos did not read the whole prompt; such a pair is judged and exported no more.
    prompt_unread = models.TextField(blank=True, db_default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["round", "first", "second"], name="one_pair_of_two_samples"),
            check(Q(first__lt=F("second")), "in_sample_order"),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="samples_of_one_instance",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    IF (SELECT count(*) FROM annotate_videosample
                        WHERE id IN (NEW.first_id, NEW.second_id) AND instance_id = NEW.instance_id) <> 2 THEN
                        RAISE EXCEPTION 'a pair holds two samples of its instance' USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            ),
            # Gold is in no count, and stays out of them.
            pgtrigger.ReadOnly(name="gold_for_ever", fields=["gold_verdicts"]),
            # A video of several pairs counts once: their changes wait for each other, and for its making.
            *tallies(
                "annotate_videopair",
                first="""
                    PERFORM 1 FROM annotate_round WHERE id IN (
                        SELECT round_id FROM {rows} WHERE gold_verdicts IS NULL
                    ) ORDER BY id FOR NO KEY UPDATE;
                    PERFORM 1 FROM annotate_videosample WHERE id IN (
                        SELECT first_id FROM {rows} WHERE gold_verdicts IS NULL
                        UNION SELECT second_id FROM {rows} WHERE gold_verdicts IS NULL
                    ) ORDER BY id FOR SHARE;
                """,
            ),
            tallies_of_a_change("OLD.prompt_unread <> NEW.prompt_unread", PAIRS),
        ]

    def __str__(self) -> str:
        return f"pair {self.pk}"

    @property
    def is_gold(self) -> bool:
        return self.gold_verdicts is not None
