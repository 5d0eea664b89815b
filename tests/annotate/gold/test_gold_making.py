"""Gold is made of what a round has, and nothing tells its videos from others."""

from __future__ import annotations

import numpy as np
import pytest
from django.conf import settings as site
from django.core.management import call_command

from annotate.gold.gold import make_gold
from annotate.judging.tracks import shown_file
from annotate.models import GoldKind, GoldPair, Reference, VideoSample
from annotate.rounds.display_copies import write_missing_copies
from annotate.rounds.rounds import open_ready_pairs
from generator.media.display_copies import bend
from generator.media.video import read_clip
from rlhf.records import Track
from tests.annotate.conftest import browser_of
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_pair, make_user, write_test_clip
from tests.votes import next_slot

pytestmark = [pytest.mark.slow, pytest.mark.django_db]


KINDS = {
    (GoldKind.SELF_PAIR, Track.IDENTITY),
    (GoldKind.SELF_PAIR, Track.CONTROLLABILITY),
    (GoldKind.IMPOSTOR, Track.IDENTITY),
    (GoldKind.PROMPT_SWAP, Track.CONTROLLABILITY),
    (GoldKind.DEGRADED, Track.IDENTITY),
}


def test_every_kind_is_made_once(round):
    new = make_gold(round, items=1)
    assert {(GoldKind(gold.kind), Track(gold.track)) for gold in GoldPair.objects.all()} == KINDS
    assert new == {"self_pair": 2, "impostor": 1, "prompt_swap": 1, "degraded": 1, "repeat": 0}
    assert sum(make_gold(round, items=1).values()) == 0
    for gold in GoldPair.objects.select_related("pair__first", "pair__second"):
        answer = gold.pair.gold_verdicts[gold.track]
        files = [site.STORAGE_ROOT / sample.path for sample in (gold.pair.first, gold.pair.second)]
        frames = [read_clip(file).frames for file in files]
        apart = np.abs(frames[0].astype(int) - frames[1]).mean()
        assert files[0].read_bytes() != files[1].read_bytes()
        if gold.kind == GoldKind.SELF_PAIR:
            assert answer == "tie" and apart < 2
        else:
            assert answer in ("first", "second") and apart > 2
        assert gold.pair.first.facts["num_frames"] == gold.pair.second.facts["num_frames"]


def test_a_small_round_has_gold_both_for_training_and_for_work(round, settings, lea):
    page = f"/rounds/{round.pk}/gold/"
    assert "none while QUALIFY is 0" in browser_of(lea).get(page).content.decode()
    settings.QUALIFY = 2
    assert "QUALIFY asks for 2 per track" in browser_of(lea).get(page).content.decode()
    make_gold(round)
    for track in Track:
        for is_training in (False, True):
            assert GoldPair.objects.filter(track=track, is_training=is_training).count() >= 2
    assert "QUALIFY asks for" not in browser_of(lea).get(page).content.decode()
    assert sum(make_gold(round).values()) == 0


def test_gold_is_encoded_as_the_pairs_around_it(round):
    for sample in VideoSample.objects.all():
        sample.facts["encoding"] = "lean"
        sample.save()
    make_gold(round, items=1)
    copies = VideoSample.objects.exclude(copy_of=None)
    assert copies.exists() and {copy.encoding for copy in copies} == {"lean"}


def test_nobody_is_an_impostor_who_may_not_be_shown(round):
    out = round.pairs.first().instance.group
    Reference.objects.filter(group=out).update(reject_reasons=["blurred"])
    make_gold(round, items=4)
    assert not GoldPair.objects.filter(kind=GoldKind.IMPOSTOR).exists()
    assert not GoldPair.objects.filter(pair__instance__group=out).exists()


def test_a_degraded_copy_keeps_its_form_and_loses_its_shapes():
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 48, 3), dtype=np.uint8)
    worse = bend(noise)
    assert worse.shape == noise.shape and worse.dtype == np.uint8
    # What stood at a place stands elsewhere, and colours stay: of white noise nothing is alike any more.
    assert np.corrcoef(noise.ravel(), worse.ravel())[0, 1] < 0.2
    assert abs(float(worse.mean()) - float(noise.mean())) < 3


def test_the_command_and_the_button_make_it(round, lea):
    call_command("make_gold", "--round", round.name, "--items", "1")
    made = GoldPair.objects.count()
    assert made == len(KINDS)
    assert browser_of(lea).post(f"/rounds/{round.pk}/gold/").status_code == 302
    assert do_jobs().outcome.startswith("New: ")
    assert GoldPair.objects.count() > made


def test_every_video_that_is_shown_is_a_display_copy(round):
    make_gold(round, items=1)
    assert not VideoSample.objects.exclude(path="").filter(shown_path="").exists()
    pair = make_pair(round, is_made=False)
    for sample in (pair.first, pair.second):
        sample.path, sample.sha256 = write_test_clip()
        sample.facts = {"width": 64, "height": 64, "fps": 8, "num_frames": 9}
        sample.save()
    open_ready_pairs(round)
    assert not pair.slots.exists(), "nobody is shown what was sampled itself"
    assert write_missing_copies(at_most=1) == 1 and not pair.slots.exists()
    assert write_missing_copies(at_most=9) == 1 and pair.slots.exists()
    assert write_missing_copies(at_most=9) == 0
    pair.first.refresh_from_db()
    original, shown = (site.STORAGE_ROOT / path for path in (pair.first.path, pair.first.shown_path))
    assert original.read_bytes() != shown.read_bytes()
    slot = next_slot(make_user())
    assert shown_file(slot, "left") in (slot.pair.first.shown_path, slot.pair.second.shown_path)
