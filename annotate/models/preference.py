"""Stages 6 to 8: verdicts of tracks, Pareto pairs, frozen exports."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q

from annotate.models.constraints import check, one_of
from annotate.models.counted import PREFERENCES
from annotate.models.identity import User
from annotate.models.round import Round
from annotate.models.tally import tallies, tallies_of_a_change
from annotate.models.video import VideoPair, VideoSample
from annotate.models.webhook import WebhookEvent, announces
from rlhf.export.rule import ExportRule
from rlhf.records import JointState, Track, Verdict
from rlhf.votes.stopping import Stop


def _dominant_needs_verdicts(pair: str) -> str:
    """Refuse a dominant pair, unless the verdicts of both tracks favour its chosen video."""
    return f"""
        IF EXISTS (
            SELECT FROM annotate_preferencepair x JOIN annotate_videopair p ON p.id = x.pair_id
            WHERE x.pair_id = {pair} AND x.joint_state = 'dominant' AND (
                x.chosen_id NOT IN (p.first_id, p.second_id) OR x.rejected_id NOT IN (p.first_id, p.second_id)
                OR 2 <> (SELECT count(*) FROM annotate_consensus c WHERE c.pair_id = x.pair_id
                         AND c.verdict = CASE x.chosen_id WHEN p.first_id THEN 'first' ELSE 'second' END))
        ) THEN
            RAISE EXCEPTION 'pair % is dominant without two verdicts for its chosen video', {pair}
                USING ERRCODE = '23514';
        END IF;
        RETURN NULL;
    """


class Consensus(models.Model):
    """The verdict of one track of a pair, under one rule and one set of votes."""

    pair = models.ForeignKey(VideoPair, models.CASCADE, related_name="consensuses")
    track = models.CharField(max_length=16)
    verdict = models.CharField(max_length=16)
    posterior = models.JSONField()
    votes = models.JSONField()
    rule_version = models.CharField(max_length=64)
    inputs_hash = models.CharField(max_length=64)
    is_simulated = models.BooleanField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "consensuses"
        constraints = [
            models.UniqueConstraint(fields=["pair", "track"], name="one_consensus_a_track"),
            one_of("track", Track),
            one_of("verdict", Verdict),
        ]
        triggers = [
            # At the end of the transaction: verdicts and the joint state are written one after the other.
            pgtrigger.Trigger(
                name="keeps_dominant_verdicts",
                when=pgtrigger.After,
                operation=pgtrigger.Update | pgtrigger.Delete,
                timing=pgtrigger.Deferred,
                func=_dominant_needs_verdicts("OLD.pair_id"),
            ),
            *tallies("annotate_consensus"),
        ]

    def __str__(self) -> str:
        return f"{self.pair} {self.track}: {self.verdict}"


class PreferencePair(models.Model):
    """The Pareto result of a pair: chosen and rejected when dominant, else the reason why not."""

    pair = models.OneToOneField(VideoPair, models.CASCADE, related_name="preference")
    joint_state = models.CharField(max_length=16)
    chosen = models.ForeignKey(VideoSample, models.CASCADE, null=True, blank=True, related_name="+")
    rejected = models.ForeignKey(VideoSample, models.CASCADE, null=True, blank=True, related_name="+")
    reason = models.CharField(max_length=300)
    # Of adaptive rounds: why votes have stopped, and how probable it is that a sample wins both tracks.
    stop = models.CharField(max_length=16, blank=True)
    probability = models.FloatField(null=True, blank=True)
    is_simulated = models.BooleanField()
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            one_of("joint_state", JointState),
            one_of("stop", ["", *Stop]),
            check(
                Q(joint_state=JointState.DOMINANT, chosen__isnull=False, rejected__isnull=False)
                & ~Q(chosen=F("rejected"))
                | ~Q(joint_state=JointState.DOMINANT) & Q(chosen=None, rejected=None),
                "chosen_only_when_dominant",
            ),
            check(Q(joint_state=JointState.DOMINANT) | ~Q(reason=""), "says_why_not"),
        ]
        # Those of a state in the order of their pairs.
        indexes = [models.Index(fields=["joint_state", "pair"], name="preference_by_state")]
        triggers = [
            # Once for each change; a pair begins undecided, so that is no news.
            announces(
                WebhookEvent.PAIR_RESOLVED,
                """jsonb_build_object('pair', NEW.pair_id, 'joint_state', NEW.joint_state,
                    'is_simulated', NEW.is_simulated,
                    'round', (SELECT round_id FROM annotate_videopair WHERE id = NEW.pair_id))""",
                operation=pgtrigger.Insert | pgtrigger.Update,
                where="""NEW.joint_state <> coalesce(OLD.joint_state, 'undecided')
                    OR NEW.chosen_id <> OLD.chosen_id""",
            ),
            pgtrigger.Trigger(
                name="dominant_needs_verdicts",
                when=pgtrigger.After,
                operation=pgtrigger.Insert | pgtrigger.Update,
                condition=pgtrigger.Q(new__joint_state=JointState.DOMINANT),
                timing=pgtrigger.Deferred,
                func=_dominant_needs_verdicts("NEW.pair_id"),
            ),
            *tallies("annotate_preferencepair"),
            tallies_of_a_change("OLD.joint_state <> NEW.joint_state", PREFERENCES),
        ]

    def __str__(self) -> str:
        return f"{self.pair}: {self.joint_state}"


class Export(models.Model):
    """A frozen set of preference pairs: the same set has the same bytes, for ever."""

    round = models.ForeignKey(Round, models.PROTECT, related_name="exports")
    pairs = models.ManyToManyField(PreferencePair, related_name="exports")
    folder = models.CharField(max_length=255, unique=True)
    content_hash = models.CharField(max_length=64)
    manifest = models.JSONField()
    num_pairs = models.PositiveIntegerField()
    rule = models.CharField(max_length=16, default=ExportRule.PARETO)
    includes_simulated = models.BooleanField()
    # How many votes each annotator had given on its pairs when it was frozen, by the annotator's number.
    votes_by = models.JSONField(default=dict, db_default={})
    # Why the files are gone, once a person's data had to be erased from them.
    withdrawn = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(User, models.SET_NULL, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["round", "content_hash"], name="one_export_a_set"),
            one_of("rule", ExportRule),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="never_of_a_comparison",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    IF (SELECT kind FROM annotate_round WHERE id = NEW.round_id) = 'comparison' THEN
                        RAISE EXCEPTION 'a comparison of models is never exported' USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            ),
            announces(
                WebhookEvent.EXPORT_READY,
                """jsonb_build_object('kind', 'preferences', 'round', NEW.round_id, 'export', NEW.id,
                    'num_pairs', NEW.num_pairs, 'content_hash', NEW.content_hash)""",
                operation=pgtrigger.Insert,
            ),
        ]

    def __str__(self) -> str:
        return f"export {self.pk} of {self.round}"

    @property
    def cache_folder(self) -> str:
        """Where its runs keep the encoded pairs, once for all of them; it goes when the export goes."""
        return f"{self.folder}.cache"
