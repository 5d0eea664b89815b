"""Benchmark sets of curated people: who is in, who writes, and that asking again changes nothing."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from annotate.models import AuditEvent, Choice, CurationDecision, IdentityGroup, Reference, Split, Use
from annotate.people.queries import primary_of
from annotate.privacy.erasure import erase_identity
from rlhf.evaluation.benchmark.set import read_benchmark
from rlhf.evaluation.records import Task
from tests.annotate.described_people import import_described
from tests.factories import make_user
from tests.generator.prompts.openai_server import KEY, Script, openai_server
from tests.runs import run

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

LINES = """\
The person walks along a beach.\tA person walks along a beach at noon.
The person nods, still in [the same clothes] and with [round glasses].

The person reads in a forest.
The person waves.
"""


@pytest.fixture
def people(tmp_path: Path) -> dict[str, IdentityGroup]:
    """Mia and Tom with five references each; Mia's primary was chosen by hand."""
    import_described(tmp_path / "people", split="benchmark")
    found = {group.name: group for group in IdentityGroup.objects.all()}
    found["mia"].primary = found["mia"].references.get(source_name="body.png")
    found["mia"].save()
    return found


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "prompts.txt"
    path.write_text(LINES)
    return path


def make(folder: Path, *options: Any) -> dict[str, Any]:
    return run("make_benchmark", folder, "--identities", 2, *options)


def test_a_set_of_curated_people(people, prompts, tmp_path):
    said = make(tmp_path / "set", "--prompts-file", prompts, "--prompts", 3, 1, "--seeds", 0, 1)
    assert (said["instances"], said["identities"], said["new"], said["left_out"]) == (4, 2, True, {})
    assert (said["name"], said["licence"]) == ("set", "CC-BY-4.0")
    made = read_benchmark(tmp_path / "set")
    assert made.identity == {"name": "set", "sha256": said["sha256"]} and made.seeds == (0, 1)
    assert [item.instance_id for item in made.instances] == [
        "ipt2v-001",
        "ipt2v-002",
        "ipt2v-003",
        "iept2v-001",
    ]
    first, *_, last = made.instances
    assert first.prompt == "The person walks along a beach."
    assert first.standard_prompt == "A person walks along a beach at noon." and not first.elements
    assert last.prompt == "The person nods, still in the same clothes and with round glasses."
    assert last.task is Task.IEPT2V and [e.name for e in last.elements] == [
        "the same clothes",
        "round glasses",
    ]
    by_pseudonym = {group.pseudonym: group for group in people.values()}
    assert Counter(item.identity for item in made.instances) == dict.fromkeys(by_pseudonym, 2)
    for item in made.instances:
        group = by_pseudonym[item.identity]
        shown = [Path(path).stem for path, _ in item.references]
        assert set(shown) == set(group.references.values_list("sha256", flat=True))
        chosen = primary_of(group)
        assert chosen is None or shown[0] == chosen.sha256
        assert [path for path, _ in item.references] == list(item.id_group)
    assert primary_of(people["mia"]) is not None
    events = AuditEvent.objects.filter(verb="make_benchmark")
    assert {event.row_id for event in events} == {group.pk for group in people.values()}
    assert {event.detail["sha256"] for event in events} == {said["sha256"]}


def test_making_it_again_changes_nothing(people, prompts, tmp_path):
    options = ("--prompts-file", prompts, "--prompts", 3, 1)
    first = make(tmp_path / "set", *options)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")}
    again = make(tmp_path / "set", *options)
    assert again == first | {"new": False}
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "set").rglob("*")} == before
    assert AuditEvent.objects.filter(verb="make_benchmark").count() == 2
    other = make(tmp_path / "copy", *options, "--name", "set")
    assert other["sha256"] == first["sha256"]
    prompts.write_text(LINES.replace("waves", "sings"))
    with pytest.raises(CommandError, match="holds a set of other people, prompts or numbers"):
        make(tmp_path / "set", *options)


def test_erasing_somebody_names_the_sets_that_hold_them(people, prompts, tmp_path):
    said = make(tmp_path / "set", "--prompts-file", prompts, "--prompts", 3, 1)
    report = erase_identity("mia", really=True)
    assert report["benchmark_sets_that_left"] == [f"set ({said['sha256']})"]
    assert erase_identity("tom")["benchmark_sets_that_left"] == report["benchmark_sets_that_left"]
    assert "mia" not in str(AuditEvent.objects.get(verb="erase_identity").detail)


def test_who_is_left_out(people, prompts, tmp_path):
    def says(*options: Any) -> str:
        with pytest.raises(CommandError) as refused:
            make(tmp_path / "set", "--prompts-file", prompts, "--prompts", 1, 1, *options)
        assert not (tmp_path / "set").exists()
        return str(refused.value)

    dropped = Reference.objects.filter(group__name="tom").first()
    CurationDecision.objects.create(reference=dropped, choice=Choice.DROP, author=make_user())
    assert "2 people are asked for and split benchmark has 1 that fit; fewer than 5 usable refer" in says()
    IdentityGroup.objects.filter(name="mia").update(consent_uses=["evaluate"])
    assert "has 0 that fit; no consent to evaluate and publish: 1; fewer than 5" in says()
    assert "Consent to evaluate and publish is refused for mia; leave them out" in says()
    assert "split eval has 0 that fit; import more" in says("--split", "eval")
    ended = timezone.localdate() - timedelta(days=1)
    IdentityGroup.objects.update(consent_uses=Use.values, consent_expires_on=ended)
    assert "has 0 that fit; no consent to evaluate and publish: 2" in says("--references", 4)
    IdentityGroup.objects.update(consent_expires_on=None)
    said = make(tmp_path / "set", "--prompts-file", prompts, "--prompts", 1, 1, "--references", 4)
    assert said["identities"] == 2
    assert all(len(item.references) == 4 for item in read_benchmark(tmp_path / "set").instances)


def test_where_the_prompts_come_from_must_be_said(people, prompts, tmp_path, settings):
    settings.PROMPT_MODELS = None
    for options, says in [
        ((), "say where the prompts come from"),
        (("--ask-models", "--prompts-file", prompts), "say where the prompts come from"),
        (("--ask-models",), "PROMPT_MODELS is not set"),
        (
            ("--prompts-file", prompts, "--prompts", 3, 2),
            r"has 1 prompts of IEPT2V and 2 .*\(in \[brackets\]",
        ),
        (("--prompts-file", tmp_path / "none"), "No such file"),
    ]:
        with pytest.raises(CommandError, match=says):
            make(tmp_path / "set", *options)
    prompts.write_text(f"{LINES}The person  waves.\n")
    with pytest.raises(CommandError, match=r"'The person waves\.' is there twice"):
        make(tmp_path / "set", "--prompts-file", prompts, "--prompts", 3, 1)
    prompts.write_bytes(b"The person says caf\xe9.\n")
    with pytest.raises(CommandError, match=r"prompts\.txt is no text in UTF-8"):
        make(tmp_path / "set", "--prompts-file", prompts)
    models = tmp_path / "models.json"
    models.write_text(
        json.dumps({"describer": {"backend": "portraits"}, "comparer": {"backend": "portraits"}})
    )
    settings.PROMPT_MODELS = models
    with pytest.raises(CommandError, match="names no language model that writes"):
        make(tmp_path / "set", "--ask-models")


@pytest.fixture
def script(tmp_path: Path, settings):
    with openai_server() as (address, script):
        (tmp_path / "key").write_text(KEY)
        server = {"backend": "server", "base_url": address, "api_key_file": "key"}
        models = {
            "describer": {**server, "model": "org/sees"},
            "comparer": {**server, "model": "org/writes"},
            "patience": {"attempts": 2, "first_wait_s": 0.01, "longest_wait_s": 0.02},
        }
        (tmp_path / "models.json").write_text(json.dumps(models))
        settings.PROMPT_MODELS = tmp_path / "models.json"
        yield script


def test_a_language_model_writes(people, script: Script, tmp_path):
    script.first["benchmark_prompts"] = ["http_503", "omitted"]
    with pytest.raises(CommandError, match=r"no answer in 2 attempts.*set\.transcripts\.jsonl has every"):
        make(tmp_path / "set", "--ask-models", "--prompts", 12, 3)
    script.first["benchmark_prompts"] = ["repeated"]
    said = make(tmp_path / "set", "--ask-models", "--prompts", 12, 3)
    made = read_benchmark(tmp_path / "set")
    assert (said["instances"], Counter(item.task for item in made.instances)) == (
        15,
        {Task.IPT2V: 12, Task.IEPT2V: 3},
    )
    assert len({item.prompt for item in made.instances}) == 15, "what came twice was asked for again"
    assert Counter(item.identity for item in made.instances).most_common()[0][1] == 8
    for item in made.instances:
        assert item.standard_prompt.endswith(item.prompt) and item.changed
        kept = [element.name for element in item.elements]
        assert kept == (["hair", "clothes"] if item.task is Task.IEPT2V else [])
        assert not kept or not {"hairstyle", "clothing"} & set(item.changed)
    assert {body["model"] for body in script.bodies} == {"org/writes"}
    assert made.card.created["prompts"] == "org/writes"
    asked = len(script.bodies)
    assert make(tmp_path / "set", "--ask-models", "--prompts", 12, 3) == said | {"new": False}
    assert len(script.bodies) == asked, "nobody is asked again"
    lines = (tmp_path / "set.transcripts.jsonl").read_text().splitlines()
    assert len(lines) == asked and KEY not in "".join(lines)


def test_a_folder_of_something_else_is_refused_before_anybody_is_asked(people, script: Script, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "notes.txt").touch()
    with pytest.raises(CommandError, match="set is no benchmark set"):
        make(tmp_path / "set", "--ask-models")
    assert not script.bodies


def test_a_model_that_repeats_itself_is_refused(people, script: Script, tmp_path):
    script.first["benchmark_prompts"] = ["repeated"] * 50
    with pytest.raises(CommandError, match="org/writes wrote only 1 different prompts of IPT2V and 5"):
        make(tmp_path / "set", "--ask-models", "--prompts", 5, 0)
    assert not (tmp_path / "set").exists()


def test_the_site_makes_no_set_of_people_in_training(people, prompts, tmp_path):
    IdentityGroup.objects.update(split=Split.TRAIN)
    with pytest.raises(CommandError, match="invalid choice: 'train'"):
        call_command("make_benchmark", str(tmp_path / "set"), "--split", "train")
    with pytest.raises(CommandError, match="split benchmark has 0 that fit"):
        make(tmp_path / "set", "--prompts-file", prompts)
