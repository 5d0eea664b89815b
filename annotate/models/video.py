"""Stage 4: the videos of models, and pairs of them."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q

from annotate.models.constraints import check
from annotate.models.counted import CHANGED_SAMPLES, PAIRS, SAMPLES
from annotate.models.instance import Instance
from annotate.models.round import Round
from annotate.models.tally import tallies, tallies_of_a_change
from annotate.models.version import ModelVersion
from generator.records import Encoding


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
