"""Figures of a run as people read them."""

from __future__ import annotations

from django import template
from markupsafe import Markup

from rlhf.evaluation.report.tables import points, signed
from rlhf.plots import pages

register = template.Library()
register.filter("points", points)
register.filter("signed", signed)


@register.simple_tag
def span(
    value: float | None,
    low: float | None,
    high: float | None,
    *,
    level: float | None = None,
    start: float = 0,
    title: str = "",
) -> Markup:
    """A figure with its interval on a scale that ends at 1, see `rlhf.plots.pages.span`."""
    return pages.span(value, low, high, level=level, scale=(start, 1), title=title)


@register.filter
def percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


@register.filter
def duration(seconds: float | None) -> str:
    """Two units at most: "1 h 20 min", "45 s", "0.31 s"."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.2g} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
