"""The commands: JSON for machines, one clear line on failure."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from annotate.management import demo
from annotate.models import Instance, Round, User
from annotate.rounds.simulation import SimulatedVoter
from generator.portraits.__main__ import write_person
from tests.factories import make_group, make_instance, make_model, make_pair
from tests.runs import run

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """A drawn person, whom no detector has to find, and a file that is none of theirs."""
    write_person(tmp_path / "mia", 10_000_000, "train")
    (tmp_path / "mia" / "notes.txt").write_text("no clip")
    return tmp_path


def test_they_take_a_folder_to_a_planned_round(people):
    imported = run("import_identities", people, "--source", "tests")
    assert (imported["people"], imported["new_references"], imported["kept"]) == (1, 11, 11)
    assert (imported["left_out"], imported["failed"]) == ({"unsupported": 1}, 0)
    assert imported["rejected"] == [
        "mia/notes.txt: unsupported: " + imported["rejected"][0].split(": ", 2)[2]
    ]
    assert run("build_instances", "--per-identity", 2)["instances"] == 2
    make_model(name="tiny")
    started = run("start_round", "spring", "--votes", 1, "--dpo", '{"beta": 500}')
    assert started == {"round": "spring", "policy": "tiny", "new_pairs": 2, "pairs": 2, "left_out": []}
    assert run("start_round", "spring")["new_pairs"] == 0
    assert Round.objects.get().dpo == {"beta": 500}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("import_identities", "/nowhere"), "/nowhere is not a folder"),
        (("build_instances",), "import people first"),
        (("build_instances", "--per-identity", "0"), "--per-identity is 0"),
        (("build_instances", "--references", "6"), r"references is 6; it must be in \[1, 5\]"),
        (("start_round", "x", "--votes", "0"), "votes_wanted is 0"),
        (("start_round", "x", "--frames", "8"), "num_frames is 8; it must be 4k"),
        (("start_round", "x", "--policy", "gone"), "no model version 'gone'; known: tiny"),
        (("start_round", "x", "--dpo", '{"betta": 1}'), "betta"),
        (("start_round", "x", "--dpo", "{"), "Expecting"),
        (("sample_pairs",), "no open round; rounds: none yet"),
        (("advance_round", "--round", "gone"), "no round 'gone'"),
        (("export_pairs", "--round", "7"), "no round '7'"),
        (("erase_identity", "nobody"), "0 people"),
        (("create_account", "bad name!"), "bad name!"),
    ],
)
def test_a_failure_is_one_line_with_the_value(arguments, says):
    make_model(name="tiny")
    with pytest.raises(CommandError, match=says) as failure:
        call_command(*arguments)
    assert "\n" not in str(failure.value)


def test_an_account_gets_a_random_password():
    made = run("create_account", "lea", "--role", "lead")
    user = User.objects.get(username="lea")
    assert user.is_lead and user.check_password(made["password"])
    assert run("create_account", "ana")["password"] != made["password"]


def test_simulated_annotators_refuse_real_people():
    make_pair(instance=make_instance(make_group(truth=None)))
    with pytest.raises(CommandError, match="real people"):
        call_command("simulate_annotators")


def test_simulated_annotators_must_be_enough():
    make_pair()
    with pytest.raises(CommandError, match="use at least 2"):
        call_command("simulate_annotators", "--annotators", "1")
    with pytest.raises(CommandError, match=r"accuracy is 1\.5"):
        call_command("simulate_annotators", "--accuracy", "1.5")
    assert not User.objects.filter(is_simulated=True).exists()


def test_a_simulated_voter_is_made_of_shares():
    with pytest.raises(ValueError, match="side_bias is -1"):
        SimulatedVoter(0.5, 0, -1)


def test_demo_accounts_keep_their_passwords():
    first = demo.demo_accounts()
    assert [account["username"] for account in first] == ["demo-annotator", "demo-lead"]
    assert demo.demo_accounts() == first
    lead = User.objects.get(username="demo-lead")
    lead.set_password("forgotten")
    lead.save()
    second = demo.demo_accounts()
    assert second[0] == first[0] and second[1] != first[1]
    path = settings.VAR_DIR / "demo" / "accounts.json"
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_failed_instance_count_is_told(people):
    run("import_identities", people, "--source", "tests")
    assert run("build_instances", "--per-identity", 3)["new_instances"] == 3
    assert Instance.objects.count() == 3
