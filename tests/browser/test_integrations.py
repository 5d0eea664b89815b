"""Integrations in a real browser: a participant's whole way without scripts, and a lead's pages."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone
from playwright.sync_api import Page, expect

from annotate.models import EntryLink, User
from annotate.studies import entries
from tests.factories import make_pair, make_round


def serious_faults(page: Page) -> list[str]:
    faults = Axe().run(page).response["violations"]
    return [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")]


def test_a_participant_agrees_judges_and_takes_the_code(visit: Any, transactional_db: None) -> None:
    pair = make_pair(make_round())
    link = EntryLink(
        name="Faces in motion",
        id_parameter="PROLIFIC_PID",
        max_people=5,
        closes_at=timezone.now() + timedelta(days=1),
        consent_text="You will see videos.",
        completion_code="C0DE42",
    )
    entries.make_link(link, pair.round, "identity", 1, None)
    page = visit(None, f"/enter/{link.token}/?PROLIFIC_PID=abc", java_script_enabled=False)
    page.get_by_role("button", name="I agree").click()
    page.get_by_label("Left is better").check()
    page.get_by_role("button", name="Submit").click()
    page.get_by_role("link", name="Go on to your completion code").click()
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_text("C0DE42")).to_be_visible()


def test_axe_finds_no_serious_fault_on_a_participants_way(visit: Any, transactional_db: None) -> None:
    link = EntryLink(
        name="Faces in motion",
        id_parameter="PROLIFIC_PID",
        max_people=5,
        closes_at=timezone.now() + timedelta(days=1),
        consent_text="You will see videos.",
        completion_code="C0DE42",
        completion_url="https://example.org/done",
    )
    entries.make_link(link, make_pair(make_round()).round, "identity", 1, None)
    place = f"/enter/{link.token}/"
    refused = visit(None, place)
    expect(refused.get_by_role("heading", name="You cannot take part")).to_be_visible()
    assert serious_faults(refused) == []
    page = visit(None, f"{place}?PROLIFIC_PID=abc")
    assert serious_faults(page) == []
    page.get_by_role("button", name="I agree").click()
    page.wait_for_selector("#task[data-ready]")
    assert serious_faults(page) == []
    page.goto(place)
    expect(page.get_by_role("link", name="Begin")).to_be_visible()
    assert serious_faults(page) == []
    page.get_by_role("link", name="Begin").click()
    page.wait_for_selector("#task[data-ready]")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    code = page.get_by_role("link", name="Go on to your completion code")
    expect(code).to_be_visible()
    assert serious_faults(page) == []
    code.click()
    expect(page.get_by_role("button", name="Finish")).to_be_visible()
    assert serious_faults(page) == []
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_text("C0DE42")).to_be_visible()
    assert serious_faults(page) == []


def test_a_lead_adds_a_webhook_and_asks_for_a_file(
    visit: Any, lea: User, settings: Any, monkeypatch: Any
) -> None:
    settings.ALLOW_PRIVATE_WEBHOOKS = True
    monkeypatch.setattr("annotate.exports.tasks.write_judgment_file.delay_on_commit", lambda file_id: None)
    page = visit(lea, "/webhooks/")
    page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
    page.get_by_label("a round was opened").check()
    page.get_by_role("button", name="Add").click()
    expect(page.locator(".secret")).to_contain_text("whsec_")
    page.get_by_role("link", name="http://127.0.0.1:9/hook").click()
    expect(page.get_by_text("Nothing yet")).to_be_visible()
    page.get_by_role("button", name="Tell this address nothing any more").click()
    expect(page.get_by_role("status")).to_contain_text("told nothing any more")
    assert serious_faults(page) == []
    page.goto("/judgments/")
    page.get_by_role("button", name="Write a file").click()
    expect(page.get_by_role("button", name="Cancel file")).to_be_visible()
    page.get_by_role("button", name="Cancel file").click()
    expect(page.get_by_text("cancelled")).to_be_visible()
    for path in ("/webhooks/", "/judgments/", "/entry-links/", "/account/token/"):
        page.goto(path)
        assert serious_faults(page) == [], path
