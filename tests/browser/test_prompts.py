"""The editor of prompts counts tokens while one types; what the server says is what holds."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from annotate.people.prompt_reader_queries import reader_of
from generator.portraits.world import CHECKPOINT
from tests.factories import make_instance
from tests.versions import import_model

pytestmark = pytest.mark.django_db(transaction=True)


def test_tokens_are_counted_while_one_types(visit, lea) -> None:
    reader = reader_of(import_model(str(CHECKPOINT)))
    assert reader is not None
    instance = make_instance(background="a beach")
    page = visit(lea, f"/instances/{instance.pk}/prompt/")

    def expect_count(text: str) -> None:
        expect(page.locator("#tokens")).to_contain_text(
            f"{reader.read(text).tokens} of {reader.limit} tokens"
        )

    expect_count(instance.prompt.text)
    page.get_by_label("Sentence for background").fill("The person walks along a beach at night")
    expect(page.locator("[name=text]")).to_have_value("The person walks along a beach at night.")
    expect_count("The person walks along a beach at night.")
    expect(page.locator("#tokens .problem")).to_have_count(0)
    long = "The person wears a red shirt. " * 12
    page.locator("[name=text]").fill(long)
    expect_count(long)
    expect(page.locator("#tokens .problem")).to_have_text(re.compile("too many; .* would be cut"))
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".problem[role=alert]")).to_contain_text(f"the model reads {reader.limit}")
    expect(page.locator("[name=text]")).to_have_value(long)
    instance.refresh_from_db()
    assert instance.prompt.text == "The background changes to a beach."
