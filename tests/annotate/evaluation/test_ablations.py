"""Tables of several systems: ablations and other models, on which inputs, and what is left out and why."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from annotate.api.serializers import RunShown
from annotate.core.errors import RoundError
from annotate.evaluation import evaluations
from annotate.evaluation.evaluations import Table, queue_evaluation, queue_table
from annotate.evaluation.inputs import benchmark_set, held_out_people, metrics_request, standard_prompt
from annotate.evaluation.tables import evaluation_tables
from annotate.jobs.queries import done_evaluation
from annotate.loop.loop import advance_round
from annotate.models import DifferentialPrompt, Reference, Round, Run
from generator.frozen_set import MediaFile
from generator.portraits.world import CHECKPOINT, ELEMENT_STATES
from generator.records import ELEMENTS, ReferenceKind
from rlhf.evaluation.benchmark.set import Card, write_benchmark
from rlhf.evaluation.records import EvaluationInstance
from tests.annotate.evaluated import RESULT, request_of, round_of_the_shipped_model, tuned
from tests.factories import (
    make_group,
    make_instance,
    make_model,
    make_prompt,
    make_round,
    write_test_clip,
)
from tests.runs import end

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def ablation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An adapter of the shipped model without primary and differential prompt."""
    folder = tmp_path / "ablation"
    folder.mkdir()
    (folder / "pytorch_lora_weights.safetensors").write_bytes(b"weights")
    monkeypatch.setattr(evaluations, "ABLATION", folder)
    return folder


@pytest.fixture
def round() -> Round:
    return round_of_the_shipped_model()


def ablations(round: Round) -> Table:
    return queue_table(round, held_out_people([0]), with_ablations=True)


def test_the_ablations_are_switches_of_one_model(round, ablation):
    model = tuned(round)
    queued = ablations(round)
    request = request_of(queued.run)
    systems = request["systems"]
    assert queued.left_out == [] and queued.run.candidate == model
    assert request["compare"] == ["baseline", "candidate"] and request["reference"] == "candidate"
    assert request["ablations"] == {
        "without_assistants": "w/o AR",
        "baseline": "w/o RL",
        "without_pd": "w/o P&D",
    }
    assert systems["without_assistants"] == {
        "label": "the primary reference alone",
        "model": systems["candidate"]["model"],
        "references": 1,
    }
    full = systems["candidate"]["model"]["adapters"]
    assert len(full) == 1 and systems["baseline"]["model"]["adapters"] == []
    assert systems["without_pd"]["model"]["adapters"] == [str(ablation), *full]
    assert systems["without_pd"]["prompts"] == "standard"


def test_before_a_training_only_the_policy_is_taken_apart(round):
    queued = ablations(round)
    request = request_of(queued.run)
    assert set(request["systems"]) == {"candidate", "without_assistants", "without_pd"}
    assert "compare" not in request and queued.run.candidate is None
    (why,) = queued.left_out
    assert why.startswith("w/o RL: tiny is not tuned")
    end(queued.run, table={})
    assert done_evaluation(round) is None, "nothing that was tuned is compared yet"
    model = tuned(round)
    step = advance_round(round)
    assert step.run is not None and step.run.candidate == model


@pytest.mark.parametrize(
    ("base", "has_adapter", "says"),
    [
        ("elsewhere", True, "made for the shipped portrait model, and tiny rests on elsewhere"),
        (str(CHECKPOINT), False, "has no pytorch_lora_weights.safetensors"),
    ],
)
def test_what_cannot_be_taken_away_is_left_out_with_a_reason(ablation, base, has_adapter, says):
    make_instance(make_group(split="eval"))
    if not has_adapter:
        (ablation / "pytorch_lora_weights.safetensors").unlink()
    round = make_round(policy=make_model(name="tiny", base_model=base))
    queued = ablations(round)
    assert "without_pd" not in request_of(queued.run)["systems"]
    assert queued.left_out[1].startswith("w/o P&D: ") and says in queued.left_out[1]


def test_ablations_wait_for_another_evaluation(round):
    model = tuned(round)
    run = queue_evaluation(round, model, seeds=[0])
    with pytest.raises(RoundError, match=r"evaluate-1 is queued and compares something else; wait for it"):
        ablations(round)
    end(run, identity={}, controllability={})
    queued = ablations(round)
    assert ablations(round).run == queued.run, "asked twice, made once"


def test_people_are_shown_by_what_may_be_used_of_them(round):
    """A rejected reference is no part of the person, and nobody is evaluated after their consent."""
    rejected = Reference.objects.filter(group__split="eval").latest("id")
    Reference.objects.filter(pk=rejected.pk).update(reject_reasons=["blurred"])
    make_instance(make_group(split="eval", consent_expires_on="2020-01-01"))
    (asked,) = request_of(ablations(round).run)["instances"]
    assert len(asked["references"]) == 3 and len(asked["id_group"]) == 2
    assert asked["identity"] == f"person-{rejected.group_id}"
    assert asked["changed"] == ["background"] and set(asked["expected"]) == set(ELEMENTS)


def test_a_standard_prompt_says_what_changes_and_half_of_the_rest():
    def caption(number: int) -> str:
        told = [{"element": e, "target": f"look {number}", "changed": e == "clothing"} for e in ELEMENTS]
        return standard_prompt(DifferentialPrompt(elements=told))

    captions = [caption(number) for number in range(100)]
    assert all(f"Clothing: look {number}." in said for number, said in enumerate(captions))
    # Six of seven stay, each named with probability 0.5: within four standard deviations of 600 draws.
    named = sum(said.count(":") - 1 for said in captions)
    assert named / 600 == pytest.approx(0.5, abs=4 * (0.25 / 600) ** 0.5)
    assert captions == [caption(number) for number in range(100)], "the same prompt, the same caption"


def test_a_standard_prompt_has_the_words_of_the_drawn_world():
    states = {element: found[1] for element, found in ELEMENT_STATES.items()}
    assert standard_prompt(make_prompt(**states)).startswith(
        "The camera shows a medium shot. The person now has"
    )


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are done as soon as they are sent."""
    monkeypatch.setattr("annotate.management.loop_command.tasks.send_run", lambda run: end(run, **RESULT))


def called(*arguments: str) -> str:
    output = StringIO()
    call_command("evaluate_round", *arguments, stdout=output)
    return output.getvalue()


def test_the_command_prints_the_table_in_miniature(round, worker):
    printed = called("--ablations", "--round", str(round.pk))
    assert "w/o AR" in printed and "45.67 [40.00, 60.00]" in printed
    assert "+4.33 [+1.00, +8.00]  paper +0.84  holds" in printed
    assert "left out: \n  w/o RL: tiny is not tuned" in printed and "61.5" in printed
    told = json.loads(called("--ablations", "--round", str(round.pk), "--json"))
    assert told["directions"] == RESULT["directions"] and told["table"] == RESULT["table"]


def test_a_result_of_an_earlier_version_is_shown_in_the_same_way():
    former = json.dumps(RESULT).replace('"systems":', '"arms":').replace('"system":', '"arm":')
    now, before = (Run(folder="evaluate-1", result=result) for result in (RESULT, json.loads(former)))
    assert evaluation_tables(before) == evaluation_tables(now)
    assert RunShown(before).data["result"] == RunShown(now).data["result"] == RESULT


@pytest.mark.django_db(transaction=True)
def test_the_command_works_where_no_worker_runs(round, monkeypatch, capsys):
    monkeypatch.setattr("annotate.management.loop_command.tasks.send_run", lambda run: None)
    monkeypatch.setattr("annotate.management.loop_command.tasks.has_worker", lambda run: False)
    done_by = []

    def work(run: Run) -> None:
        done_by.append(threading.current_thread())
        end(run, **RESULT)

    monkeypatch.setattr("annotate.management.loop_command.work_here", work)
    assert "45.67" in called("--ablations")
    assert done_by != [threading.main_thread()] and "no worker is running" in capsys.readouterr().err


def test_the_command_says_what_is_missing(round):
    with pytest.raises(CommandError, match="has no tuned model yet"):
        called("--round", str(round.pk))


@pytest.fixture
def drawn_set(tmp_path: Path) -> Path:
    """A benchmark set of one instance in the words of the drawn world."""
    path, sha256 = write_test_clip()
    media = MediaFile(settings.STORAGE_ROOT / path, sha256)
    states = {element: found[0] for element, found in ELEMENT_STATES.items()}
    clip = ((media.name, ReferenceKind.CLIP),)
    asked = EvaluationInstance("a", "", clip, (media.name,), expected=states)
    write_benchmark(tmp_path / "set", Card("ours", "1", "CC0-1.0", "tests", {}), [asked], [3], [media])
    return tmp_path / "set"


def test_other_models_stand_beside_the_rounds_on_a_benchmark_set(round, drawn_set, tmp_path):
    (tmp_path / "theirs").mkdir()
    tuned(round)
    queued = queue_table(round, benchmark_set(drawn_set), entries={"consisid": tmp_path / "theirs"})
    request = request_of(queued.run)
    assert set(request["systems"]) == {"candidate", "baseline", "consisid"}
    assert request["systems"]["consisid"] == {"videos": str(tmp_path / "theirs"), "label": "consisid"}
    assert request["set"]["path"] == str(drawn_set) and "instances" not in request and "seeds" not in request
    assert request["metrics"] == ["oracle", "quality"] and queued.run.candidate is None
    assert "ablations" not in request


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"x": Path("/nowhere")}, "x has no folder /nowhere"),
        ({"baseline": Path("/")}, "cannot be called baseline"),
    ],
)
def test_entries_that_cannot_be_used_are_refused(round, entries, says):
    with pytest.raises(RoundError, match=says):
        queue_table(round, held_out_people([0]), entries=entries)


def test_the_command_prints_other_models_too(round, worker, drawn_set, tmp_path):
    printed = called("--set", str(drawn_set), "--videos", f"theirs={tmp_path}", "--wait")
    assert "Holi (oracle)  45.67 [40.00, 60.00]  50.00 [40.00, 60.00]" in printed
    with pytest.raises(CommandError, match="--videos 'theirs' is no name and folder"):
        called("--videos", "theirs")
    with pytest.raises(CommandError, match="is no benchmark set"):
        called("--set", str(tmp_path / "gone"))


def test_a_site_chooses_its_metrics(round, tmp_path, settings):
    settings.EVALUATION_METRICS = tmp_path / "metrics.json"
    settings.EVALUATION_METRICS.write_text('{"oracle": {}, "rubric": {"repeats": 2}}')
    settings.DETECTORS = replace(settings.DETECTORS, models=tmp_path)
    found = metrics_request(is_drawn=False)
    assert found == {
        "metrics": ["rubric"],  # the oracle knows drawn people only
        "metric_settings": {"rubric": {"repeats": 2}},
        "models_folder": str(tmp_path),
        "allow_non_commercial": False,
    }
    assert request_of(ablations(round).run)["metrics"] == ["oracle", "rubric"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ('["oracle"]', "must hold an object"),
        ('{"fid": {}}', "names 'fid'; there are"),
    ],
)
def test_a_file_of_metrics_that_is_none_is_refused(tmp_path, settings, content, says):
    settings.EVALUATION_METRICS = tmp_path / "metrics.json"
    settings.EVALUATION_METRICS.write_text(content)
    with pytest.raises(ValueError, match=says):
        metrics_request(is_drawn=True)
