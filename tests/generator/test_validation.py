"""One line for each thing that can be wrong, whatever pydantic would say."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any, Literal, Self

import pytest
from pydantic import Field, model_validator

from generator.validation import Count, Number, Share, fields_of, parse, range_of, read, record, to_json


@record
class Part:
    kind: Literal["photo", "clip"]
    weight: Share = 0.5


@record
class Whole:
    name: str = Field(description="of the whole")
    steps: Count = Field(default=3, description="so many")
    scale: Number = Field(default=1.0, gt=0, lt=10, description="how large")
    parts: tuple[Part, ...] = ()
    facts: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_steps(self) -> Self:
        if self.steps > len(self.parts) + 5:
            raise ValueError(f"steps is {self.steps}; give more parts")
        return self


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, "has no name"),
        ({"name": 3}, "name is 3; it must be a text"),
        ({"name": "a", "steps": 0}, "steps is 0; it must be at least 1"),
        ({"name": "a", "steps": True}, "steps is True; it must be a whole number"),
        ({"name": "a", "steps": 1.5}, "steps is 1.5; it must be a whole number"),
        ({"name": "a", "scale": 10}, "scale is 10; it must be in (0, 10)"),
        ({"name": "a", "scale": float("nan")}, "scale is nan; it must be a finite number"),
        ({"name": "a", "parts": [{"kind": "pet"}]}, "parts[0].kind is 'pet'; it must be photo or clip"),
        (
            {"name": "a", "parts": [{"kind": "clip", "weight": 2}]},
            "parts[0].weight is 2; it must be at most 1",
        ),
        ({"name": "a", "parts": [{}]}, "parts[0] has no kind"),
        ({"name": "a", "parts": [{"kind": "clip", "x": 1}]}, "parts[0] has an unknown field 'x'"),
        ({"name": "a", "sise": 1}, "has an unknown field 'sise'; known are name, steps, scale, parts, facts"),
        ({"name": "a", "steps": 9}, "steps is 9; give more parts"),
        ([], "it is []; it must be a JSON object"),
    ],
)
def test_it_names_field_value_and_rule_in_one_line(values: Any, says: str) -> None:
    with pytest.raises(ValueError) as refused:
        read(Whole, values)
    assert str(refused.value) == says


def test_a_record_made_in_code_is_checked_alike() -> None:
    with pytest.raises(ValueError, match="^steps is 0; it must be at least 1$"):
        Whole("a", 0)
    with pytest.raises(ValueError, match="^steps is 9; give more parts$"):
        replace(Whole("a"), steps=9)


def test_what_is_no_json_is_said() -> None:
    with pytest.raises(ValueError, match="^is not JSON"):
        parse(Whole, "{")


def test_it_survives_json_and_numbers_stay_as_they_were_given() -> None:
    whole = read(Whole, {"name": "a", "scale": 5, "parts": [{"kind": "clip"}], "facts": {"x": [1, 2.5]}})
    assert json.dumps(to_json(whole)["scale"]) == json.dumps(asdict(whole)["scale"]) == "5"
    assert read(Whole, to_json(whole)) == whole


def test_a_field_says_its_range() -> None:
    assert {name: range_of(field) for name, field in fields_of(Whole).items() if range_of(field)} == {
        "steps": "at least 1",
        "scale": "in (0, 10)",
    }
