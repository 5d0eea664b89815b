from collections import Counter

import pytest

pytest.importorskip("torch")

from rlhf.training.draws import draw


def draws(passes, num_pairs=7, strata=4, seed=3):
    return [draw(i, num_items=num_pairs, strata=strata, seed=seed) for i in range(passes * num_pairs)]


def test_each_pass_meets_every_pair_once_in_its_own_order():
    orders = [tuple(d.item for d in draws(3)[i : i + 7]) for i in (0, 7, 14)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(set(orders)) == 3


def test_a_pair_meets_each_part_of_the_times_once_in_as_many_passes():
    for cycle in (0, 1):
        met = Counter((d.item, int(d.quantile * 4)) for d in draws(8)[cycle * 28 : (cycle + 1) * 28])
        assert met == {(pair, part): 1 for pair in range(7) for part in range(4)}


def test_each_look_has_its_own_noise_and_time_inside_the_unit_interval():
    looks = draws(8)
    assert len({d.noise_seed for d in looks}) == len(looks)
    assert all(0 < d.quantile < 1 for d in looks)


def test_it_is_a_function_of_place_and_seed():
    assert draws(2) == draws(2)
    assert draws(2) != draws(2, seed=4)
