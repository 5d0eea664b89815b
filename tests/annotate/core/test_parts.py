"""Lists in parts: every row comes once, in order, whatever else happens to the list."""

from __future__ import annotations

import pytest

from annotate.core.parts import part_of
from annotate.models import User
from tests.factories import make_user

pytestmark = pytest.mark.django_db

ORDERS = (
    {"-pk": int},
    {"role": str, "username": str},
    {"-is_simulated": bool, "-first_name": str, "username": str},
)


@pytest.mark.parametrize("order", ORDERS)
def test_each_row_comes_once_and_in_order(order):
    for number in range(7):
        make_user(f"ann-{number % 4}-{number}", first_name="ab"[number % 2], is_simulated=number % 3 == 0)
    after, seen = "", []
    while after is not None:
        part = part_of(User.objects.all(), after, 2, order)
        assert part.is_first == (after == "")
        seen += part.rows
        after = part.after
    assert seen == list(User.objects.order_by(*order))


@pytest.mark.parametrize("after", ["x", "[1]", '["lead"]', '["lead", 3]', '["lead", "a\\u0000"]', "9" * 30])
def test_what_is_no_place_begins_anew(after, lea):
    assert part_of(User.objects.all(), after, 2, {"role": str, "username": str}).is_first
