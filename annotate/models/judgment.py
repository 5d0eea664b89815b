"""Stage 5: votes that are wanted, and votes that were given."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now, Random

from annotate.models.constraints import append_only, check, one_of
from annotate.models.counted import JUDGED_IN_FULL, SLOTS
from annotate.models.identity import User
from annotate.models.round import Round
from annotate.models.tally import tallies, tallies_of_a_change
from annotate.models.video import VideoPair
from rlhf.records import FAVOURED, Track, Verdict


class Side(models.TextChoices):
    LEFT = "left"
    RIGHT = "right"


class Strength(models.TextChoices):
    """How much better the better video is; blank when nobody said."""

    SLIGHTLY = "slightly"
    CLEARLY = "clearly"


def _one_after_the_other(pairs: str) -> str:
    """Changes of one pair's slots: each sees whether the others' were the last that the pair waited for.

    Gold has many people at once, and is not counted.
    """
    return f"""
        PERFORM 1 FROM annotate_videopair WHERE id IN ({pairs}) AND gold_verdicts IS NULL
        ORDER BY id FOR NO KEY UPDATE;
    """


class Slot(models.Model):
    """One vote that is wanted: a pair on a track, leased to at most one person at a time.

    Its indexes begin with every foreign key that is looked up by, so the keys have none of their own.
    """

    pair = models.ForeignKey(VideoPair, models.CASCADE, related_name="slots", db_index=False)
    # That of the pair, so that the queue of a round is one stretch of an index.
    round = models.ForeignKey(Round, models.CASCADE, related_name="slots", db_index=False)
    track = models.CharField(max_length=16)
    ordinal = models.PositiveSmallIntegerField()
    # Place in the queue: one for all slots of a pair, so that pairs are finished one after the other.
    random_key = models.FloatField(db_default=Random())
    annotator = models.ForeignKey(
        User, models.PROTECT, null=True, blank=True, related_name="slots", db_index=False
    )
    first_side = models.CharField(max_length=8, null=True, blank=True)  # noqa: DJ001 - null is "nobody looks yet"
    # How often this person saw a pair's first video at the left rather than the right, up to here:
    # -1, 0 or 1, of the round and track. The next side follows from it without counting.
    left_surplus = models.SmallIntegerField(null=True, blank=True)
    lease = models.UUIDField(null=True, blank=True, unique=True)
    leased_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    judged_at = models.DateTimeField(null=True, blank=True)

    #: What its track shows, as JSON, where the statement that leased it read that; see `judging.tracks`.
    shown_when_leased: str | None = None

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["pair", "track", "ordinal"], name="one_slot_an_ordinal"),
            # Nobody judges both tracks of a pair, nor one track twice.
            models.UniqueConstraint(fields=["pair", "annotator"], name="one_slot_a_person_and_pair"),
            one_of("track", Track),
            check(
                Q(annotator=None, lease=None, first_side=None, left_surplus=None)
                & Q(leased_at=None, lease_expires_at=None)
                | Q(annotator__isnull=False, lease__isnull=False, first_side__in=Side.values)
                & Q(left_surplus__isnull=False, leased_at__isnull=False, lease_expires_at__isnull=False),
                "leased_as_a_whole",
            ),
            check(Q(judged_at=None) | Q(annotator__isnull=False), "judged_by_somebody"),
        ]
        indexes = [
            models.Index(
                fields=["round", "track", "random_key"], condition=Q(judged_at=None), name="slot_wanted"
            ),
            # When a round began, and how fast it goes.
            models.Index(
                fields=["round", "judged_at"], condition=Q(judged_at__isnull=False), name="slot_judged"
            ),
            models.Index(
                fields=["annotator", "track"],
                condition=Q(judged_at=None, annotator__isnull=False),
                name="slot_held",
            ),
            models.Index(fields=["annotator", "round", "track", "leased_at"], name="slot_of_annotator"),
            # When somebody answered last; see `lock_slot`.
            models.Index(
                fields=["annotator", "track", "judged_at"],
                condition=Q(judged_at__isnull=False),
                name="slot_answered",
            ),
        ]
        triggers = [
            pgtrigger.Trigger(
                name="of_an_even_pair",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert,
                func="""
                    IF NOT EXISTS (
                        SELECT 1 FROM annotate_videopair p
                        JOIN annotate_videosample f ON f.id = p.first_id
                        JOIN annotate_videosample s ON s.id = p.second_id
                        WHERE p.id = NEW.pair_id AND p.round_id = NEW.round_id
                          AND (f.facts->'width', f.facts->'height', f.facts->'fps', f.facts->'num_frames',
                               f.facts->'encoding')
                              IS NOT DISTINCT FROM
                              (s.facts->'width', s.facts->'height', s.facts->'fps', s.facts->'num_frames',
                               s.facts->'encoding')
                    ) THEN
                        RAISE EXCEPTION 'a slot is of its pair''s round, and both videos are alike in form'
                            USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            ),
            # A round that is paused or closed gives out nothing; whoever holds a pair of it keeps the lease.
            pgtrigger.Trigger(
                name="leased_while_open",
                when=pgtrigger.Before,
                operation=pgtrigger.Insert | pgtrigger.Update,
                func="""
                    IF NEW.lease IS NOT NULL AND (TG_OP = 'INSERT' OR NEW.lease IS DISTINCT FROM OLD.lease)
                        AND NOT (SELECT is_open FROM annotate_round WHERE id = NEW.round_id) THEN
                        RAISE EXCEPTION 'round % gives out no pairs', NEW.round_id USING ERRCODE = '23514';
                    END IF;
                    RETURN NEW;
                """,
            ),
            *tallies("annotate_slot", first=_one_after_the_other("SELECT pair_id FROM {rows}")),
            # Most updates are leases, which change no count.
            tallies_of_a_change(
                """(OLD.judged_at, OLD.pair_id, OLD.track) IS DISTINCT FROM
                    (NEW.judged_at, NEW.pair_id, NEW.track)
                    OR NEW.judged_at IS NOT NULL AND OLD.annotator_id IS DISTINCT FROM NEW.annotator_id""",
                SLOTS,
                JUDGED_IN_FULL,
                first=_one_after_the_other("OLD.pair_id, NEW.pair_id"),
            ),
        ]

    def __str__(self) -> str:
        return f"slot {self.pk}"

    @property
    def first_on_left(self) -> bool:
        return self.first_side == Side.LEFT


class Exposure(models.Model):
    """The one track on which a person has been shown a pair; it outlives an expired lease."""

    pair = models.ForeignKey(VideoPair, models.CASCADE, related_name="exposures", db_index=False)
    annotator = models.ForeignKey(User, models.PROTECT, related_name="exposures", db_index=False)
    track = models.CharField(max_length=16)
    # Of gold: whether the pair whose turn it took was open on the other track, too. It would have been one
    # pair less there, and numbers of open pairs must fall alike.
    is_less_on_both = models.BooleanField(default=False, db_default=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["pair", "annotator"], name="one_track_a_person_and_pair"),
            one_of("track", Track),
        ]
        # What somebody met last comes first.
        indexes = [models.Index(fields=["annotator", "-id"], name="met_by_annotator")]

    def __str__(self) -> str:
        return f"{self.annotator} saw {self.pair} on {self.track}"


#: Of a judgment that tells more than its verdict: why, what was noted, or where a video breaks.
TOLD = ~Q(note="") | ~Q(reasons=[]) | ~Q(breaks=[])


class Judgment(models.Model):
    """What a person said of one pair on one track. Revisions append; the highest one counts."""

    slot = models.ForeignKey(Slot, models.CASCADE, related_name="judgments", db_index=False)
    revision = models.PositiveSmallIntegerField(default=1)
    verdict = models.CharField(max_length=16)
    strength = models.CharField(max_length=8, blank=True, choices=Strength.choices)
    reasons = models.JSONField(default=list, blank=True)
    note = models.CharField(max_length=1000, blank=True)
    # Where a video breaks: [{"sample": "first" or "second", "frame": from 0}, ...]
    breaks = models.JSONField(default=list, blank=True)
    # See `annotate/judging/answer_schema.py`.
    evidence = models.JSONField(default=dict)
    is_simulated = models.BooleanField()
    idempotency_key = models.UUIDField(unique=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["slot", "revision"]
        constraints = [
            models.UniqueConstraint(fields=["slot", "revision"], name="one_judgment_a_revision"),
            one_of("verdict", Verdict),
            check(Q(revision__gte=1), "revision_from_one"),
            check(
                Q(strength="")
                | Q(strength__in=Strength.values, verdict__in=[str(verdict) for verdict in FAVOURED]),
                "strength_of_a_difference",
            ),
        ]
        # Few judgments tell more, and whoever looks for them looks for the newest.
        indexes = [models.Index(fields=["-id"], condition=TOLD, name="judgment_told")]
        triggers = [
            append_only(),
            # A slot is judged from the moment on that it has a judgment, whoever writes it.
            pgtrigger.Trigger(
                name="judges_its_slot",
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                func="""
                    UPDATE annotate_slot SET judged_at = NEW.created_at
                    WHERE id = NEW.slot_id AND judged_at IS NULL;
                    RETURN NULL;
                """,
            ),
            *tallies("annotate_judgment"),
        ]

    def __str__(self) -> str:
        return f"{self.slot}: {self.verdict}"
