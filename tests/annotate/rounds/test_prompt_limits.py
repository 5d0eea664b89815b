"""What a model would not read of a prompt: counted where it is written, left out where it is planned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import IntegrityError, transaction

from annotate.core.errors import RoundError
from annotate.evaluation.comparisons import start_comparison
from annotate.evaluation.evaluations import queue_evaluation, queue_table
from annotate.evaluation.inputs import held_out_people
from annotate.exports.freezing import export_round
from annotate.jobs.runs import queue_run, run_dir
from annotate.judging.slots import ask_for_votes, lease_slot, open_slots
from annotate.models import (
    DifferentialPrompt,
    Instance,
    ModelState,
    ModelVersion,
    Round,
    RunStatus,
    Slot,
    VideoPair,
    VideoSample,
)
from annotate.people import prompt_reader_queries as prompt_queries
from annotate.people.dataset_import import import_dataset
from annotate.people.datasets import export_dataset
from annotate.people.instances import build_instances
from annotate.prompts.prompt_runs import readers_request
from annotate.prompts.prompts import PromptEdit, PromptError, edit_prompt
from annotate.rounds import tasks
from annotate.rounds.prompt_limits import learn_limit, learn_limits
from annotate.rounds.rounds import plan_pairs, start_round
from annotate.rounds.sampling import queue_sampling
from annotate.training.dpo import register_adapter
from annotate.training.queries import pair_facts, pair_set
from generator.instances import Draw
from generator.portraits.world import CHECKPOINT
from generator.rundir import RunDir
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.preflight.checks import find_warnings
from rlhf.export.rule import ExportRule
from rlhf.records import Track, Verdict
from tests.annotate.conftest import browser_of
from tests.annotate.described_people import import_described
from tests.annotate.jobs_done import do_jobs
from tests.factories import make_group, make_instance, make_model, make_pair, make_round, prompt_form
from tests.versions import import_model
from tests.votes import vote

pytestmark = pytest.mark.django_db

#: Of the shipped model.
LIMIT = 64
LONG = "a beach at night " * 30
FOREIGN = "a 帽子"


@pytest.fixture
def shipped() -> ModelVersion:
    return import_model(str(CHECKPOINT))


def model_that_reads(tmp_path: Path, limit: int) -> ModelVersion:
    """The shipped tokenizer under another limit, as a version that was registered before limits were kept."""
    folder = tmp_path / f"reads-{limit}"
    shutil.copytree(CHECKPOINT / "tokenizer", folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"max_sequence_length": limit}))
    return make_model(base_model=str(folder), name=f"reads-{limit}")


def test_an_imported_model_knows_how_it_reads_also_without_its_folder(tmp_path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(CHECKPOINT, folder)
    version = import_model(str(folder))
    assert (version.max_tokens, version.special_tokens) == (LIMIT, 1)
    shutil.rmtree(folder)
    reader = prompt_queries.reader_of(ModelVersion.objects.get())
    assert reader is not None and reader.read("a red shirt").limit == LIMIT
    with pytest.raises(IntegrityError, match="reads_prompts_as_a_whole"), transaction.atomic():
        ModelVersion.objects.update(tokenizer_sha256="")


def test_what_was_trained_reads_as_its_parent(shipped) -> None:
    round = make_round(policy=shipped)
    pair = make_pair(round)
    for track in Track:
        vote(pair, track, Verdict.FIRST)
    export = export_round(round)
    run = queue_run(round, "dpo", lambda folder: {}, actor=None, export=export)
    child = register_adapter(run, {"adapter": "adapter", "adapter_sha256": "0" * 64})
    names = ("max_tokens", "special_tokens", "tokenizer_sha256")
    assert [getattr(child, name) for name in names] == [getattr(shipped, name) for name in names]


def test_versions_from_before_are_learned_by_whoever_sees_their_files(tmp_path) -> None:
    late, lost = model_that_reads(tmp_path, 40), make_model()
    tasks.learn_limits()
    late.refresh_from_db()
    lost.refresh_from_db()
    assert (late.max_tokens, lost.max_tokens) == (40, None)
    assert not learn_limits() and not learn_limit(late), "once is enough"
    (tmp_path / "reads-40" / "tokenizer" / "tokenizer.json").write_text("{}")
    assert make_model(base_model=str(tmp_path / "reads-40"), name="damaged") and not learn_limits()


# -- where prompts are written -----------------------------------------------------------------------


def test_an_edit_that_the_model_would_cut_is_refused_and_stays_in_the_form(lea, shipped) -> None:
    instance = make_instance()
    page = f"/instances/{instance.pk}/prompt/"
    tokens = prompt_queries.reader_of(shipped).read(instance.prompt.text).tokens
    assert f"{tokens} of {LIMIT} tokens" in browser_of(lea).get(page).content.decode()
    answer = browser_of(lea).post(page, prompt_form(instance, text=LONG))
    said = answer.content.decode()
    assert answer.status_code == 422 and LONG in said
    assert f"tokens and the model reads {LIMIT}" in said and "would be cut; shorten it by" in said
    instance.refresh_from_db()
    assert instance.prompt.supersedes is None


def test_an_unknown_word_is_warned_about_and_stored(lea, shipped) -> None:
    instance = make_instance()
    answer = browser_of(lea).post(
        f"/instances/{instance.pk}/prompt/", prompt_form(instance, text=FOREIGN), follow=True
    )
    instance.refresh_from_db()
    assert instance.prompt.text == FOREIGN
    (message,) = answer.context["messages"]
    assert (
        "leaves the instance out" in str(message)
        and "does not know" in str(message)
        and "帽子" in str(message)
    )


def test_tokens_are_counted_while_one_types_for_leads_only(lea, ana, shipped) -> None:
    answer = browser_of(lea).post("/people/prompts/tokens/", {"text": FOREIGN}).content.decode()
    assert f"5 of {LIMIT} tokens" in answer and "帽子" in answer and "<html" not in answer
    reading = prompt_queries.reader_of(shipped).read(LONG)
    answer = browser_of(lea).post("/people/prompts/tokens/", {"text": LONG}).content.decode()
    assert f"{reading.tokens} of {LIMIT} tokens" in answer and "would be cut" in answer
    assert browser_of(ana).post("/people/prompts/tokens/", {"text": "a"}).status_code == 404
    assert browser_of(lea).get("/people/prompts/tokens/").status_code == 405


def test_models_differ_and_only_those_in_use_count(lea, shipped, tmp_path) -> None:
    instance, edit = make_instance(), PromptEdit({"background": "a beach"}, {"background": "A beach."}, LONG)
    wide = model_that_reads(tmp_path, 300)
    unknown = make_model()
    edited = edit_prompt(instance, instance.prompt_id, edit, lea)
    _, warning = prompt_queries.readers_in_use().look_at(LONG)
    assert warning.startswith(f"{shipped}: the prompt has"), "nobody knows how the others read"
    learn_limits()
    assert {model for model, _ in prompt_queries.readers_in_use().count(LONG)} == {shipped.name, wide.name}
    ModelVersion.objects.filter(pk__in=[wide.pk, unknown.pk]).update(state=ModelState.ARCHIVED)
    with pytest.raises(PromptError, match=f"the model reads {LIMIT}"):
        edit_prompt(
            instance, edited.prompt_id, PromptEdit(edit.targets, edit.statements, f"{LONG} again"), lea
        )


def test_before_a_version_is_registered_the_model_of_the_settings_counts() -> None:
    readers = prompt_queries.readers_in_use()
    assert readers.is_complete and [reading.limit for _, reading in readers.count("a")] == [LIMIT]


def test_building_leaves_out_what_no_model_reads(tmp_path) -> None:
    import_described(tmp_path / "people")
    short = model_that_reads(tmp_path, 12)
    learn_limits()
    report = build_instances(Draw(count=3, seed=0))
    assert report.new_instances == Instance.objects.count()
    assert report.new_instances + len(report.left_out) == 6 and report.left_out
    reader = prompt_queries.reader_of(ModelVersion.objects.get(pk=short.pk))
    assert not any(reader.read(one.prompt.text).cut for one in Instance.objects.all())
    assert all("the model reads 12" in line and "would be cut" in line for line in report.left_out)


def test_a_copy_of_a_dataset_is_whole_and_says_what_is_not_read_here(tmp_path) -> None:
    import_described(tmp_path / "people")
    build_instances(Draw(count=1, seed=0))
    export_dataset(tmp_path / "set")
    number = Instance.objects.count()
    Instance.objects.all().delete()
    model_that_reads(tmp_path, 4)
    learn_limits()
    report = import_dataset(tmp_path / "set")
    assert report.new["instances"] == number == len(report.not_read)
    assert all("the model reads 4" in line for line in report.not_read)


def test_models_that_write_prompts_are_told_who_reads_them(shipped) -> None:
    folder = RunDir(settings.STORAGE_ROOT / "runs" / "people" / "prompts-1")
    (asked,) = readers_request(folder).values()
    assert asked["max_tokens"] == LIMIT and folder.resolve(asked["tokenizer"]).is_file()
    make_model()
    assert readers_request(folder) == {}, "a model that nobody knows may read any"


# -- where they are planned and sampled ---------------------------------------------------------------


def instances_of(*texts: str) -> list[Instance]:
    made = [make_instance(make_group(split="train")) for _ in texts]
    for instance, text in zip(made, texts, strict=True):
        prompt = DifferentialPrompt.objects.create(
            text=text, elements=instance.prompt.elements, method="tests", supersedes=instance.prompt
        )
        Instance.objects.filter(pk=instance.pk).update(prompt=prompt)
        instance.refresh_from_db()
    return made


def test_a_round_leaves_out_what_its_model_would_not_read_and_names_it(shipped, capsys) -> None:
    good, long, foreign = instances_of("a red shirt", LONG, FOREIGN)
    call_command("start_round", "one", "--json", policy=shipped.name)
    said = json.loads(capsys.readouterr().out)
    assert (said["new_pairs"], len(said["left_out"])) == (1, 2)
    for instance, why in ((long, "would be cut"), (foreign, "does not know")):
        assert any(f"instance {instance.pk} of" in line and why in line for line in said["left_out"])
    round = Round.objects.get()
    assert [pair.instance for pair in round.pairs.all()] == [good]
    with pytest.raises(RoundError, match=f"1 instance is left out.*instance {long.pk} of .* edit it"):
        plan_pairs(round, [good, long])


def test_the_limit_is_that_of_the_rounds_model(shipped, tmp_path) -> None:
    instances = instances_of(LONG)
    wide = model_that_reads(tmp_path, 300)
    learn_limits()
    assert plan_pairs(start_round("wide", ModelVersion.objects.get(pk=wide.pk)), instances) == 1
    with pytest.raises(RoundError, match=f"reads {LIMIT}"):
        plan_pairs(start_round("narrow", shipped), instances)


def test_the_next_round_and_a_comparison_tell_what_they_leave_out(lea, tmp_path) -> None:
    parent = model_that_reads(tmp_path, 300)
    learn_limits()
    parent.refresh_from_db()
    first = make_round(policy=parent)
    good, long = judged_pairs(first, "a red shirt", LONG)
    run = queue_run(first, "dpo", lambda folder: {}, actor=None, export=export_round(first))
    child = register_adapter(run, {"adapter": "adapter", "adapter_sha256": "0" * 64})
    ModelVersion.objects.filter(pk=child.pk).update(max_tokens=LIMIT)  # as of another text encoder
    browser_of(lea).post(f"/models/{child.pk}/next-round/", {"name": "second"})
    assert f"instance {long.instance_id} of" in do_jobs().outcome
    second = Round.objects.get(name="second")
    assert [pair.instance for pair in second.pairs.all()] == [good.instance]
    type(long.instance.group).objects.update(split="eval")
    child.refresh_from_db()
    assert [pair.instance for pair in start_comparison(child).pairs.all()] == [good.instance]


def test_sampling_fails_what_was_planned_before_and_asks_for_the_rest(shipped) -> None:
    round = make_round(policy=shipped)
    good, long = (make_pair(round, one, is_made=False) for one in instances_of("a red shirt", LONG))
    run = queue_sampling(round)
    assert run is not None
    asked = {int(one["sample_id"]) for one in run_dir(run).read_request()["samples"]}
    assert asked == {good.first_id, good.second_id}
    for sample in (long.first, long.second):
        sample.refresh_from_db()
        assert f"the model reads {LIMIT}" in sample.error
    type(run).objects.filter(pk=run.pk).update(status=RunStatus.CANCELLED)
    VideoSample.objects.filter(pk__in=asked).update(path="a", sha256="b")
    assert queue_sampling(round, retry_failed=True) is None, "no model is loaded for what it cannot read"


def test_the_rounds_page_names_what_failed(lea, shipped) -> None:
    round = make_round(policy=shipped)
    pair = make_pair(round, instances_of(LONG)[0], is_made=False)
    queue_sampling(round)
    page = browser_of(lea).get(f"/rounds/{round.pk}/").content.decode()
    assert f'2 videos, of <a href="/instances/{pair.instance_id}/prompt/">' in page
    assert f"the model reads {LIMIT}" in page


def judged_pairs(round: Round, *texts: str) -> list[VideoPair]:
    """Pairs that are better on both tracks."""
    pairs = []
    for instance in instances_of(*texts):
        pairs.append(make_pair(round, instance))
        for track in [*Track] * round.votes_wanted:
            vote(pairs[-1], track, Verdict.FIRST)
    return pairs


# -- what was made before limits were known ------------------------------------------------------------


def test_pairs_of_prompts_that_were_cut_are_neither_shown_nor_exported(ana, lea, tmp_path) -> None:
    late = model_that_reads(tmp_path, LIMIT)
    round = make_round(policy=late, votes_wanted=2)
    good, long = judged_pairs(round, "a red shirt", LONG)
    before = export_round(round)
    waiting = make_pair(round, instances_of(LONG)[0])
    assert before.num_pairs == 2 and Slot.objects.filter(pair=waiting, judged_at=None).exists()
    learn_limits()
    assert not Slot.objects.filter(pair=waiting, judged_at=None).exists()
    assert lease_slot(ana, Track.CONTROLLABILITY) is None
    ask_for_votes([(long, Track.IDENTITY, 1)])
    waiting.refresh_from_db()
    open_slots([waiting])
    assert lease_slot(ana, Track.IDENTITY) is None and "was not read whole" in waiting.preference.reason
    for rule in ExportRule:
        assert [one.pair for one in export_round(round, rule=rule).pairs.all()] == [good]
    facts = pair_facts(round, pair_set(round, before, include_simulated=False))
    assert len(facts.unread) == 1 and str(long) in facts.unread[0]
    warning = next(
        warning for warning in find_warnings(facts, FlowDPOConfig()) if warning.name == "unread_prompts"
    )
    assert warning.blocks and "Export the round again" in warning.remedy
    assert "2 pairs taken back" in browser_of(lea).get(f"/rounds/{round.pk}/").content.decode()
    long.refresh_from_db()
    assert long.slots.exclude(judged_at=None).count() == 4, "votes stay"


def test_whoever_looks_at_such_a_pair_may_still_answer(ana, tmp_path) -> None:
    late = model_that_reads(tmp_path, LIMIT)
    make_pair(make_round(policy=late), instances_of(LONG)[0])
    held = lease_slot(ana, Track.IDENTITY)
    learn_limits()
    assert list(Slot.objects.all()) == [held]


# -- evaluations ------------------------------------------------------------------------------------


def test_an_evaluation_says_which_inputs_become_holes(shipped) -> None:
    round = make_round(policy=shipped)
    good, long = instances_of("a red shirt", LONG)
    type(good.group).objects.update(split="eval")
    table = queue_table(round, held_out_people([0], [good, long]))
    assert (
        [line for line in table.left_out if "would be cut" in line]
        == [line for line in table.left_out if line.startswith(f"instance {long.pk} for {shipped}: ")]
        != []
    )
    with pytest.raises(RoundError, match="1 instance is left out"):
        queue_evaluation(round, shipped, seeds=[0], baseline=make_model(), instances=[long])
