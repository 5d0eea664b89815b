"""No time is printed without its zone, wherever people read one."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.template import Context, Template
from django.utils import timezone

from annotate.database.moments import TO_THE_SECOND, element, in_words
from annotate.models import AppliedThresholds, AuditEvent, Round, User
from tests.annotate.conftest import browser_of
from tests.annotate.pages import LEADS_PAGES, PAGES
from tests.factories import make_pair

AT = datetime(2026, 1, 31, 23, 5, 7, tzinfo=UTC)
TEMPLATES = settings.BASE_DIR / "templates"
TIME = re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b")
ZONE = re.compile(r"(?:\.\d+)?(?:[+-]\d{2}:\d{2}| UTC| CET|Z)")


def zoneless(text: str) -> list[str]:
    """Times in a text that no zone follows; what follows a plus or minus is a zone itself."""
    return [
        text[max(0, found.start() - 30) : found.end() + 10]
        for found in TIME.finditer(text)
        if not ZONE.match(text, found.end()) and text[max(0, found.start() - 1)] not in "+-"
    ]


def test_it_finds_times_without_a_zone() -> None:
    assert zoneless("at 10:31, or 2026-01-31 23:05") != []
    assert zoneless("2026-01-31T23:05:07.123+00:00, 2026-01-31 23:05:07 UTC, 23:05 CET") == []


def test_a_moment_has_its_zone_as_words_and_for_the_browser() -> None:
    assert in_words(AT) == "2026-01-31 23:05 UTC"
    assert element(AT) == '<time datetime="2026-01-31T23:05:07+00:00">2026-01-31 23:05 UTC</time>'
    assert element(AT, TO_THE_SECOND).endswith(" data-seconds>2026-01-31 23:05:07 UTC</time>")
    with timezone.override("Europe/Berlin"):
        assert in_words(AT) == "2026-02-01 00:05 CET"


@pytest.mark.parametrize("path", sorted(TEMPLATES.rglob("*.html")), ids=lambda path: path.stem)
def test_templates_print_moments_by_the_filters_that_name_the_zone(path) -> None:
    """`date` and `time` print no zone; the days of consent are days, not moments."""
    found = re.findall(r"\{\{[^}]*\|(?:date|time)\b[^}]*\}\}|\{% now", path.read_text(encoding="utf-8"))
    assert [tag for tag in found if "consent_expires_on" not in tag] == []


@pytest.mark.django_db
@pytest.mark.parametrize("page", PAGES + LEADS_PAGES)
def test_pages_print_no_time_without_its_zone(lea: User, page: str) -> None:
    pair = make_pair()
    User.objects.update(last_login=AT)
    Round.objects.update(created_at=AT)
    AppliedThresholds.objects.create(values={}, author=lea)
    html = browser_of(lea).get(page.format(round=pair.round_id, policy=pair.round.policy_id)).content.decode()
    assert zoneless(html) == []


@pytest.mark.django_db
def test_the_staff_pages_log_lines_and_names_of_rows_do_so_too(lea: User) -> None:
    applied = AppliedThresholds.objects.create(values={}, author=lea)
    assert zoneless(str(applied)) == [] and TIME.search(str(applied))
    lea.is_staff = True
    lea.save()
    html = browser_of(lea).get("/admin/annotate/appliedthresholds/").content.decode()
    assert zoneless(html) == [] and TIME.search(html)
    assert Template("{{ at }}").render(Context({"at": AT})) == "2026-01-31 23:05:07 UTC"
    line = settings.LOGGING["formatters"]["line"]
    record = logging.LogRecord("site", logging.INFO, "", 0, "ready", None, None)
    printed = logging.Formatter(line["format"], line["datefmt"]).format(record)
    assert zoneless(printed) == [] and TIME.search(printed)
    assert not AuditEvent.objects.exists() or zoneless(str(AuditEvent.objects.first())) == []
