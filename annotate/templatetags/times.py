"""Filters for moments. What a template prints of one goes through these."""

from __future__ import annotations

from datetime import datetime

from django import template

from annotate.database import clock, moments

register = template.Library()


@register.filter
def moment(at: datetime | None) -> str:
    return moments.element(at) if at else ""


@register.filter
def moment_to_the_second(at: datetime | None) -> str:
    return moments.element(at, moments.TO_THE_SECOND) if at else ""


@register.filter
def moment_in_words(at: datetime | None) -> str:
    """For what holds no elements: an option, an attribute."""
    return moments.in_words(at) if at else ""


@register.simple_tag
def this_moment() -> str:
    return moments.element(clock.now())


@register.filter
def second_in_words(at: datetime | None) -> str:
    return moments.in_words(at, moments.TO_THE_SECOND) if at else ""
