"""Codes as people read them. Every code that a template prints goes through this."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def words(code: str) -> str:
    return code.replace("_", " ")
