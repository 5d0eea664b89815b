"""Moments as people read them: never without their zone."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

TO_THE_MINUTE = "%Y-%m-%d %H:%M"
TO_THE_SECOND = "%Y-%m-%d %H:%M:%S"


def in_words(at: datetime, form: str = TO_THE_MINUTE) -> str:
    """In the site's zone, for what holds no elements: a sentence, an option, an attribute."""
    here = timezone.localtime(at)
    return f"{here.strftime(form)} {here.tzname()}"


def element(at: datetime, form: str = TO_THE_MINUTE) -> SafeString:
    """For a page: in the site's zone, which `times.js` turns into the reader's own."""
    precision = mark_safe(" data-seconds") if form == TO_THE_SECOND else ""
    return format_html('<time datetime="{}"{}>{}</time>', at.isoformat(), precision, in_words(at, form))
