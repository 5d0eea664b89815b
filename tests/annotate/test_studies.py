"""User studies: planned, entered by a link, answered once by all criteria, and blind."""

from __future__ import annotations

import csv
import io
import json
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import numpy as np
import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client

from annotate.evidence import NotWatchedError
from annotate.models import (
    IdentityGroup,
    Participant,
    Study,
    StudyAnswer,
    StudySeat,
    StudyTask,
    StudyVideo,
    User,
)
from annotate.services.entries import LinkTerms, end_link
from annotate.services.erasure import erase_identity
from annotate.services.judgments import AlreadyJudgedError, LeaseLostError
from annotate.services.quality import disqualify
from annotate.services.runs import run_dir
from annotate.services.studies import StudyPlan, make_study
from annotate.services.study_answers import submit_answer
from annotate.services.study_media import store_media
from generator.frozen_set import MediaFile
from generator.records import ReferenceKind
from generator.video import probe, write_clip
from rlhf.evaluation.benchmark_card import Card
from rlhf.evaluation.benchmark_set import write_benchmark
from rlhf.evaluation.records import EvaluationInstance, NamedElement, Task
from rlhf.study_plan import Criterion
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, make_user, write_test_clip
from tests.studies import ARMS, TERMS, make_evaluation, open_study

ALL_LEFT = {str(criterion): "left" for criterion in Criterion}


@pytest.fixture
def study(db) -> Study:
    """Three models' videos of one input: three pairs, for each of two people."""
    return open_study(make_evaluation(num_instances=1))


def come(study: Study, external_id: str = "5f1a") -> tuple[Client, User]:
    browser = Client()
    answer = browser.post(f"/enter/{study.link.token}/", {"PROLIFIC_PID": external_id})
    assert answer.headers["Location"] == f"/study/{study.pk}/"
    return browser, Participant.objects.get(external_id=external_id).account


def tasks_of(person: User) -> list[StudyTask]:
    return list(StudyTask.objects.filter(seat__participant=person).order_by("position"))


def sent(task: StudyTask, **changes: str) -> dict[str, str]:
    return {"lease": str(task.lease), "idempotency_key": str(uuid4()), **ALL_LEFT, **changes}


def submit(person: User, task: StudyTask, key=None, **more) -> StudyAnswer:
    return submit_answer(person, task.lease, ALL_LEFT, idempotency_key=key or uuid4(), **more)


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
    with pytest.raises(AlreadyJudgedError):
        submit(person, task)
    with pytest.raises(ValueError, match="used for another pair"):
        submit(person, following, key)
    # The Back button sends the form of a pair that is answered: what follows is the next pair.
    again = browser.post(f"/study/{study.pk}/", sent(task, identity_fidelity="right"))
    assert again.status_code == 302
    assert str(following.lease) in browser.get(f"/study/{study.pk}/").content.decode()
    assert StudyAnswer.objects.get() == first and first.identity_fidelity != "tie"


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_store_everything_once(settings):
    study = plan(make_evaluation(num_instances=1))

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
        except AlreadyJudgedError:
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


def plan(run, **changes) -> Study:
    values = {"arms": list(ARMS), "pairs_a_person": 3} | changes
    return make_study(StudyPlan(run, **values), LinkTerms(**TERMS))


def test_nobody_comes_in_before_the_videos_are_stored(db):
    study = plan(make_evaluation(num_instances=1))
    answer = Client().post(f"/enter/{study.link.token}/", {"PROLIFIC_PID": "a"})
    assert answer.status_code == 403 and "not begun" in answer.content.decode()
    assert store_media(study) and store_media(study)
    come(study, "a")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"arms": ["anyid"]}, "two or more"),
        ({"arms": ["anyid", "sora"]}, "no arm 'sora'; it has: anyid, consisid, phantom"),
        ({"pairs_a_person": 10}, "more than the 9 that there are"),
    ],
)
def test_a_study_that_cannot_be_planned_is_refused(db, changes, says):
    with pytest.raises(ValueError, match=says):
        plan(make_evaluation(), **changes)
    assert not Study.objects.exists()


def test_only_inputs_with_a_video_by_every_model_are_compared(db):
    run = make_evaluation(num_instances=2)
    run.result["videos"][0]["path"] = None
    run.save()
    with pytest.raises(ValueError, match="more than the 3 that there are"):
        plan(run, pairs_a_person=4)
    study = plan(run)
    instances = study.inputs.values_list("instance_id", flat=True)
    assert set(instances) == {run.result["videos"][1]["instance_id"]}


def test_whoever_was_erased_or_takes_their_consent_back_comes_into_no_study(db):
    instances = [make_instance(num_references=1) for _ in range(3)]
    run = make_evaluation(instances=instances)
    erase_identity(instances[0].group.name, really=True)
    IdentityGroup.objects.filter(pk=instances[1].group_id).update(consent_expires_on="2020-01-01")
    assert [asked.instance_id for asked in plan(run).inputs.all()] == [str(instances[2].pk)]


def test_a_video_that_cannot_be_read_is_named_and_the_study_can_be_tried_again(db, settings):
    run = make_evaluation(num_instances=1)
    run.result["videos"][1]["path"] = "consisid/gone.mp4"
    run.save()
    study = plan(run)
    assert not store_media(study) and "consisid/gone.mp4 cannot be used" in study.error
    StudyVideo.objects.filter(source="consisid/gone.mp4").update(source=run.result["videos"][0]["path"])
    assert store_media(study) and study.error == "" and study.opened_at


def test_videos_of_different_forms_are_shown_in_one(db, settings):
    """Nobody can tell a model by the size, the rate or the length of its videos."""
    run = make_evaluation({"ours": "Ours", "theirs": "Theirs"}, num_instances=1)
    theirs = settings.STORAGE_ROOT / "test" / "theirs.mp4"
    write_clip(theirs, np.zeros((24, 96, 128, 3), np.uint8), 16)
    run.result["videos"][1]["path"] = str(theirs)
    run.save()
    study = open_study(run, pairs=1, people=1)
    found = [probe(settings.STORAGE_ROOT / video.path) for video in StudyVideo.objects.all()]
    assert {(f.width, f.height, f.fps, f.num_frames) for f in found} == {(64, 64, 8.0, 9)}
    assert study.form == {"width": 64, "height": 64, "fps": 8.0, "num_frames": 9}


def test_a_benchmark_sets_inputs_are_compared_with_pictures_of_their_elements(db, tmp_path, settings):
    """Their references are known by their bytes where they are of this site's people."""
    known = make_instance().group.references.first()
    path, sha256 = write_test_clip()
    media = [
        MediaFile(settings.STORAGE_ROOT / known.path, known.sha256),
        MediaFile(settings.STORAGE_ROOT / path, sha256),
    ]
    asked = EvaluationInstance(
        "a-1",
        "A red scarf is worn.",
        ((media[0].name, ReferenceKind.CLIP),),
        (media[0].name,),
        task=Task.IEPT2V,
        elements=(NamedElement("red scarf", media[1].name),),
    )
    write_benchmark(tmp_path / "set", Card("ours", "1", "CC0-1.0", "tests", {}), [asked], [0], media)
    run = make_evaluation({"ours": "Ours", "theirs": "Theirs"}, num_instances=1)
    (run_dir(run).path / "request.json").write_text(json.dumps({"set": {"path": str(tmp_path / "set")}}))
    for video in run.result["videos"]:
        video["instance_id"] = "a-1"
    run.save()
    study = open_study(run, pairs=1, people=1)
    browser, _ = come(study)
    page = browser.get(f"/study/{study.pk}/").content.decode()
    assert "A red scarf is worn." in page and 'data-name="red scarf"' in page
    assert study.inputs.get().group == known.group
    IdentityGroup.objects.filter(pk=known.group_id).update(consent_expires_on="2020-01-01")
    assert "That was the last pair" in browser.get(f"/study/{study.pk}/").content.decode()


def test_a_pair_holds_two_models_videos_of_one_input(db):
    study = plan(make_evaluation(num_instances=2))
    pair = study.pairs.first()
    stranger = StudyVideo.objects.filter(model=pair.second.model).exclude(input=pair.second.input)
    with pytest.raises(IntegrityError, match="one input"), transaction.atomic():
        study.pairs.filter(pk=pair.pk).update(second=stranger.last())


def test_an_erased_person_leaves_their_videos_and_answers(db, settings):
    study = open_study(make_evaluation(num_instances=2))
    _, person = come(study)
    for task in tasks_of(person):
        submit(person, task)
    group = tasks_of(person)[0].pair.first.input.group
    of_group = StudyVideo.objects.filter(input__group=group)
    files = [settings.STORAGE_ROOT / path for path in of_group.values_list("path", flat=True)]
    for shown in study.inputs.filter(group=group).values_list("shown", flat=True):
        files += [settings.STORAGE_ROOT / item[part] for item in shown for part in ("path", "poster")]
    gone = StudyAnswer.objects.filter(task__pair__first__input__group=group).count()
    assert gone and all(file.is_file() for file in files)
    erase_identity(group.name, really=True)
    assert StudyAnswer.objects.count() == 3 - gone and not of_group.exists()
    assert not any(file.exists() for file in files)


def test_a_lead_makes_a_study_reads_it_and_saves_it(db, lea, monkeypatch):
    stored: list[int] = []
    monkeypatch.setattr("annotate.study_tasks.store_media.delay_on_commit", stored.append)
    run = make_evaluation()
    browser = browser_of(lea)
    assert f"/studies/from/{run.pk}/" in browser.get("/studies/").content.decode()
    place = f"/studies/from/{run.pk}/"
    assert "3 inputs" in browser.get(place).content.decode()
    form = TERMS | {"closes_at": f"{TERMS['closes_at']:%Y-%m-%dT%H:%M}", "arms": list(ARMS), "seed": 0}
    form |= {"pairs_a_person": 3}
    for wrong in ({"arms": ["anyid"]}, {"arms": []}, {"pairs_a_person": 10}, {"max_people": 0}):
        assert browser.post(place, form | wrong).status_code == 422
    address = browser.post(place, form).headers["Location"]
    study = Study.objects.get()
    assert stored == [study.pk] and "being stored" in browser.get(address).content.decode()
    browser.post(f"{address}store/")
    assert stored == [study.pk] * 2
    store_media(study)
    assert "No answers yet" in browser.get(address).content.decode()
    _, person = come(study)
    for task in tasks_of(person):
        submit(person, task)
    page = browser.get(address).content.decode()
    assert "<b>3</b> of 6 answers" in page and "AnyID" in page and "Identity fidelity" in page
    figures = browser.get(f"{address}figures.json").json()
    assert (figures["answers"], figures["participants"], figures["is_simulated"]) == (3, 1, False)
    rates = figures["criteria"]["visual_quality"]["win_rates"]
    assert sum(rate["value"] * rate["count"] for rate in rates.values()) == pytest.approx(3)
    raw = browser.get(f"{address}answers.csv").content.decode()
    rows = list(csv.DictReader(io.StringIO(raw)))
    assert [row["visual_quality"] for row in rows] == [row["left"] for row in rows]
    for text in (raw, str(figures)):
        assert "5f1a" not in text and person.username not in text
    assert study.name in browser.get("/entry-links/").content.decode()
    assert "3 of 3" in browser.get(f"/entry-links/{study.link_id}/").content.decode()


def test_one_who_does_not_finish_is_followed_by_another_with_the_same_share(db, lea):
    study = open_study(make_evaluation(num_instances=1), people=1)
    place, browser = f"/studies/{study.pk}/", browser_of(lea)
    assert "Add a place" not in browser.get(place).content.decode()
    browser.post(f"{place}seat/")
    assert study.seats.count() == 1
    _, person = come(study)
    submit(person, tasks_of(person)[0])
    assert "Add a place" in browser.get(place).content.decode()
    browser.post(f"{place}seat/")
    _, other = come(study, "other")
    share = [[(task.pair_id, task.first_side) for task in tasks_of(who)] for who in (person, other)]
    assert share[0] == share[1]
    assert not {task.lease for task in tasks_of(person)} & {task.lease for task in tasks_of(other)}
    for who in (person, other):
        for task in tasks_of(who)[1:]:
            submit(who, task)
    submit(other, tasks_of(other)[0])
    browser.post(f"{place}seat/")
    assert study.seats.count() == 2


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
