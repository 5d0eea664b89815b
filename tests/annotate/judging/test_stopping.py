"""Adaptive rounds: votes one by one until a pair is settled, by what is known of who gave them."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from annotate.judging import resolution
from annotate.judging.judgments import revise_judgment, submit_judgment
from annotate.judging.resolution import resolve_pair, resolve_pairs
from annotate.judging.slots import lease_slot
from annotate.judging.tasks import fit_votes
from annotate.judging.vote_fits import fit_round
from annotate.judging.vote_queries import newest_models, votes_saved
from annotate.models import Consensus, PreferencePair, Round, Slot, User, VideoPair, VoteFit
from rlhf.records import JointState, Track, Verdict, choice_of
from rlhf.votes.model import VoteModel
from rlhf.votes.stopping import Rule, Stop, leading_track
from tests.factories import make_instance, make_model, make_pair, make_round, make_user
from tests.votes import next_slot, vote

pytestmark = pytest.mark.django_db

RULE = Rule()
FIRST, SECOND, TIE = Verdict.FIRST, Verdict.SECOND, Verdict.TIE


@pytest.fixture
def round() -> Round:
    return make_round(stopping=vars(RULE), votes_wanted=3)


@pytest.fixture
def pair(round: Round) -> VideoPair:
    return make_pair(round, make_instance(num_references=2))


def tracks_of(pair: VideoPair) -> tuple[Track, Track]:
    """The one that is asked first, and the other."""
    leading = leading_track(pair.pk)
    return leading, next(track for track in Track if track is not leading)


def open_tracks(pair: VideoPair) -> list[str]:
    return sorted(Slot.objects.filter(pair=pair, judged_at=None).values_list("track", flat=True))


def preference(pair: VideoPair) -> PreferencePair:
    return PreferencePair.objects.get(pair=pair)


def test_a_pair_begins_with_the_fewest_votes_on_one_track(pair):
    leading, _ = tracks_of(pair)
    assert open_tracks(pair) == [leading] * RULE.minimum


def test_a_pair_that_wins_both_tracks_stops_as_soon_as_that_is_sure(pair):
    leading, following = tracks_of(pair)
    for _ in range(2):
        vote(pair, leading, FIRST)
    state = preference(pair)
    assert (state.joint_state, state.stop) == (JointState.UNDECIDED, "") and state.probability > 0.1
    given = 2
    while not preference(pair).stop:
        (track,) = set(open_tracks(pair))
        vote(pair, track, FIRST)
        given += 1
    state = preference(pair)
    assert (state.joint_state, state.stop, state.chosen) == (JointState.DOMINANT, Stop.DOMINANT, pair.first)
    assert state.probability >= RULE.dominant_from and "wins both tracks with probability" in state.reason
    assert given < 2 * RULE.maximum and open_tracks(pair) == []
    found = {item.track: item for item in Consensus.objects.filter(pair=pair)}
    assert {item.verdict for item in found.values()} == {"first"} and set(found) == set(Track)
    assert sum(sum(item.votes.values()) for item in found.values()) == given
    assert found[following].rule_version == "one-coin-1"
    saved = votes_saved(pair.round)
    assert saved == {
        "pairs": 1,
        "stops": {"dominant": 1},
        "given": given,
        "fixed": 6,
        "saved": 1 - given / 6,
    }


def test_two_ties_on_the_first_track_spare_the_other_one(pair):
    leading, following = tracks_of(pair)
    for _ in range(2):
        vote(pair, leading, TIE)
    state = preference(pair)
    assert (state.joint_state, state.stop) == (JointState.TIED, Stop.IMPROBABLE)
    assert f"{following} has no votes" in state.reason and open_tracks(pair) == []


def test_a_change_of_mind_opens_a_settled_pair_again(pair):
    leading, _ = tracks_of(pair)
    vote(pair, leading, TIE)
    last = vote(pair, leading, TIE)
    assert preference(pair).stop and Consensus.objects.filter(pair=pair).exists()

    revise_judgment(last.slot.annotator, last.slot.lease, "left", idempotency_key=uuid4())
    assert preference(pair).stop == "" and not Consensus.objects.filter(pair=pair).exists()
    assert open_tracks(pair) == [leading]


def test_resolving_again_changes_nothing(pair):
    leading, _ = tracks_of(pair)
    for _ in range(2):
        vote(pair, leading, FIRST)
    before = (preference(pair).probability, open_tracks(pair), Slot.objects.count())
    resolve_pair(pair.pk)
    resolve_pair(pair.pk)
    assert (preference(pair).probability, open_tracks(pair), Slot.objects.count()) == before


def test_somebody_at_a_settled_pair_may_still_answer(pair):
    leading, _ = tracks_of(pair)
    Slot.objects.bulk_create(
        [Slot(pair=pair, round=pair.round, track=leading, ordinal=n, random_key=0.5) for n in (2, 3)]
    )
    late = make_user()
    held = lease_slot(late, leading)
    for _ in range(2):
        vote(pair, leading, TIE)
    assert preference(pair).stop
    assert list(Slot.objects.filter(pair=pair, judged_at=None)) == [held]
    vote(pair, leading, TIE, late)
    assert preference(pair).stop and open_tracks(pair) == []


def planted(round: Round, pairs: int, annotators: Sequence[tuple[User, float, float]]) -> dict[int, Verdict]:
    """Votes of people of known skill and left habit on pairs of known truth, equal on both tracks."""
    rng = random.Random(0)
    truths = {}
    for _ in range(pairs):
        pair = make_pair(round, make_instance(num_references=2))
        truths[pair.pk] = rng.choice((FIRST, SECOND))
    for _ in range(pairs * 2 * RULE.maximum):
        left = list(Slot.objects.filter(round=round, judged_at=None).order_by("pair_id", "ordinal")[:1])
        if not left:
            break
        busy = Slot.objects.filter(pair=left[0].pair_id, annotator__isnull=False).values("annotator")
        free = [item for item in annotators if not busy.filter(annotator=item[0]).exists()]
        person, skill, habit = rng.choice(free)
        slot = left[0]
        leased = next_slot(person, Track(slot.track))
        truth = truths[leased.pair_id]
        said = truth if rng.random() < skill else next(v for v in (FIRST, SECOND) if v is not truth)
        if rng.random() < habit:
            said = FIRST if leased.first_side == "left" else SECOND

        submit_judgment(
            person, leased.lease, choice_of(said, first_on_left=leased.first_on_left), idempotency_key=uuid4()
        )
    return truths


@pytest.mark.slow
def test_an_adaptive_round_saves_votes_and_exports_what_is_true():
    round = make_round(stopping=vars(RULE), votes_wanted=3)
    truths = planted(round, 30, [(make_user(f"good-{n}"), 0.95, 0.0) for n in range(12)])
    assert [fit.track for fit in fit_round(round)] == [str(track) for track in Track]
    assert fit_round(round) == [], "nothing new, nothing fitted"
    assert newest_models(round.pk, is_simulated=True)[Track.IDENTITY] == VoteModel()
    dominant = PreferencePair.objects.filter(joint_state=JointState.DOMINANT)
    right = [found.chosen_id == _sample(found.pair, truths[found.pair_id]) for found in dominant]
    assert len(right) >= 20 and sum(right) / len(right) >= 0.9
    saved = votes_saved(round)
    assert saved is not None and saved["saved"] > 0.2 and not Slot.objects.filter(judged_at=None).exists()


def test_a_job_that_dies_while_it_looks_at_pairs_again_is_gone_on_with(monkeypatch):
    round, person = make_round(stopping=vars(RULE), votes_wanted=3), make_user()
    pairs = [make_pair(round, make_instance(num_references=2)) for _ in range(3)]
    for pair in pairs:
        slot = lease_slot(person, tracks_of(pair)[0])
        submit_judgment(person, slot.lease, "tie", idempotency_key=uuid4())
    looked: list[int] = []
    resolve = resolution._resolve_batch

    def dies_at_the_second(keys: list[int]) -> None:
        if len(looked) == 1:
            looked.append(0)
            raise MemoryError
        looked.extend(keys)
        resolve(keys)

    monkeypatch.setattr(resolution, "AT_ONCE", 1)
    monkeypatch.setattr(resolution, "_resolve_batch", dies_at_the_second)
    with pytest.raises(MemoryError):
        fit_round(round)
    assert fit_round(round) == [] and looked == [pairs[0].pk, 0, pairs[1].pk, pairs[2].pk]
    assert fit_round(round) == [] and len(looked) == 1 + len(pairs)


def test_many_pairs_are_settled_together_as_one_by_one():
    """And ask as many questions as one does."""
    round = make_round(votes_wanted=1)
    for number in range(6):
        pair = make_pair(round)
        for track in Track:
            vote(pair, track, (FIRST, SECOND, TIE)[number % 3])
    Round.objects.update(stopping=vars(RULE))  # from now on a vote is not enough
    keys = list(VideoPair.objects.order_by("pk").values_list("pk", flat=True))

    def settled(size: int) -> tuple[list[object], int]:
        with transaction.atomic():
            with CaptureQueriesContext(connection) as captured:
                for start in range(0, len(keys), size):
                    resolve_pairs(keys[start : start + size])
            found = [
                *PreferencePair.objects.order_by("pair").values_list("pair", "joint_state", "reason"),
                *Consensus.objects.order_by("pair", "track").values_list("pair", "track", "verdict"),
                *Slot.objects.order_by("pair", "track", "ordinal").values_list("pair", "track", "ordinal"),
            ]
            transaction.set_rollback(True)
        return found, len(captured)

    (together, few), (one_by_one, many) = settled(6), settled(1)
    assert together == one_by_one and Slot.objects.count() < len(together)
    assert few <= many // len(keys) + 2


def test_a_fit_finds_who_clicks_left():
    round = make_round(votes_wanted=4)
    pairs = [make_pair(round, make_instance(num_references=2)) for _ in range(24)]
    people = [make_user() for _ in range(4)]
    for person in people:
        for _ in pairs:
            slot = next_slot(person, Track.IDENTITY)
            choice = "left" if person is people[0] else choice_of(FIRST, first_on_left=slot.first_on_left)
            submit_judgment(person, slot.lease, choice, idempotency_key=uuid4())
    fit_round(round)
    found = newest_models(round.pk, is_simulated=False)[Track.IDENTITY].annotators
    low, high = found[people[0].pk].left_bias_interval
    assert low > 0 and all(found[person.pk].left_bias < low for person in people[1:])
    assert found[people[0].pk].skill < min(found[person.pk].skill for person in people[1:])


def _sample(pair: VideoPair, verdict: Verdict) -> int:
    return pair.first_id if verdict is FIRST else pair.second_id


def test_people_and_simulated_annotators_are_never_in_one_fit(pair):
    leading, _ = tracks_of(pair)
    vote(pair, leading, FIRST)
    vote(pair, leading, FIRST, make_user(is_simulated=True))
    fit_round(pair.round)
    fits = VoteFit.objects.filter(track=leading)
    assert [(fit.is_simulated, fit.num_votes, len(fit.model["annotators"])) for fit in fits] == [
        (False, 1, 1),
        (True, 1, 1),
    ]


def test_the_job_fits_open_adaptive_rounds_only(pair):
    fixed = make_round(policy=make_model())
    leading, _ = tracks_of(pair)
    vote(pair, leading, FIRST)
    fit_votes()
    assert set(VoteFit.objects.values_list("round", flat=True)) == {pair.round_id} != {fixed.pk}


def test_the_next_vote_costs_little_more(pair):
    fixed = make_pair(make_round(policy=make_model(), votes_wanted=2), make_instance(num_references=2))
    leading, _ = tracks_of(pair)
    counts = []
    for of in (fixed, pair):
        Round.objects.exclude(pk=of.round_id).update(state="closed")
        Round.objects.filter(pk=of.round_id).update(state="open")
        vote(of, leading, FIRST)
        with CaptureQueriesContext(connection) as captured:
            vote(of, leading, FIRST)
        counts.append(len(captured))
    # The models of both tracks, and the next slot.
    assert counts[1] - counts[0] == 2


@pytest.mark.django_db(transaction=True)
def test_votes_at_once_ask_for_one_more_only():
    round = make_round(stopping=vars(Rule(minimum=3, maximum=5)), votes_wanted=3)
    pair = make_pair(round, make_instance(num_references=2))
    leading = leading_track(pair.pk)
    people = [make_user() for _ in range(3)]
    gate = threading.Barrier(3)

    def give(person: User) -> None:
        try:
            slot = next_slot(person, leading)
            gate.wait(timeout=20)

            submit_judgment(
                person, slot.lease, "tie" if person is people[0] else "left", idempotency_key=uuid4()
            )
        finally:
            connection.close()

    threads = [threading.Thread(target=give, args=(person,)) for person in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Slot.objects.filter(pair=pair).exclude(judged_at=None).count() == 3
    waiting = Slot.objects.filter(pair=pair, judged_at=None).count()
    assert waiting in ((0,) if preference(pair).stop else (1, 3))
    assert len(set(Slot.objects.values_list("track", "ordinal"))) == Slot.objects.count()


def test_a_wrong_rule_is_one_line(make_round_ready):
    for text, says in (
        ("{", "Expecting"),
        ('{"minimum": 6}', "minimum <= maximum"),
        ('{"most": 1}', "no rule"),
    ):
        with pytest.raises(CommandError, match=says):
            call_command("start_round", "wrong", "--adaptive", text)
    assert not Round.objects.filter(name="wrong").exists()
    call_command("start_round", "right", "--adaptive")
    assert Round.objects.get(name="right").rule == RULE


@pytest.fixture
def make_round_ready() -> None:
    make_model()
