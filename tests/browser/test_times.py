"""Times in the reader's own zone, and in the site's for those without scripts."""

from __future__ import annotations

from datetime import UTC, datetime

from playwright.sync_api import expect

from annotate.models import User
from tests.browser.conftest import Visit
from tests.factories import make_model

AT = datetime(2026, 1, 31, 23, 5, 7, tzinfo=UTC)


def test_a_reader_sees_their_own_zone_with_its_name(visit: Visit, lea: User) -> None:
    version = make_model()
    type(version).objects.update(created_at=AT)
    for zone, shown in (
        ("Asia/Kolkata", "2026-02-01 04:35 GMT+5:30"),
        ("America/New_York", "2026-01-31 18:05 EST"),
        ("UTC", "2026-01-31 23:05 UTC"),
    ):
        page = visit(lea, f"/models/{version.pk}/", timezone_id=zone, locale="en-US")
        time = page.locator(".heading time")
        expect(time).to_have_text(shown)
        expect(time).to_have_attribute("title", "2026-01-31 23:05 UTC")


def test_without_scripts_the_sites_zone_is_named(visit: Visit, lea: User) -> None:
    version = make_model()
    type(version).objects.update(created_at=AT)
    page = visit(lea, f"/models/{version.pk}/", timezone_id="Asia/Kolkata", java_script_enabled=False)
    expect(page.locator(".heading time")).to_have_text("2026-01-31 23:05 UTC")


def test_parts_of_a_page_that_come_later_are_read_too(visit: Visit, lea: User) -> None:
    """As the parts that a page asks for again and again."""
    version = make_model()
    type(version).objects.update(created_at=AT)
    page = visit(lea, "/models/", timezone_id="Asia/Kolkata")
    page.evaluate(
        "(address) => htmx.ajax('GET', address, { target: '#main', select: '#main', swap: 'outerHTML' })",
        f"/models/{version.pk}/",
    )
    expect(page.locator(".heading time")).to_have_text("2026-02-01 04:35 GMT+5:30")
