"""Exports: frozen, repeatable, and without simulated votes unless they are named."""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from annotate.adjudication.adjudication import adjudicate
from annotate.exports.freezing import export_round
from annotate.judging.resolution import resolve_pair
from annotate.models import Export, PreferencePair, User, VideoPair
from rlhf.export.rule import ExportRule
from rlhf.records import Track, Verdict
from tests.factories import make_instance, make_pair, make_round, make_user
from tests.votes import vote

pytestmark = pytest.mark.django_db


def judged_pair(round, verdicts, *, is_simulated: bool = False) -> VideoPair:
    pair = make_pair(round, make_instance(num_references=2))
    for track, verdict in zip(Track, verdicts, strict=True):
        vote(pair, track, verdict, make_user(is_simulated=is_simulated))
    return pair


@pytest.fixture
def round():
    """One pair that people found dominant, one that machines did, one that conflicts."""
    round = make_round()
    judged_pair(round, (Verdict.FIRST, Verdict.FIRST))
    judged_pair(round, (Verdict.SECOND, Verdict.SECOND), is_simulated=True)
    judged_pair(round, (Verdict.FIRST, Verdict.SECOND))
    return round


def tree(export: Export) -> dict[str, str]:
    folder = Path(settings.STORAGE_ROOT / export.folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def lines(export: Export) -> list[dict]:
    text = (settings.STORAGE_ROOT / export.folder / "pairs.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_it_writes_the_dominant_pairs_in_the_stable_format(round):
    export = export_round(round)
    (line,) = lines(export)
    pair = VideoPair.objects.get(pk=line["pair_id"])
    assert line["win"]["sha256"] == pair.first.sha256 and line["lose"]["sha256"] == pair.second.sha256
    assert line["win"]["seed"] == pair.first.seed
    assert line["id_group"] == pair.instance.group.pseudonym
    assert line["primary_reference"] == line["references"][0]["path"]
    assert line["differential_prompt"] == pair.instance.prompt.text
    assert line["tracks"]["identity"]["verdict"] == "first"
    assert line["model_version"] == round.policy.name
    assert set(tree(export)) >= {"pairs.jsonl", "pairs.parquet", "manifest.json", line["win"]["path"]}


def test_it_leaves_simulated_votes_out_unless_they_are_named(round):
    people, everything = export_round(round), export_round(round, include_simulated=True)
    assert (people.num_pairs, everything.num_pairs) == (1, 2)
    assert people.manifest["reasons"]["simulated votes"] == 1
    assert [line["is_simulated"] for line in lines(everything)] == [False, True]
    assert everything.includes_simulated and not people.includes_simulated


def test_the_same_set_is_the_same_export(round):
    first = export_round(round)
    before = tree(first)
    assert export_round(round) == first
    assert tree(first) == before
    assert Export.objects.count() == 1
    assert not list((settings.STORAGE_ROOT / first.folder).parent.glob("pending-*"))


def test_it_counts_every_pair_that_is_not_exported(round):
    manifest = export_round(round, include_simulated=True).manifest
    assert manifest["joint_states"] == {"conflicting": 1, "dominant": 2}
    (reason,) = manifest["reasons"]
    assert reason.startswith("conflicting: identity favours first")


def test_resolving_again_changes_nothing(round):
    before = list(PreferencePair.objects.order_by("pk").values("joint_state", "chosen", "rejected", "reason"))
    for pair in round.pairs.all():
        resolve_pair(pair.pk)
    assert (
        list(PreferencePair.objects.order_by("pk").values("joint_state", "chosen", "rejected", "reason"))
        == before
    )


def test_the_database_refuses_chosen_without_dominance(round):
    conflicting = PreferencePair.objects.get(joint_state="conflicting")
    with pytest.raises(IntegrityError, match="chosen_only_when_dominant"), transaction.atomic():
        PreferencePair.objects.filter(pk=conflicting.pk).update(chosen=conflicting.pair.first)


VERDICTS = {"a": Verdict.FIRST, "b": Verdict.SECOND, "t": Verdict.TIE, "x": Verdict.BOTH_BAD}
#: What was said of identity and controllability, and which video each rule chooses.
CHOSEN = {
    ExportRule.PARETO: {"aa": "first"},
    ExportRule.IDENTITY: {"aa": "first", "ab": "first", "ba": "second", "at": "first", "ax": "first"},
    ExportRule.CONTROLLABILITY: {"aa": "first", "ab": "second", "ba": "first", "ta": "first"},
    ExportRule.POOLED: {"aa": "first", "at": "first", "ta": "first", "ax": "first"},
}


@pytest.mark.parametrize("rule", ExportRule)
def test_a_rule_exports_what_it_says(rule):
    round = make_round()
    said = ("aa", "ab", "ba", "at", "ta", "ax", "tt", "xx")
    pairs = {judged_pair(round, [VERDICTS[one] for one in word]).pk: word for word in said}
    judged_pair(round, (Verdict.FIRST, Verdict.FIRST), is_simulated=True)
    vote(make_pair(round, make_instance(num_references=2)), Track.IDENTITY, Verdict.FIRST, make_user())

    export = export_round(round, rule=rule)
    found = {}
    for row in lines(export):
        pair = VideoPair.objects.get(pk=row["pair_id"])
        found[pairs[pair.pk]] = "first" if row["win"]["sha256"] == pair.first.sha256 else "second"
        assert {row["win"]["sha256"], row["lose"]["sha256"]} == {pair.first.sha256, pair.second.sha256}
    assert found == CHOSEN[rule]
    assert export.rule == export.manifest["rule"] == rule
    assert export.pairs.count() == export.num_pairs == len(found)
    left_out = export.manifest["reasons"]
    assert left_out["simulated votes"] == 1 and sum(left_out.values()) == len(said) + 2 - len(found)


def test_rules_make_different_sets_of_the_same_pairs(round):
    dominant, pooled = (export_round(round, rule=rule) for rule in (ExportRule.PARETO, ExportRule.POOLED))
    assert lines(dominant) == lines(pooled)
    assert dominant.content_hash != pooled.content_hash


def test_a_word_counts_instead_of_the_votes_below_it():
    round = make_round(votes_wanted=3)
    pair = make_pair(round, make_instance(num_references=2))
    for track in Track:
        for verdict in (Verdict.FIRST, Verdict.FIRST, Verdict.SECOND):
            vote(pair, track, verdict, make_user())
    lead = make_user(role=User.Role.LEAD)
    adjudicate(pair, {Track.IDENTITY: Verdict.SECOND, Track.CONTROLLABILITY: Verdict.TIE}, "seen twice", lead)
    (row,) = lines(export_round(round, rule=ExportRule.POOLED))
    assert row["win"]["sha256"] == pair.second.sha256


def test_the_command_exports_by_a_rule_and_names_the_others(round):
    said = io.StringIO()
    call_command("export_pairs", "--round", round.name, "--rule", "identity", "--json", stdout=said)
    told = json.loads(said.getvalue())
    assert (told["rule"], told["pairs"]) == ("identity", 2)
    with pytest.raises(CommandError, match="'best'.*choose from.*pooled"):
        call_command("export_pairs", "--round", round.name, "--rule", "best")
