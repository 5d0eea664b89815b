"""Consent is stated by cards, options and pages, and means the same to queries and statements."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as site
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from annotate.exports.freezing import export_round
from annotate.models import AuditEvent, IdentityGroup, Split, Use
from annotate.people.datasets import export_dataset
from annotate.people.identities import import_people
from annotate.privacy.consent_queries import given, refusal
from generator.curation.card import USES
from generator.media.photo import write_photo
from tests.annotate.conftest import browser_of
from tests.annotate.privacy.consent.entry_points import day, dominant_round, end, forget, refuse
from tests.annotate.privacy.consent.evaluating import a_set_of
from tests.factories import make_group, make_reference, make_user
from tests.generator.media.media_files import picture
from tests.runs import run

pytestmark = pytest.mark.django_db


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
