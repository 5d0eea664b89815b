"""User studies: planned from an evaluation, stored in one form, and read by leads."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from django.db import IntegrityError, transaction
from django.test import Client

from annotate.jobs.runs import run_dir
from annotate.models import (
    IdentityGroup,
    Study,
    StudyAnswer,
    StudyVideo,
)
from annotate.privacy.erasure import erase_identity
from annotate.studies.media import store_media
from generator.frozen_set import MediaFile
from generator.media.encoder import write_clip
from generator.media.video import probe
from generator.records import ReferenceKind
from rlhf.evaluation.benchmark.card import Card
from rlhf.evaluation.benchmark.set import write_benchmark
from rlhf.evaluation.records import EvaluationInstance, NamedElement, Task
from tests.annotate.conftest import browser_of
from tests.factories import make_instance, write_test_clip
from tests.studies import (
    SYSTEMS,
    TERMS,
    come,
    make_evaluation,
    open_study,
    plan,
    submit,
    tasks_of,
)


def test_nobody_comes_in_before_the_videos_are_stored(db):
    study = plan(make_evaluation(num_instances=1))
    answer = Client().post(f"/enter/{study.link.token}/", {"PROLIFIC_PID": "a"})
    assert answer.status_code == 403 and "not begun" in answer.content.decode()
    assert store_media(study) and store_media(study)
    come(study, "a")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"systems": ["anyid"]}, "two or more"),
        ({"systems": ["anyid", "sora"]}, "no system 'sora'; it has: anyid, consisid, phantom"),
        ({"pairs_per_person": 10}, "more than the 9 that there are"),
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
        plan(run, pairs_per_person=4)
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
    monkeypatch.setattr("annotate.studies.tasks.store_media.delay_on_commit", stored.append)
    run = make_evaluation()
    browser = browser_of(lea)
    assert f"/studies/from/{run.pk}/" in browser.get("/studies/").content.decode()
    place = f"/studies/from/{run.pk}/"
    assert "3 inputs" in browser.get(place).content.decode()
    form = TERMS | {"closes_at": f"{TERMS['closes_at']:%Y-%m-%dT%H:%M}", "systems": list(SYSTEMS), "seed": 0}
    form |= {"pairs_per_person": 3}
    for wrong in ({"systems": ["anyid"]}, {"systems": []}, {"pairs_per_person": 10}, {"max_people": 0}):
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
