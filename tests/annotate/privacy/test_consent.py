"""Consent: what is unknown, refused or over opens no door, whichever door it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as site
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.test import override_settings
from django.utils import timezone

from annotate.core.errors import RoundError
from annotate.evaluation.comparisons import start_comparison
from annotate.evaluation.evaluations import queue_table
from annotate.evaluation.inputs import benchmark_set, held_out_people
from annotate.evaluation.version_comparisons import compare_versions
from annotate.exports.files import ExportFileError, export_zip
from annotate.exports.freezing import export_round
from annotate.gold.gold import make_gold
from annotate.jobs import runs, tasks
from annotate.jobs.stages import work_of
from annotate.judging.queries import changeable_judgment, held_slot, open_pairs_for
from annotate.judging.slots import lease_slot
from annotate.judging.tracks import judging_task
from annotate.judging.vote_queries import unsettled_pairs
from annotate.loop.loop import advance_round
from annotate.models import (
    AuditEvent,
    GoldKind,
    GoldPair,
    IdentityGroup,
    Instance,
    Round,
    RunStatus,
    Slot,
    Split,
    Use,
    User,
    VideoPair,
    VideoSample,
    is_pseudonym,
)
from annotate.people.datasets import export_dataset
from annotate.people.identities import import_people
from annotate.people.instances import BuildReport, build_instances, people_to_draw, plan_instances
from annotate.privacy.consent_queries import given, refusal
from annotate.prompts.generated import store_described, write_plans
from annotate.prompts.prompt_runs import queue_prompts
from annotate.rounds.sampling import queue_sampling
from annotate.studies.queries import shown_file, tasks_of
from annotate.studies.studies import asked_of
from annotate.training.approvals import approve_run
from annotate.training.dpo import queue_dpo
from annotate.training.preview import dry_run
from annotate.training.queries import pair_set
from generator.curation.card import USES
from generator.instances import Draw
from generator.photo import write_photo
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of, machine_of
from tests.annotate.judging.test_judgments import vote
from tests.annotate.loop.test_commands import run
from tests.factories import (
    make_group,
    make_instance,
    make_model,
    make_pair,
    make_reference,
    make_round,
    make_user,
)
from tests.generator.media_files import picture
from tests.studies import come, make_evaluation, open_study

pytestmark = pytest.mark.django_db

#: Brings a person's consent into the state that is tried.
Change = Callable[[IdentityGroup], None]
#: Does something with a person after the change; what comes of it is empty where they were left out.
Door = Callable[[Change, Path], Any]

DOORS: list[Any] = []
REFUSALS = (RoundError, ValueError, ExportFileError, CommandError)


def door(*uses: Use) -> Callable[[Door], Door]:
    def add(act: Door) -> Door:
        DOORS.append(pytest.param(uses, act, id=act.__name__))
        return act

    return add


def dominant_round(person: IdentityGroup, **overrides: Any) -> Round:
    """A round of one pair that is better on both tracks."""
    pair = make_pair(make_round(**overrides), make_instance(person, num_references=2))
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    return pair.round


# -- people look -----------------------------------------------------------------------------------------


@door(Use.SHOW)
def references_beside_a_pair(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    slot = lease_slot(ana, Track.IDENTITY)
    change(pair.instance.group)
    return judging_task(slot).references


@door(Use.SHOW)
def lease(change: Change, folder: Path) -> Any:
    change(make_pair().instance.group)
    return lease_slot(make_user(), Track.IDENTITY)


@door(Use.SHOW)
def lease_that_is_held(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    assert lease_slot(ana, Track.IDENTITY)
    change(pair.instance.group)
    return lease_slot(ana, Track.IDENTITY)


@door(Use.SHOW)
def number_of_open_votes(change: Change, folder: Path) -> Any:
    change(make_pair().instance.group)
    return open_pairs_for(make_user(), Track.IDENTITY)


@door(Use.SHOW)
def media_of_a_held_pair(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    slot = lease_slot(ana, Track.IDENTITY)
    change(pair.instance.group)
    page = browser_of(ana).get(f"/media/{slot.lease}/left")
    assert (page.status_code == 200) == bool(held_slot(ana, slot.lease))
    return page.status_code == 200


@door(Use.SHOW)
def undo(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    change(pair.instance.group)
    return changeable_judgment(ana, Track.IDENTITY)


@door(Use.SHOW)
def lease_by_the_api(change: Change, folder: Path) -> Any:
    change(make_pair().instance.group)
    answer = machine_of(make_user()).post("/api/tracks/identity/lease/")
    return answer.status_code == 200 and answer.data


@door(Use.SHOW)
def gold_is_made(change: Change, folder: Path) -> Any:
    pair = make_pair(instance=make_instance(num_references=1))
    change(pair.instance.group)
    return any(make_gold(pair.round, items=1).values())


def gold_of(pair: VideoPair, shown: VideoSample | None = None) -> None:
    """A gold pair of the same person that may be given to whoever is in the queue; a pair waits behind it."""
    gold = make_pair(pair.round, pair.instance)
    gold.slots.all().delete()
    VideoPair.objects.filter(pk=gold.pk).update(gold_verdicts={"identity": "first"})
    VideoSample.objects.filter(pk=gold.second_id).update(copy_of=shown)
    kind = GoldKind.IMPOSTOR if shown else GoldKind.DEGRADED
    GoldPair.objects.create(pair=gold, kind=kind, track=Track.IDENTITY, budget=3)
    make_pair(pair.round)


def given_gold(person: User) -> Slot | None:
    """The gold pair that somebody is given whose turn it is."""
    with override_settings(GOLD_EVERY=1):
        slot = lease_slot(person, Track.IDENTITY)
    return slot if slot and GoldPair.objects.filter(pair=slot.pair_id).exists() else None


def video_of(person: IdentityGroup) -> VideoSample:
    pair = make_pair(instance=make_instance(person))
    pair.slots.all().delete()
    return pair.first


@door(Use.SHOW)
def gold_is_given(change: Change, folder: Path) -> Any:
    pair, ana = make_pair(), make_user()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    gold_of(pair)
    change(pair.instance.group)
    return given_gold(ana)


@door(Use.SHOW)
def gold_with_an_impostor(change: Change, folder: Path) -> Any:
    pair, ana, impostor = make_pair(), make_user(), make_group()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    gold_of(pair, video_of(impostor))
    change(impostor)
    return given_gold(ana)


@door(Use.SHOW)
def media_of_an_impostor(change: Change, folder: Path) -> Any:
    pair, ana, impostor = make_pair(), make_user(), make_group()
    vote(pair, Track.IDENTITY, Verdict.FIRST, ana)
    gold_of(pair, video_of(impostor))
    slot = given_gold(ana)
    assert slot is not None
    change(impostor)
    return held_slot(ana, slot.lease)


@door(Use.SHOW)
def adjudication(change: Change, folder: Path) -> Any:
    pair = make_pair(make_round(votes_wanted=2))
    for track in Track:
        for verdict in (Verdict.FIRST, Verdict.SECOND):
            vote(pair, track, verdict)
    change(pair.instance.group)
    return unsettled_pairs(pair.round)


@door(Use.SHOW)
def study_is_planned(change: Change, folder: Path) -> Any:
    evaluation = make_evaluation(instances=[instance := make_instance(num_references=1)])
    change(instance.group)
    return asked_of(evaluation)


@door(Use.SHOW)
def study_is_shown(change: Change, folder: Path) -> Any:
    study = open_study(make_evaluation(instances=[instance := make_instance(num_references=1)]), pairs=1)
    browser, participant = come(study)
    task = tasks_of(participant, study).get()
    change(instance.group)
    is_shown = browser.get(f"/media/study/{task.lease}/left").status_code == 200
    assert shown_file(task, "left") and is_shown == tasks_of(participant, study).exists()
    return is_shown


# -- models make videos ----------------------------------------------------------------------------------


@door(Use.SHOW)
def instances_to_show(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return build_instances(Draw(count=1, seed=0)).new_instances


@door(Use.TRAIN)
def instances_to_learn_from(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return people_to_draw(None, None, with_target=True, report=BuildReport())


@door(Use.EVALUATE)
def instances_to_evaluate_on(change: Change, folder: Path) -> Any:
    change(make_reference(make_group(split=Split.EVAL)).group)
    return build_instances(Draw(count=1, seed=0)).new_instances


DRAW = Draw(count=1, seed=0, num_references=1, with_target=True)
LOOK = {"backend": "server", "base_url": "http://127.0.0.1:9", "model": "org/sees"}


@door(Use.TRAIN)
def prompts_by_models(change: Change, folder: Path) -> Any:
    person = make_group()
    [make_reference(person) for _ in range(2)]
    change(person)
    return queue_prompts(DRAW)[0]


@door(Use.TRAIN)
def prompts_that_wait(change: Change, folder: Path) -> Any:
    person = make_group()
    [make_reference(person) for _ in range(2)]
    queued, _ = queue_prompts(DRAW)
    change(person)
    return not refused(queued)


@door(Use.TRAIN)
def prompts_that_come_back(change: Change, folder: Path) -> Any:
    person = make_group()
    [make_reference(person) for _ in range(2)]
    queued, _ = queue_prompts(DRAW)
    (planned,) = plan_instances(person, DRAW, BuildReport(), is_observed=True)
    place = runs.run_dir(queued)
    write_plans(place, [planned])
    prompt = make_instance().prompt
    change(person)
    line = {"pair_id": planned.digest, "prompt": {"text": prompt.text, "elements": prompt.elements}}
    return store_described(place, [line])


@door(Use.SHOW)
def sampling(change: Change, folder: Path) -> Any:
    pair = make_pair(is_made=False)
    change(pair.instance.group)
    return queue_sampling(pair.round)


@door(Use.SHOW)
def sampling_beside_others(change: Change, folder: Path) -> Any:
    pair = make_pair(is_made=False)
    make_pair(pair.round, is_made=False)
    change(pair.instance.group)
    asked = runs.run_dir(queue_sampling(pair.round)).read_request()["samples"]
    return {str(pair.first_id), str(pair.second_id)} & {item["sample_id"] for item in asked}


@door(Use.SHOW)
def sampling_that_waits(change: Change, folder: Path) -> Any:
    pair = make_pair(is_made=False)
    make_pair(pair.round, is_made=False)
    queued = queue_sampling(pair.round)
    change(pair.instance.group)
    return not refused(queued)


def refused(queued: Any) -> bool:
    """Whether a worker who takes a queued run refuses it, with a reason."""
    why = work_of(queued.stage).refusal(queued, runs.run_dir(queued))
    if why:
        tasks.execute_run(queued.pk)
        queued.refresh_from_db()
        assert (queued.status, queued.error) == (RunStatus.FAILED, why)
    return bool(why)


# -- models learn ----------------------------------------------------------------------------------------


@door(Use.TRAIN)
def export(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    return export_round(round).num_pairs


@door(Use.TRAIN)
def export_beside_others(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    other = make_pair(round, make_instance(num_references=1))
    for track in Track:
        vote(other, track, Verdict.FIRST)
    change(person)
    exported = (site.STORAGE_ROOT / export_round(round).folder / "pairs.jsonl").read_text()
    assert other.instance.group.pseudonym in exported
    return person.pseudonym in exported


@door(Use.TRAIN)
def launch(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    frozen = export_round(round)
    change(person)
    looks = [dry_run(round, pair_set(round, of, include_simulated=False), {}) for of in (None, frozen)]
    assert looks[0].blocks == looks[1].blocks
    return not looks[0].blocks


@door(Use.TRAIN)
def training(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    frozen = export_round(round)
    change(person)
    return queue_dpo(round, frozen)


@door(Use.TRAIN)
def training_that_waits(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    queued = queue_dpo(round, export_round(round))
    change(person)
    return not refused(queued)


@door(Use.TRAIN)
def approval(change: Change, folder: Path) -> Any:
    site.APPROVE_ROUNDS = True
    round = dominant_round(person := make_group())
    waiting = queue_dpo(round, export_round(round), make_user(role="lead"))
    change(person)
    approve_run(waiting, make_user(role="lead"))
    return waiting.status == RunStatus.QUEUED


@door(Use.TRAIN)
def advance(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    return advance_round(round).run


@door(Use.TRAIN)
def advance_by_the_api(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    answer = machine_of(make_user(role="lead")).post(f"/api/rounds/{round.pk}/advance/")
    if answer.status_code == 409:
        raise RoundError(answer.content.decode())
    return answer.data["run"]


@door(Use.TRAIN)
def advance_by_the_command(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    return run("advance_round", "--round", round.name)["run"]


# -- models are measured -----------------------------------------------------------------------------------


def held_out_instance() -> Instance:
    return make_instance(make_group(split=Split.EVAL), num_references=2)


@door(Use.EVALUATE)
def evaluation(change: Change, folder: Path) -> Any:
    change(held_out_instance().group)
    return queue_table(make_round(), held_out_people([0])).run


@door(Use.EVALUATE)
def evaluation_that_waits(change: Change, folder: Path) -> Any:
    instance = held_out_instance()
    queued = queue_table(make_round(), held_out_people([0])).run
    change(instance.group)
    return not refused(queued)


@door(Use.EVALUATE)
def version_comparison(change: Change, folder: Path) -> Any:
    instance, model = held_out_instance(), make_model()
    make_round(policy=model)
    change(instance.group)
    return compare_versions(make_model(), model, [instance], num_seeds=1)


@door(Use.SHOW, Use.EVALUATE)
def comparison_by_people(change: Change, folder: Path) -> Any:
    round = dominant_round(make_group())
    finished = runs.claim_run(queue_dpo(round, export_round(round)).pk, worker := uuid4())
    runs.run_dir(finished).write_result({"adapter": "a", "adapter_sha256": "a" * 64, "num_pairs": 1})
    assert runs.finish_run(finished, worker)
    change(held_out_instance().group)
    finished.refresh_from_db()
    return start_comparison(finished.model_version)


def a_set_of(person: IdentityGroup, folder: Path) -> Path:
    make_reference(person)
    (folder / "prompts.txt").write_text("The person waves.\n\nThe person nods, still in [the same hat].\n")
    options = ["--identities", 1, "--prompts", 1, 1, "--references", 1, "--split", "eval"]
    run("make_benchmark", folder / "set", "--prompts-file", folder / "prompts.txt", *options)
    return folder / "set"


@door(Use.EVALUATE, Use.PUBLISH)
def benchmark_is_made(change: Change, folder: Path) -> Any:
    change(person := make_group(split=Split.EVAL))
    return a_set_of(person, folder).exists()


@door(Use.EVALUATE)
def benchmark_is_evaluated_on(change: Change, folder: Path) -> Any:
    place = a_set_of(person := make_group(split=Split.EVAL), folder)
    change(person)
    return queue_table(make_round(), benchmark_set(place)).run


@door(Use.EVALUATE)
def evaluation_on_a_benchmark_that_waits(change: Change, folder: Path) -> Any:
    place = a_set_of(person := make_group(split=Split.EVAL), folder)
    queued = queue_table(make_round(), benchmark_set(place)).run
    change(person)
    return not refused(queued)


# -- media leave the site ----------------------------------------------------------------------------------


@door(Use.PUBLISH)
def download_of_an_export(change: Change, folder: Path) -> Any:
    frozen = export_round(dominant_round(person := make_group()))
    change(person)
    return export_zip(frozen, "set", make_user(role="lead"))


@door(Use.PUBLISH)
def export_to_hand_out(change: Change, folder: Path) -> Any:
    round = dominant_round(person := make_group())
    change(person)
    out = folder / "out"
    run("export_pairs", "--round", round.name, "--format", "trl", "--out", out)
    return out.exists()


@door(Use.PUBLISH)
def dataset_to_hand_out(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return export_dataset(folder / "set").num_people


@door(Use.TRAIN)
def dataset_to_train_on(change: Change, folder: Path) -> Any:
    change(make_reference(make_group()).group)
    return export_dataset(folder / "set", use=Use.TRAIN).num_people


# -- all of them -------------------------------------------------------------------------------------------


def forget(person: IdentityGroup, missing: Use) -> dict[str, Any]:
    return {"consent_uses": None, "consent_stated_in": "", "consent_stated_at": None}


def refuse(person: IdentityGroup, missing: Use) -> dict[str, Any]:
    return {"consent_uses": [use for use in Use.values if use != missing]}


def end(person: IdentityGroup, missing: Use) -> dict[str, Any]:
    return {"consent_expires_on": timezone.localdate() - timedelta(days=1)}


@pytest.fixture
def prompt_models(tmp_path: Path, settings: Any) -> None:
    (tmp_path / "key").write_text("secret")
    models = {"describer": {**LOOK, "api_key_file": "key"}, "comparer": {**LOOK, "api_key_file": "key"}}
    (tmp_path / "models.json").write_text(json.dumps(models))
    settings.PROMPT_MODELS = tmp_path / "models.json"
    settings.APPROVE_ROUNDS = False


@pytest.mark.parametrize(("uses", "act"), DOORS)
def test_consent_opens_the_door(uses: tuple[Use, ...], act: Door, prompt_models: None, tmp_path: Path):
    """Exactly the uses that the door asks for are enough, up to and with the last day."""

    def change(person: IdentityGroup) -> None:
        more = [Use.TRAIN] if act is export_to_hand_out else []
        enough = [use.value for use in (*uses, *more)]
        IdentityGroup.objects.filter(pk=person.pk).update(consent_uses=enough, consent_expires_on=day())

    assert act(change, tmp_path)


@pytest.mark.parametrize("state", [forget, refuse, end])
@pytest.mark.parametrize(("uses", "act"), DOORS)
def test_no_door_opens_without_consent(
    uses: tuple[Use, ...], act: Door, state: Any, prompt_models: None, tmp_path: Path
):
    """Whoever is not left out in silence is refused in words that name person, use and remedy."""
    for number, use in enumerate(uses):
        changed: list[IdentityGroup] = []

        def change(person: IdentityGroup, use: Use = use, changed: list[IdentityGroup] = changed) -> None:
            changed.append(person)
            IdentityGroup.objects.filter(pk=person.pk).update(**state(person, use))

        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            came_through = act(change, folder)
        except REFUSALS as problem:
            says = str(problem)
            (person,) = changed
            verb = {forget: "is not stated", refuse: "is refused", end: "has ended"}[state]
            assert person.name in says and use.value in says and verb in says and "person's page" in says
        else:
            assert not came_through


def day() -> Any:
    with connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_DATE")
        return cursor.fetchone()[0]


# -- stating it --------------------------------------------------------------------------------------------


def test_one_condition_stands_behind_queries_and_statements():
    """What a filter finds, a refusal does not name, in every state and for every use."""
    people = IdentityGroup.objects.order_by("pk")
    rows = [make_group(**state(None, Use.TRAIN)) for state in (forget, refuse, end)] + [make_group()]
    for use in Use:
        agreed = set(people.filter(given("", use)))
        assert agreed == {rows[3]} if use == Use.TRAIN else agreed == {rows[1], rows[3]}
        says = refusal(people, use)
        assert all((row.name in says) != (row in agreed) for row in rows)
    assert refusal(people.filter(pk=rows[3].pk), *Use) == ""


def test_many_people_are_one_sentence():
    [make_group(name=name, **forget(None, Use.SHOW)) for name in "abcde"]
    assert refusal(IdentityGroup.objects.all(), Use.SHOW) == (
        "Consent to show is not stated for a, b, c and 2 more; "
        "state it on the person's page, or with import_identities --consent."
    )


def test_the_last_day_is_the_databases():
    """A worker's clock that is ahead ends nobody's consent."""
    person = make_group(consent_expires_on=day())
    assert refusal(IdentityGroup.objects.all(), *Use) == ""
    IdentityGroup.objects.filter(pk=person.pk).update(consent_expires_on=day() - timedelta(days=1))
    assert "has ended" in refusal(IdentityGroup.objects.all(), *Use)


@pytest.mark.parametrize(
    "values",
    [
        {"consent_uses": ["research"]},
        {"consent_uses": None},
        {"consent_stated_in": ""},
        {"consent_stated_at": None},
        {"consent_uses": None, "consent_stated_in": "", "consent_stated_by": True},
    ],
)
def test_the_database_knows_who_stated_which_uses(values: dict[str, Any]):
    if values.get("consent_stated_by"):
        values = values | {"consent_stated_by": make_user()}
    with pytest.raises(IntegrityError, match="consent_"), transaction.atomic():
        make_group(**values)


def person_folder(root: Path, name: str, card: dict[str, Any] | None = None) -> None:
    (root / name).mkdir(parents=True)
    write_photo(root / name / "photo.png", picture(grey=40 * len(list(root.iterdir()))))
    if card is not None:
        (root / name / "identity.json").write_text(json.dumps(card))


def test_cards_and_the_option_state_consent_and_what_was_stated_stands(tmp_path: Path):
    root = tmp_path / "people"
    person_folder(root, "ada", {"consent": ["train", "show"], "consent_note": "form 7"})
    person_folder(root, "bob", {"consent": []})
    person_folder(root, "cy")
    person_folder(root, "dee", {"consent_scope": "all of it, for research"})
    person_folder(root, "eve", {"truth": {"identity_seed": 1}})
    report = import_people(root, source="tests")
    assert report.without_consent == ["cy", "dee"]

    def stated() -> dict[str, Any]:
        return {one.name: (one.consent_uses, one.consent_stated_in) for one in IdentityGroup.objects.all()}

    world = (list(USES), "the portrait world")
    cards = {"ada": (["show", "train"], "identity.json"), "bob": ([], "identity.json"), "eve": world}
    assert stated() == cards | {"cy": (None, ""), "dee": (None, "")}
    assert IdentityGroup.objects.get(name="dee").consent_note == "all of it, for research"
    said = run("import_identities", root, "--source", "tests", "--consent", "show")
    now = stated()
    assert now == cards | dict.fromkeys(("cy", "dee"), (["show"], "import_identities --consent"))
    assert said["consent_unknown"] == "of nobody"
    (root / "ada" / "identity.json").write_text('{"consent": ["publish"]}')
    said = run("import_identities", root, "--source", "tests", "--consent", "publish")
    assert stated() == now
    assert any(
        "ada: bad_card: has consent to show, train here and to publish in" in x for x in said["rejected"]
    )
    assert AuditEvent.objects.filter(verb="state_consent").count() == 5


@pytest.mark.parametrize("text", ["shwo", "show,,train", ""])
def test_a_use_that_is_none_is_named(tmp_path: Path, text: str):
    person_folder(tmp_path / "people", "ada")
    with pytest.raises(CommandError, match="the uses are show, train, evaluate, publish, or none"):
        call_command("import_identities", str(tmp_path / "people"), f"--consent={text}")
    assert not IdentityGroup.objects.exists()


def test_the_page_states_consent_by_name_and_finds_people_by_it():
    lea, person = make_user("lea", role="lead"), make_group(**forget(None, Use.SHOW), truth=None)
    other = make_group()
    lead, address = browser_of(lea), f"/people/{person.pk}/"
    page = lead.get(address).content.decode()
    assert "not stated" in page and person.pseudonym in page
    form = {"source": person.source, "licence": "", "consent_note": "", "consent_expires_on": ""}
    lead.post(f"{address}describe/", form | {"consent": "stated", "consent_uses": ["train", "show"]})
    person.refresh_from_db()
    assert (person.consent_uses, person.consent_stated_by) == (["show", "train"], lea)
    assert "Stated by lea" in lead.get(address).content.decode()

    def found(query: str) -> set[str]:
        page = lead.get(f"/people/?{query}").content.decode()
        return {one.name for one in (person, other) if f">{one.name}<" in page}

    assert found("consent=train") == {person.name, other.name}
    assert found("consent=no-publish") == found(f"search={person.pseudonym}") == {person.name}
    assert found("consent=unknown") == set()
    lead.post(f"{address}describe/", form | {"consent": "stated"})
    assert found("consent=refused") == {person.name}
    lead.post(f"{address}describe/", form)
    person.refresh_from_db()
    assert (person.consent_uses, person.consent_stated_by, person.consent_stated_at) == (None, None, None)
    assert found("consent=unknown") == {person.name}


# -- what leaves the site ------------------------------------------------------------------------------------


def test_nothing_that_leaves_the_site_names_a_person(tmp_path: Path):
    """Neither by the folder's name, nor by what their files were called, nor by a note."""
    named = {"name": "annabel-lee", "consent_note": "annabel signed", "truth": None}
    round = dominant_round(person := make_group(**named))
    make_reference(person, source_name="annabel-at-sea.mp4")
    held_out = make_group(**named | {"source": "elsewhere", "split": Split.EVAL})
    place = a_set_of(held_out, tmp_path)
    export_dataset(tmp_path / "dataset")
    frozen = export_round(round)
    run("export_pairs", "--round", round.name, "--publish", "--format", "trl", "--out", tmp_path / "trl")
    folders = [place, tmp_path / "dataset", tmp_path / "trl", site.STORAGE_ROOT / frozen.folder]
    pseudonyms = {person.pseudonym, held_out.pseudonym}
    assert len(pseudonyms) == 2
    for folder in folders:
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert not any("annabel" in str(path.relative_to(folder)) for path in files)
        assert not any(b"annabel" in path.read_bytes() for path in files), folder
        told = b"".join(path.read_bytes() for path in files if path.suffix in (".jsonl", ".parquet", ".json"))
        assert any(pseudonym.encode() in told for pseudonym in pseudonyms), folder
    assert IdentityGroup.objects.get(pseudonym=person.pseudonym) == person


@pytest.mark.django_db(transaction=True)
def test_the_migration_keeps_the_text_and_guesses_nothing():
    """The words of 0.1.0 become notes; only drawn people have stated anything. It can be taken back."""
    newest = MigrationExecutor(connection).loader.graph.leaf_nodes("annotate")
    before = [("annotate", "0001_initial")]
    try:
        MigrationExecutor(connection).migrate(before)
        state = MigrationExecutor(connection).loader.project_state(before)
        old = state.apps.get_model("annotate", "IdentityGroup")
        words = "research and training, all of it"
        old.objects.create(name="a", source="tests", consent_scope=words)
        old.objects.create(name="b", source="tests")
        drawn = {"source": "portraits", "consent_scope": "synthetic", "truth": {"identity_seed": 1}}
        old.objects.create(name="drawn", **drawn)
        MigrationExecutor(connection).migrate(newest)
        rows = {one.name: one for one in IdentityGroup.objects.all()}
        assert [rows[name].consent_uses for name in ("a", "b", "drawn")] == [None, None, Use.values]
        assert rows["a"].consent_note == words
        assert rows["drawn"].consent_stated_in == "the portrait world" and rows["drawn"].consent_stated_at
        assert len({one.pseudonym for one in rows.values()}) == 3
        assert all(is_pseudonym(one.pseudonym) for one in rows.values())
        MigrationExecutor(connection).migrate(before)
        assert old.objects.get(name="a").consent_scope == words
    finally:
        MigrationExecutor(connection).migrate(newest)


def test_the_demo_on_a_folder_asks_for_a_statement(tmp_path: Path, settings: Any):
    """Without one it says in one line how to make it; with one it goes on to the pictures."""
    settings.VAR_DIR = tmp_path
    person_folder(tmp_path / "people", "ada")
    with pytest.raises(CommandError) as refused:
        call_command("demo", "--identities", str(tmp_path / "people"))
    assert "Consent to show is not stated for ada" in str(refused.value)
    assert "CONSENT=show,train make demo" in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(CommandError, match="nobody has a usable reference to draw from"):
        call_command("demo", "--identities", str(tmp_path / "people"), "--consent", "show,train")
    assert IdentityGroup.objects.get().consent_uses == ["show", "train"]
