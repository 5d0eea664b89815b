"""Prompts that models write for people: planned, asked over HTTP, stored as instances, and resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotate.jobs import tasks
from annotate.jobs.local_worker import work_here
from annotate.jobs.runs import cancel_run, retry_run, run_dir
from annotate.models import Instance, Reference, Run, RunStatus
from annotate.privacy.erasure import erase_identity
from annotate.prompts.prompt_runs import prompt_models, queue_prompts
from generator.instances import Draw
from generator.records import ELEMENTS
from tests.annotate.conftest import browser_of
from tests.annotate.described_people import import_described
from tests.fleet import messages
from tests.generator.prompts.openai_server import KEY, Script, openai_server

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

#: In this draw no primary is as grey as its target.
DRAW = Draw(count=2, seed=1, num_references=3, with_target=True)
#: To the server all elements differ, but clothing, of equal words, and hairstyle, which it finds alike.
CHANGED = [element for element in ELEMENTS if element not in ("clothing", "hairstyle")]


@pytest.fixture
def served() -> Iterator[tuple[str, Script]]:
    with openai_server() as server:
        yield server


@pytest.fixture
def script(served: tuple[str, Script]) -> Script:
    return served[1]


@pytest.fixture
def people(tmp_path: Path, served: tuple[str, Script], settings) -> None:
    """Mia and Tom, of whom nobody described anything, and a file that says whom to ask."""
    import_described(tmp_path / "people")
    Reference.objects.update(elements=None)
    (tmp_path / "key").write_text(KEY)
    server = {"backend": "server", "base_url": served[0], "api_key_file": "key"}
    models = {
        "describer": {**server, "model": "org/sees", "price": {"prompt": 2.0, "completion": 10.0}},
        "comparer": {**server, "model": "org/reads", "price": {"prompt": 1.0, "completion": 1.0}},
        "concurrency": 1,
        "patience": {"attempts": 2, "first_wait_s": 0.01, "longest_wait_s": 0.02},
    }
    (tmp_path / "models.json").write_text(json.dumps(models))
    settings.PROMPT_MODELS = tmp_path / "models.json"


def execute(run: Run | None) -> Run:
    assert run is not None
    work_here(run)
    run.refresh_from_db()
    return run


def test_prompts_become_instances_with_targets(people, script):
    run = execute(queue_prompts(DRAW)[0])
    assert (run.status, run.error) == (RunStatus.DONE, "")
    instances = Instance.objects.all()
    assert [instance.group.name for instance in instances.order_by("group__name")] == ["mia"] * 2 + [
        "tom"
    ] * 2
    for instance in instances:
        prompt = instance.prompt
        assert [item["element"] for item in prompt.elements if item["changed"]] == CHANGED
        assert [item["similarity"] for item in prompt.elements if item["element"] == "hairstyle"] == [0.9]
        assert prompt.text.count(" in grey ") == len(CHANGED)
        assert prompt.method == "described by sees, compared by reads at 0.6"
        positions = [place.position for place in instance.places.all()]
        assert positions == [0, 1, 2, None] and instance.places.last().reference.is_clip
    assert script.keys == {f"Bearer {KEY}"} and KEY not in (run_dir(run).path / "request.json").read_text()


def test_asking_again_asks_for_nothing(people, script):
    execute(queue_prompts(DRAW)[0])
    asked = sum(script.asked.values())
    run, report = queue_prompts(DRAW)
    assert (run, report.instances, report.new_instances) == (None, 4, 0)
    assert sum(script.asked.values()) == asked


def test_what_was_written_is_kept_and_the_rest_is_asked_for_again(people, script, lea):
    script.first["comparison"] = ["prose", "prose"]
    failed = execute(queue_prompts(DRAW)[0])
    assert failed.status == RunStatus.FAILED and "1 of 4 prompts are missing" in failed.error
    assert Instance.objects.count() == 3
    page = browser_of(lea).get("/people/prompts/").content.decode()
    assert "1 missing" in page and "Ask again" in page
    described = sum(count for subject, count in script.asked.items() if subject.startswith("description"))
    assert retry_run(failed)
    assert execute(failed).status == RunStatus.DONE and Instance.objects.count() == 4
    again = sum(count for subject, count in script.asked.items() if subject.startswith("description"))
    assert again == described
    assert failed.result is not None and failed.result["summary"]["cost"] > 0
    page = browser_of(lea).get("/people/prompts/").content.decode()
    assert "missing" not in page.partition('id="runs"')[2] and "not_json 2" in page


def test_crops_are_described_as_they_will_be_shown(people):
    draw = Draw(count=1, seed=0, num_references=2, with_target=True, is_cropped=True)
    run = execute(queue_prompts(draw)[0])
    assert run.status == RunStatus.DONE
    media = run_dir(run).read_request()["media"]
    for instance in Instance.objects.all():
        primary = instance.places.get(position=0)
        assert primary.recipe is not None and primary.path in media
        target = instance.places.get(position=None).reference
        assert target.path in media


def test_what_is_dropped_meanwhile_makes_no_instance(people):
    run, _ = queue_prompts(DRAW)
    Reference.objects.filter(group__name="tom").update(reject_reasons=["blurred"])
    assert execute(run).status == RunStatus.DONE
    assert {instance.group.name for instance in Instance.objects.all()} == {"mia"}
    Reference.objects.update(reject_reasons=[])
    assert queue_prompts(DRAW)[0] is None, "what was paid for is used once it can be"
    assert Instance.objects.count() == 4


def test_people_found_alike_make_no_instance_and_are_not_asked_about_again(people, script, monkeypatch):
    monkeypatch.setattr("tests.generator.prompts.openai_server.words", lambda element, grey: element)
    run = execute(queue_prompts(DRAW)[0])
    assert run.status == RunStatus.DONE and not Instance.objects.exists()
    assert queue_prompts(DRAW)[0] is None


def test_nothing_that_was_said_of_an_erased_person_stays(people):
    run, _ = queue_prompts(DRAW)
    with pytest.raises(Exception, match="works with files of tom; cancel it"):
        erase_identity("tom", really=True)
    execute(run)
    folder = run_dir(run).path
    assert (folder / "transcripts").exists() and run.metrics.exists()
    erase_identity("tom", really=True)
    assert not folder.exists() and not run.metrics.exists()
    assert {instance.group.name for instance in Instance.objects.all()} == {"mia"}
    assert queue_prompts(DRAW)[0] is None


def test_few_clips_give_few_instances(people):
    Reference.objects.filter(group__name="tom", kind="clip").exclude(source_name="one.mp4").delete()
    wanted = 60
    run, report = queue_prompts(Draw(count=wanted, seed=0, num_references=1, with_target=True))
    assert report.left_out and all("for want of other clips" in line for line in report.left_out)
    pairs = run_dir(run).read_request()["pairs"]
    assert len({pair["pair_id"] for pair in pairs}) == len(pairs) < 2 * wanted
    assert all(pair["primary"] != pair["target"] for pair in pairs)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "must hold a JSON object"),
        ("{}", "describer"),
        ('{"describer": {"backend": "oracle"}, "mode": "one_step"}', "'oracle'"),
    ],
)
def test_a_wrong_file_of_models_is_one_line(tmp_path, settings, text, says):
    settings.PROMPT_MODELS = tmp_path / "models.json"
    settings.PROMPT_MODELS.write_text(text)
    with pytest.raises(ValueError, match=says) as caught:
        prompt_models()
    assert "\n" not in str(caught.value) and "models.json" in str(caught.value)


def test_without_models_the_command_and_the_page_say_what_to_do(lea, settings, tmp_path):
    import_described(tmp_path / "people")
    settings.PROMPT_MODELS = None
    with pytest.raises(CommandError, match="PROMPT_MODELS is not set; name a JSON file"):
        call_command("build_instances", "--ask-models")
    page = browser_of(lea).get("/people/prompts/").content.decode()
    assert "PROMPT_MODELS is not set" in page and "disabled" in page
    assert not Run.objects.exists()


def test_a_lead_asks_from_the_page(people, lea, django_capture_on_commit_callbacks, monkeypatch):
    sent: list[int] = []
    send = lambda: sent.extend(message.shard for message in messages())  # noqa: E731
    monkeypatch.setattr(tasks.send_shards, "delay_on_commit", send, raising=False)
    form = {"per_identity": "2", "references": "3", "split": "", "seed": "1"}
    assert browser_of(lea).post("/people/prompts/", form).status_code == 302
    run = Run.objects.get()
    assert sent == [run.shards.get().pk] and run.round is None and str(run).startswith("prompts-")
    assert browser_of(lea).post(f"/runs/{run.pk}/cancel/").headers["Location"] == "/people/prompts/"
    assert not cancel_run(run)
    for wrong in ({"per_identity": "0"}, {"seed": "-1"}, {"references": "6"}, {"split": "all"}):
        answer = browser_of(lea).post("/people/prompts/", form | wrong)
        assert answer.status_code == 422 and next(iter(wrong.values())) in answer.content.decode()
