"""The registry of models in a real browser."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from annotate.evaluation.version_comparisons import compare_versions
from annotate.models import User
from tests.browser.conftest import Visit, follow_job
from tests.factories import make_group, make_instance
from tests.versions import finish, judged_round, train


def test_a_lead_follows_a_line_promotes_and_goes_on(visit: Visit, lea: User) -> None:
    child = train(judged_round())
    train(judged_round(policy=child))
    page = visit(lea, "/models/")
    held_out = make_instance(make_group(split="eval"))
    comparison = compare_versions(child.parent, child, [held_out], num_seeds=2)
    finish(comparison)
    comparing = ("/models/compare/", f"/models/compare/{comparison.pk}/")
    for path in ("/models/", f"/models/{child.pk}/", f"/exports/{child.export_id}/", *comparing):
        page.goto(path)
        faults = Axe().run(page).response["violations"]
        assert [fault["id"] for fault in faults if fault["impact"] in ("serious", "critical")] == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    page.goto(f"/models/{child.pk}/")
    page.get_by_role("button", name="Promote").click()
    expect(page.get_by_text("The one of its lineage that is meant to be used.")).to_be_visible()
    page.get_by_label("Name").fill("the next one")
    page.get_by_role("button", name="Start the round").click()
    follow_job(page)
    expect(page.get_by_role("heading", level=1, name="the next one")).to_be_visible()
    expect(page.get_by_text(child.name).first).to_be_visible()
