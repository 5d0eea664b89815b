"""Nobody tells gold from the rest by what the site answers: an attacker who keeps it all learns nothing."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings as site
from django.core.cache import cache
from django.db import connection
from numpy.typing import NDArray

from annotate.gold.gold import make_gold
from annotate.models import (
    GoldKind,
    GoldPair,
    InstanceReference,
    Round,
    Slot,
    VideoPair,
    VideoSample,
)
from annotate.rounds.display_copies import write_missing_copies
from annotate.rounds.rounds import open_ready_pairs
from generator.files import file_sha256
from generator.media.display_copies import bend
from generator.media.encoder import write_clip
from rlhf.records import Track
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.gold_attacker import collect, features, judge
from tests.factories import SAMPLER, make_group, make_instance, make_reference, make_round, make_user

LEASES = 200
#: One pair in so many is gold, so that the attacker has enough to learn from.
GOLD_EVERY = 4
PEOPLE, QUESTIONS = 24, 10
#: Of each kind: three kinds on the track of identity.
ITEMS = 18
SEED = 20261129


def draw_video(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A moving picture that is unlike any other: a background, textures of any fineness, some shapes."""
    size, frames = SAMPLER.height, SAMPLER.num_frames
    rows, columns = np.mgrid[0:size, 0:size] / size
    picture = rng.uniform(40, 215, 3) * np.ones((size, size, 1))
    for _ in range(rng.integers(2, 6)):
        waves, turn = rng.uniform(0.5, 9, 2), rng.uniform(0, 2 * np.pi)
        texture = np.sin(2 * np.pi * (waves[0] * rows + waves[1] * columns) + turn)
        picture = picture + texture[..., None] * rng.uniform(-30, 30, 3)
    video = np.repeat(picture[None], frames, axis=0)
    for _ in range(rng.integers(1, 4)):
        centre, radius, step = rng.uniform(0.2, 0.8, 2), rng.uniform(0.08, 0.3), rng.uniform(-0.02, 0.02, 2)
        colour = rng.uniform(0, 255, 3)
        for number in range(frames):
            place = centre + number * step
            video[number][(rows - place[0]) ** 2 + (columns - place[1]) ** 2 < radius**2] = colour
    return video.clip(0, 255).astype(np.uint8)


def draw_pair(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """What two seeds of a model make: different, nearly the same, or one of them with a fault."""
    first, kind = draw_video(rng), rng.integers(3)
    if kind == 0:
        noise = rng.normal(0, 1.5, first.shape[1:])
        return first, (first + noise).clip(0, 255).astype(np.uint8)
    return first, bend(first) if kind == 1 else draw_video(rng)


# Rows have the same numbers each time, and so the same draws.
pytestmark = pytest.mark.django_db(transaction=True, reset_sequences=True)


@pytest.fixture
def round(transactional_db: None) -> Round:
    """A round of as many pairs as an attacker needs, sampled the way the sampler does."""
    begin_draws()
    rng, round, seeds = np.random.default_rng(SEED), make_round(votes_wanted=3), itertools.count()
    folder = site.STORAGE_ROOT / "attacked"
    folder.mkdir(exist_ok=True)
    for _ in range(PEOPLE):
        group = make_group()
        reference = make_reference(group)
        for question in range(QUESTIONS):
            instance = make_instance(group, num_references=0, clothing=f"coat {question}")
            InstanceReference.objects.create(instance=instance, reference=reference, position=0)
            samples = [_store(instance, round, next(seeds), folder, video) for video in draw_pair(rng)]
            VideoPair.objects.create(round=round, instance=instance, first=samples[0], second=samples[1])
    while write_missing_copies(at_most=1000):
        pass
    open_ready_pairs(round)
    return round


def begin_draws() -> None:
    """The same draws each time, in Python and in the database; pytest may seed anew before a test."""
    cache.clear()
    random.seed(SEED)
    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(0.5)")


def _store(instance, round: Round, seed: int, folder: Path, video: NDArray[np.uint8]) -> VideoSample:
    file = folder / f"{seed}.mp4"
    write_clip(file, video, SAMPLER.fps)
    return VideoSample.objects.create(
        instance=instance,
        model_version=round.policy,
        seed=seed,
        settings=vars(SAMPLER),
        settings_digest=SAMPLER.digest,
        path=str(file.relative_to(site.STORAGE_ROOT)),
        sha256=file_sha256(file),
        facts={
            "width": SAMPLER.width,
            "height": SAMPLER.height,
            "fps": SAMPLER.fps,
            "num_frames": SAMPLER.num_frames,
        },
    )


def test_an_attacker_does_not_tell_gold_better_than_chance(round, settings, monkeypatch, capsys):
    begin_draws()
    make_gold(round, items=ITEMS)
    settings.GOLD_EVERY = GOLD_EVERY
    ana = make_user()
    seen = collect(browser_of(ana), machine_of(ana), Track.IDENTITY, LEASES)
    assert len(seen) == LEASES
    gold = dict(GoldPair.objects.values_list("pair", "kind"))
    pairs = dict(Slot.objects.filter(annotator=ana).values_list("lease", "pair"))
    kinds = [gold.get({str(lease): pair for lease, pair in pairs.items()}[one.lease]) for one in seen]
    is_gold = np.array([kind is not None for kind in kinds])
    assert {GoldKind.SELF_PAIR, GoldKind.IMPOSTOR, GoldKind.DEGRADED} <= set(kinds)
    assert is_gold.sum() >= LEASES / GOLD_EVERY / 2
    verdicts = judge(features(seen), is_gold, seed=SEED)
    spent = np.array([1000 * one.lease_s for one in seen])
    with capsys.disabled():
        print(f"\n{is_gold.sum()} of {LEASES} pairs were gold")
        print(
            f"median lease {np.median(spent[is_gold]):.1f} ms gold, {np.median(spent[~is_gold]):.1f} ms else"
        )
        print("\n".join(map(str, verdicts)))
    assert not any(verdict.is_better_than_chance for verdict in verdicts)
