"""Statistics never overlap with themselves, and read no votes without news."""

from __future__ import annotations

import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now

from annotate.judging import vote_fits as statistics
from annotate.models import Claim, Disqualification, Round, RoundFigures, VoteFit
from annotate.quality import vote_statistics
from annotate.quality.disqualification import disqualify
from rlhf.records import Track, Verdict
from tests.factories import make_pair, make_round, make_user
from tests.votes import vote

JOBS = [
    pytest.param(statistics.fit_round, statistics, "counting_votes", "fit of round {}", id="fit"),
    pytest.param(
        vote_statistics.compute_round, vote_statistics, "round_votes", "figures of round {}", id="figures"
    ),
]


def judged_round() -> Round:
    pair = make_pair(make_round(votes_wanted=3))
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    return pair.round


def results(round: Round) -> list[object]:
    fits = VoteFit.objects.filter(round=round).order_by("id").values_list("track", "model", "inputs_hash")
    figures = RoundFigures.objects.filter(round=round).values_list("figures", "inputs_hash", "num_votes")
    return [*fits, *figures]


@pytest.mark.django_db
@pytest.mark.parametrize(("job", "module", "reader", "claim"), JOBS)
def test_votes_are_read_once_and_again_with_each_news(monkeypatch, lea, job, module, reader, claim):
    round, reads = judged_round(), []
    read = getattr(module, reader)
    monkeypatch.setattr(module, reader, lambda *of, **which: reads.append(1) or read(*of, **which))
    assert job(round) and reads
    reads.clear()
    assert job(round) == [] and reads == []

    vote(round.pairs.get(), Track.IDENTITY, Verdict.SECOND, person := make_user())
    assert job(round) and reads
    reads.clear()
    assert job(round) == [] and reads == []

    disqualify(person, "a machine", lea)
    assert Disqualification.objects.exists() and job(round) and reads


@pytest.mark.django_db
@pytest.mark.parametrize(("job", "module", "reader", "claim"), JOBS)
def test_a_job_does_nothing_while_the_last_one_runs(job, module, reader, claim):
    round = judged_round()
    name = claim.format(round.pk)
    Claim.objects.create(name=name, worker=uuid4(), expires_at=Now() + timedelta(minutes=1))
    assert job(round) == []
    assert not VoteFit.objects.exists() and not RoundFigures.objects.exists()
    Claim.objects.update(expires_at=Now() - timedelta(seconds=1))
    assert job(round)
    assert not Claim.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(("job", "module", "reader", "claim"), JOBS)
def test_a_job_that_dies_between_the_tracks_is_made_up_for(monkeypatch, job, module, reader, claim):
    """What it leaves behind, and another one then adds, is what one job would have stored."""
    round, read, tracks = judged_round(), getattr(module, reader), list(Track)

    def dies(round, track, **which):
        if track is tracks[-1]:
            raise MemoryError
        return read(round, track, **which)

    monkeypatch.setattr(module, reader, dies)
    with pytest.raises(MemoryError):
        job(round)
    monkeypatch.setattr(module, reader, read)
    assert job(round)
    found = results(round)
    assert job(round) == [] and results(round) == found
    assert len(found) == (len(tracks) if job is statistics.fit_round else 1)


@pytest.mark.django_db
def test_a_fit_of_many_votes_rests_a_while(monkeypatch):
    round = judged_round()
    statistics.fit_round(round)
    vote(round.pairs.get(), Track.IDENTITY, Verdict.SECOND)
    monkeypatch.setattr(statistics, "VOTES_PER_SECOND_OF_REST", 1 / 3_600)
    assert statistics.fit_round(round) == []
    monkeypatch.undo()
    assert [fit.num_votes for fit in statistics.fit_round(round)] == [2, 1]


@pytest.mark.django_db
def test_a_track_without_votes_has_no_fit():
    pair = make_pair(make_round(votes_wanted=3))
    vote(pair, Track.IDENTITY, Verdict.FIRST)
    assert [fit.track for fit in statistics.fit_round(pair.round)] == [str(Track.IDENTITY)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("job", "module", "reader", "claim"), JOBS)
def test_of_two_jobs_at_once_one_reads_the_votes(monkeypatch, job, module, reader, claim):
    round, reads = judged_round(), []
    begun, may_go_on = threading.Event(), threading.Event()
    read = getattr(module, reader)

    def slowly(*of, **which):
        reads.append(threading.get_ident())
        begun.set()
        assert may_go_on.wait(60)
        return read(*of, **which)

    monkeypatch.setattr(module, reader, slowly)

    def first() -> None:
        job(round)
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert begun.wait(60)
    assert job(round) == []
    may_go_on.set()
    thread.join()
    assert set(reads) == {thread.ident}


def test_periodic_jobs_that_nobody_takes_do_not_pile_up():
    for name, job in settings.CELERY_BEAT_SCHEDULE.items():
        assert 0 < job["options"]["expires"] <= job["schedule"], name
