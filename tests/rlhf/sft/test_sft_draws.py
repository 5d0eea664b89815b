"""How instances are shown: counted over many draws on files of marked numbers, so that nothing can hide."""

from collections import Counter
from dataclasses import replace
from math import sqrt

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import save_file  # noqa: E402

from rlhf.objectives import draw_times  # noqa: E402
from rlhf.sft.config import SFTConfig  # noqa: E402
from rlhf.sft.draws import InstanceDraws, Layout, augment  # noqa: E402
from rlhf.sft.latents import CachedInstance  # noqa: E402
from rlhf.training.draws import draw  # noqa: E402

IS_CLIP = (True, False, True, True)
CONFIG = SFTConfig(time_shift=3.0, stills=2, seed=5)
LOOKS = 2000
#: Values of the planted tensors: a clip of reference k holds k, its still s holds k + (s + 1) / 10.
EMPTY, PROMPT, EMPTY_PROMPT = -1.0, 7.0, -7.0


def filled(value, frames):
    return torch.full((1, frames, 2, 2), float(value))


@pytest.fixture
def instance(tmp_path):
    def write(name, **tensors):
        save_file(tensors, tmp_path / name)
        return tmp_path / name

    references = []
    for place, is_clip in enumerate(IS_CLIP):
        stills = torch.cat([filled(place + (s + 1) / 10, 1) for s in range(2 if is_clip else 1)], dim=1)
        clip = {"clip": filled(place, 3)} if is_clip else {}
        references.append(write(f"r{place}", stills=stills, **clip))
    return CachedInstance(
        target=write("target", clean=torch.zeros(1, 3, 2, 2)),
        prompt=write("prompt", prompt_embeds=torch.full((4, 2), PROMPT)),
        references=tuple(references),
        is_clip=IS_CLIP,
        empty=write("empty", stills=filled(EMPTY, 1)),
        empty_prompt=write("empty_prompt", prompt_embeds=torch.full((4, 2), EMPTY_PROMPT)),
    )


def augmentations(config=CONFIG, is_clip=IS_CLIP, number=LOOKS):
    draws = (draw(i, num_items=1, strata=4, seed=config.seed) for i in range(number))
    return [augment(one, is_clip, config) for one in draws]


def is_share(count, share, total):
    """Within four standard deviations of a binomial count."""
    return abs(count - share * total) <= 4 * sqrt(share * (1 - share) * total)


def test_the_primary_is_always_shown_first_and_the_others_in_order():
    for seen in augmentations():
        assert seen.shown[0] == 0
        assert list(seen.shown) == sorted(set(seen.shown))


def test_every_number_of_assistants_is_met_as_often_as_promised():
    """Half of the samples show all three; the other half 0, 1 or 2, a third each."""
    numbers = Counter(len(seen.shown) - 1 for seen in augmentations())
    assert is_share(numbers[3], 0.5, LOOKS)
    assert all(is_share(numbers[n], 0.5 / 3, LOOKS) for n in (0, 1, 2))


def test_every_assistant_is_left_out_as_often_as_the_others():
    places = Counter(place for seen in augmentations() for place in seen.shown)
    assert places[0] == LOOKS
    assert all(is_share(places[n], 0.5 + 0.5 / 3, LOOKS) for n in (1, 2, 3))


def test_clips_are_shown_as_stills_at_random_and_photos_as_they_are():
    seen = [dict(zip(one.shown, one.stills, strict=True)) for one in augmentations()]
    assert {one[1] for one in seen if 1 in one} == {0}
    primary = Counter(one[0] for one in seen)
    assert is_share(primary[None], 0.5, LOOKS)
    assert is_share(primary[0], 0.25, LOOKS) and is_share(primary[1], 0.25, LOOKS)


def test_shares_of_0_and_1_are_exact():
    never = replace(CONFIG, p_empty=0.0, p_drop=0.0, p_still=0.0)
    assert set(augmentations(never, number=50)) == {augmentations(never, number=1)[0]}
    always = augmentations(replace(CONFIG, p_empty=1.0, p_drop=1.0, p_still=1.0), number=50)
    assert all(one.is_empty and len(one.shown) < 4 and None not in one.stills for one in always)


def test_a_lone_reference_is_never_left_out():
    assert {one.shown for one in augmentations(is_clip=(True,), number=50)} == {(0,)}


def test_references_and_prompt_are_nulled_together(instance):
    draws = InstanceDraws([instance], CONFIG, LOOKS, layout=Layout())
    number = 600
    nulled = 0
    for one in (draws[index] for index in range(number)):
        is_empty = bool((one["prompt_embeds"] == EMPTY_PROMPT).all())
        assert is_empty == bool((one["references"] == EMPTY).any())
        if is_empty:
            assert one["references"].shape[1] == 1
        nulled += is_empty
    assert is_share(nulled, 0.1, number)


def test_the_empty_condition_is_as_long_as_the_pipeline_says(instance):
    """ "same" has as many zero-pixel latents as the references that it replaces."""
    shown = InstanceDraws([instance], replace(CONFIG, p_empty=0.0), 50, layout=Layout("same"))
    nulled = InstanceDraws([instance], replace(CONFIG, p_empty=1.0), 50, layout=Layout("same"))
    for index in range(50):
        assert nulled[index]["references"].shape == shown[index]["references"].shape
        assert (nulled[index]["references"] == EMPTY).all()


def test_references_stand_in_the_order_of_the_pipeline(instance):
    """Each reference's latents are equal throughout, so that its place can be read off its first frame."""
    config = replace(CONFIG, p_empty=0.0, p_still=1.0)
    first, last = (
        InstanceDraws([instance], config, 20, layout=Layout("one", order))
        for order in ("primary_first", "primary_last")
    )
    for index in range(20):
        assert torch.equal(first[index]["references"].flip(1), last[index]["references"])


def test_it_shows_what_was_drawn(instance):
    config = replace(CONFIG, p_empty=0.0)
    draws = InstanceDraws([instance], config, 50, layout=Layout())
    for index in range(50):
        seen = augment(draw(index, num_items=1, strata=4, seed=5), IS_CLIP, config)
        expected = [
            filled(place, 3) if still is None else filled(place + (still + 1) / 10, 1)
            for place, still in zip(seen.shown, seen.stills, strict=True)
        ]
        assert torch.equal(draws[index]["references"], torch.cat(expected, dim=1))


def test_a_draw_is_a_function_of_seed_and_place(instance):
    first, again = (InstanceDraws([instance], CONFIG, 9, layout=Layout()) for _ in range(2))
    for index in (8, 3):
        one, other = first[index], again[index]
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert augmentations(number=20) != augmentations(replace(CONFIG, seed=6), number=20)


def test_times_are_the_quantiles_of_the_samplers_distribution(instance):
    draws = InstanceDraws([instance], replace(CONFIG, p_empty=0.0), 40, layout=Layout())
    for index in range(40):
        quantile = torch.tensor(draw(index, num_items=1, strata=4, seed=5).quantile, dtype=torch.float64)
        expected = draw_times(quantile, shift=3.0, low=0.02, high=0.98)
        assert draws[index]["time"].item() == pytest.approx(expected.item(), abs=1e-6)


def test_it_asks_for_a_shift(instance):
    with pytest.raises(ValueError, match="time_shift is None"):
        InstanceDraws([instance], replace(CONFIG, time_shift=None), 1, layout=Layout())[0]
