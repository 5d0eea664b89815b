"""User studies: entered by a link, answered once by all criteria, and blind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client

from annotate.judging.answer_schema import NotWatchedError
from annotate.judging.judgments import AlreadyAnsweredError, LeaseLostError
from annotate.models import (
    Participant,
    Study,
    StudyAnswer,
    StudySeat,
    StudyVideo,
    User,
)
from annotate.quality.disqualification import disqualify
from annotate.storage.opening import site_storage
from annotate.studies.answers import submit_answer
from annotate.studies.entries import end_link
from annotate.studies.media import store_media
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, make_user
from tests.studies import (
    ALL_LEFT,
    come,
    make_evaluation,
    open_study,
    plan,
    sent,
    submit,
    tasks_of,
)


@pytest.fixture
def study(db) -> Study:
    """Three models' videos of one input: three pairs, for each of two people."""
    return open_study(make_evaluation(num_instances=1))


def test_a_participant_agrees_answers_every_pair_and_gets_the_code(study):
    browser, person = come(study)
    place = f"/study/{study.pk}/"
    for number, task in enumerate(tasks_of(person)):
        page = browser.get(place).content.decode()
        assert str(task.lease) in page and f"{number} of 3 judged" in page
        assert browser.post(place, sent(task)).status_code == 302
    assert "That was the last pair" in browser.get(place).content.decode()
    entry = f"/enter/{study.link.token}/"
    assert "You judged 3 pairs" in browser.get(entry).content.decode()
    browser.post(f"{entry}finish/")
    assert "C0DE42" in browser.get(entry).content.decode()
    assert StudyAnswer.objects.count() == 3
    # Whoever has finished looks at nothing any more.
    assert browser.get(f"/media/study/{tasks_of(person)[0].lease}/left").status_code == 404


def test_left_and_right_become_the_videos_that_stood_there(study):
    _, person = come(study)
    for task in tasks_of(person):
        said = submit_answer(
            person,
            task.lease,
            ALL_LEFT | {"visual_quality": "tie", "element_consistency": "right"},
            idempotency_key=uuid4(),
        )
        other = {"first": "second", "second": "first"}
        left = "first" if task.first_side == "left" else "second"
        assert (said.identity_fidelity, said.element_consistency) == (left, other[left])
        assert said.visual_quality == "tie"


def test_an_answer_is_never_doubled_and_the_first_one_stands(study):
    browser, person = come(study)
    task, following = tasks_of(person)[:2]
    key = uuid4()
    first = submit(person, task, key)
    assert submit(person, task, key) == first
    with pytest.raises(AlreadyAnsweredError):
        submit(person, task)
    with pytest.raises(ValueError, match="used for another pair"):
        submit(person, following, key)
    # The Back button sends the form of a pair that is answered: what follows is the next pair.
    again = browser.post(f"/study/{study.pk}/", sent(task))
    assert again.status_code == 302
    assert str(following.lease) in browser.get(f"/study/{study.pk}/").content.decode()
    other = browser.post(f"/study/{study.pk}/", sent(task, identity_fidelity="tie"))
    page = other.content.decode()
    assert other.status_code == 409 and str(following.lease) in page
    assert "stands. In a study answers are given once" in page
    assert StudyAnswer.objects.get() == first and first.identity_fidelity != "tie"


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_store_everything_once(settings):
    study = plan(make_evaluation(num_instances=1))
    site_storage().remove_folder(f"studies/{study.pk}")  # another test's study may have had the number

    def work(_: int) -> bool:
        try:
            return store_media(Study.objects.get(pk=study.pk))
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(work, range(2)))
    kept = {settings.STORAGE_ROOT / path for path in StudyVideo.objects.values_list("path", flat=True)}
    for shown in study.inputs.values_list("shown", flat=True):
        kept |= {settings.STORAGE_ROOT / item[part] for item in shown for part in ("path", "poster")}
    assert set((settings.STORAGE_ROOT / "studies" / str(study.pk)).iterdir()) == kept


@pytest.mark.django_db(transaction=True)
def test_one_answer_sent_from_many_tabs_at_once_is_one_answer():
    study = open_study(make_evaluation(num_instances=1))
    _, person = come(study)
    task = tasks_of(person)[0]

    def send(number: int) -> str:
        try:
            submit(person, task)
        except AlreadyAnsweredError:
            return "had one"
        finally:
            connection.close()
        return "stored"

    with ThreadPoolExecutor(6) as pool:
        said = list(pool.map(send, range(6)))
    assert sorted(said) == ["had one"] * 5 + ["stored"]
    assert StudyAnswer.objects.count() == 1


def test_a_program_gets_the_pair_that_follows(study):
    browser, person = come(study)
    task, following, last = tasks_of(person)
    program, place = {"HX-Request": "true"}, f"/study/{study.pk}/"
    page = browser.get(f"{place}?ahead_of={task.lease}", headers=program).content.decode()
    assert str(following.lease) in page and "<html" not in page
    answer = browser.post(place, sent(task, ahead_of=str(following.lease)), headers=program)
    assert str(last.lease) in answer.content.decode()
    assert browser.get(f"{place}?ahead_of={last.lease}", headers=program).status_code == 204
    assert browser.get(f"{place}?ahead_of=nonsense").status_code == 422


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"visual_quality": ""}, "Answer by visual quality, too"),
        ({"visual_quality": "both_bad"}, "both_bad is not one of"),
        ({"evidence": '{"courage": 1}'}, "evidence cannot be used"),
        ({"lease": "nonsense"}, "valid UUID"),
    ],
)
def test_what_is_no_answer_is_refused_with_the_pair_and_the_reason(study, changes, says):
    browser, person = come(study)
    task = tasks_of(person)[0]
    answer = browser.post(f"/study/{study.pk}/", sent(task, **changes))
    assert answer.status_code == 422
    assert says in answer.content.decode() and str(task.lease) in answer.content.decode()
    assert not StudyAnswer.objects.exists()


def test_nobody_answers_for_another_or_after_the_end(study, lea):
    _, person = come(study)
    stranger, other = come(study, "other")
    task = tasks_of(person)[0]
    with pytest.raises(LeaseLostError):
        submit(other, task)
    assert stranger.post(f"/study/{study.pk}/", sent(task)).status_code == 409
    disqualify(other, "answers without looking", lea)
    with pytest.raises(LeaseLostError, match="not counted"):
        submit(other, tasks_of(other)[0])
    end_link(study.link, lea)
    with pytest.raises(LeaseLostError, match="after its end"):
        submit(person, task)


def test_videos_must_have_been_watched_where_the_tracks_ask_for_it(study, settings):
    settings.WATCH_GATE = {"identity": 50, "controllability": 90}
    _, person = come(study)
    task = tasks_of(person)[0]
    with pytest.raises(NotWatchedError, match="60 % of the right"):
        submit(person, task, evidence={"coverage": {"left": 1.0, "right": 0.6}})
    submit(person, task, evidence={"coverage": {"left": 1.0, "right": 0.9}})


def test_nothing_that_a_participant_receives_says_whose_a_video_is(db):
    instance = make_instance(background="a vermilion beach")
    run = make_evaluation({"axolotl": "Axolotl-7", "basilisk": "Basilisk 9"}, instances=[instance])
    study = open_study(run, pairs=1, people=1)
    browser, person = come(study)
    task = tasks_of(person)[0]
    media = f"/media/study/{task.lease}/"
    names = ["left", "right", *(f"reference-{number}" for number in range(3)), "reference-0.poster"]
    answers = [browser.get(f"/study/{study.pk}/"), *(browser.get(media + name) for name in names)]
    videos = StudyVideo.objects.all()
    secrets = {"axolotl", "basilisk", run.folder, *(video.path for video in videos)}
    secrets |= {video.path.rsplit("/", 1)[1] for video in videos}
    for answer in answers:
        assert answer.status_code == 200
        body = b"".join(answer.streaming_content) if answer.streaming else answer.content
        told = (body + str(dict(answer.items())).encode()).lower()
        assert [secret for secret in secrets if secret.lower().encode() in told] == []
    assert "vermilion beach" in answers[0].content.decode()
    assert browser.get(f"{media}reference-3").status_code == 404
    assert browser.get(f"{media}left", headers={"Range": "bytes=0-9"}).status_code == 206


def test_media_and_rooms_are_their_participants_alone(study, ana, lea):
    browser, person = come(study)
    other, _ = come(study, "other")
    place = f"/media/study/{tasks_of(person)[0].lease}/left"
    assert browser.get(place).status_code == 200
    for stranger in (other, browser_of(ana), browser_of(lea), browser_of(None)):
        assert stranger.get(place).status_code == 404
    for stranger in (browser_of(ana), browser_of(lea)):
        assert stranger.get(f"/study/{study.pk}/").status_code == 404
    assert browser_of(None).get(f"/study/{study.pk}/").status_code == 302


def test_no_more_come_in_than_there_are_seats_and_who_is_in_comes_back(study):
    come(study, "a"), come(study, "b")
    assert Client().post(f"/enter/{study.link.token}/", {"PROLIFIC_PID": "c"}).status_code == 403
    browser, person = come(study, "a")
    assert StudySeat.objects.filter(participant=person).count() == 1
    assert browser.get("/").headers["Location"] == f"/enter/{study.link.token}/"


def test_simulated_answers_stand_in_only_where_nobody_answered(study, lea):
    robot = make_user(role=User.Role.PARTICIPANT, is_simulated=True)
    Participant.objects.create(id_parameter="PROLIFIC_PID", external_id="robot", account=robot)
    come(study, "robot")
    submit(robot, tasks_of(robot)[0])
    page = browser_of(lea).get(f"/studies/{study.pk}/").content.decode()
    assert "simulated answers only" in page
    _, human = come(study, "human")
    submit(human, tasks_of(human)[0])
    figures = browser_of(lea).get(f"/studies/{study.pk}/figures.json").json()
    assert (figures["answers"], figures["is_simulated"]) == (1, False)


@pytest.mark.parametrize("page", ["/studies/", "/studies/from/{run}/", "/studies/{study}/"])
def test_studies_are_the_leads_business(study, ana, lea, page):
    page = page.format(run=study.run_id, study=study.pk)
    participant, _ = come(study)
    assert browser_of(lea).get(page).status_code == 200
    assert browser_of(None).get(page).status_code == 302
    for stranger in (browser_of(ana), participant):
        assert stranger.get(page).status_code == 404
