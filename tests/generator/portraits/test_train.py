"""What trains the shipped checkpoint: its maths, and the instances it draws."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator.model.checkpoint import load_pipeline  # noqa: E402
from generator.model.precision import Precision, choose_precision  # noqa: E402
from generator.portraits.oracle import Oracle, Reading  # noqa: E402
from generator.portraits.tiny import LATENT_CHANNELS, build_vae  # noqa: E402
from generator.portraits.train.ablation import adapted, save  # noqa: E402
from generator.portraits.train.batches import (  # noqa: E402
    CLIPS,
    STILLS,
    TARGETS,
    Batch,
    Latents,
    differential_prompt,
    draw_batch,
    standard_prompt,
)
from generator.portraits.train.data import render_people  # noqa: E402
from generator.portraits.train.measure import Trial, bootstrap, draw_trials, score  # noqa: E402
from generator.portraits.train.narrow import narrow_vae  # noqa: E402
from generator.portraits.train.optimiser import Muon, orthogonalise, trapezoid  # noqa: E402
from generator.portraits.train.oracle import blur  # noqa: E402
from generator.portraits.train.transformer import Conditioned, draw_times  # noqa: E402
from generator.portraits.train.vae import reconstruction_loss  # noqa: E402
from generator.portraits.world import CHECKPOINT, ELEMENT_STATES, phrase_change  # noqa: E402

#: Both kinds of numbers that training may compute in, whatever this machine would choose.
PRECISIONS = [Precision(bf16, "cpu", suits_bf16=bf16) for bf16 in (False, True)]


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
@pytest.mark.parametrize("shape", [(8, 24), (24, 8)])
def test_it_pushes_singular_values_towards_one(shape: tuple[int, int], precision: Precision) -> None:
    """Singular values 1 to 50 come out within Muon's band around 1, directions unchanged."""
    torch.manual_seed(0)
    u, _, v = torch.linalg.svd(torch.randn(shape), full_matrices=False)
    result = orthogonalise(u @ torch.diag(torch.linspace(1, 50, 8)) @ v, precision.dtype)
    assert ((torch.linalg.svdvals(result) - 1).abs() < 0.5).all()
    kept = torch.diag(u.T @ result @ v.T)
    assert (kept > 0.5).all()


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_it_finds_the_least_squares_solution_with_muon(precision: Precision) -> None:
    torch.manual_seed(0)
    wanted, weight = torch.randn(6, 5), torch.nn.Parameter(torch.zeros(6, 5))
    optimiser = Muon([weight], lr=0.3, dtype=precision.dtype)
    for step in range(300):
        optimiser.param_groups[0]["lr"] = 0.3 * trapezoid(step, 300, warmup=1)
        optimiser.zero_grad()
        (weight - wanted).square().sum().backward()
        optimiser.step()
    assert (weight - wanted).abs().max() < 0.05


def test_it_warms_up_stays_and_decays() -> None:
    """100 steps, 10 up, the last 40 down: 0.1 at the start, 1 in the middle, 0.5 at 80."""
    rates = [trapezoid(step, 100, warmup=10) for step in (0, 9, 50, 80, 100)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])


def test_it_draws_times_with_the_samplers_shift() -> None:
    """The median of the logit-normal is 1/2; shifted by 3 it is 3 * 0.5 / (1 + 2 * 0.5) = 3/4."""
    times = draw_times(20_000, torch.Generator().manual_seed(0))
    assert times.median().item() == pytest.approx(0.75, abs=0.01)
    assert times.min() > 0 and times.max() < 1


def test_it_says_only_what_changes() -> None:
    rng = np.random.default_rng(0)
    primary = [0] * 7
    assert differential_prompt(primary, primary, rng) == ""
    target = [0, 0, 1, 0, 0, 0, 3]
    prompt = differential_prompt(primary, target, rng)
    assert "a blue hoodie" in prompt and "a brick wall" in prompt
    assert prompt.count(".") == 2
    assert prompt.index("hoodie") < prompt.index("brick")


def test_it_never_shows_the_target_as_a_reference() -> None:
    """Every item's latent holds its own number, so what was drawn can be read back."""
    people = 6
    clips = torch.arange(CLIPS).view(1, CLIPS, 1, 1, 1, 1).expand(people, CLIPS, 2, 3, 2, 2).half()
    stills = 100 + torch.arange(STILLS).view(1, STILLS, 1, 1, 1, 1).expand(people, STILLS, 2, 1, 2, 2).half()
    latents = Latents(clips, stills, torch.zeros(people, CLIPS + STILLS, 7, dtype=torch.long), torch.zeros(1))
    counts = set()
    for seed in range(40):
        batch = draw_batch(latents, 4, np.random.default_rng(seed))
        for clean, references in zip(batch.clean, batch.references, strict=True):
            target, shown = clean.unique(), references[0, :, 0, 0]
            assert len(target) == 1 and target.item() < TARGETS
            assert target.item() not in shown.tolist()
            moving = [number for number in shown.tolist() if number < 100]
            still = [number for number in shown.tolist() if number >= 100]
            assert len(moving) == 3 * len(set(moving)) and len(still) == len(set(still))
            counts.add(len(set(moving)) + len(still))
    assert counts == {1, 2, 3, 4, 5}


def test_it_embeds_prompts_as_the_pipeline_does() -> None:
    from generator.portraits.tiny import build_tiny_pipeline

    pipeline, model = build_tiny_pipeline(), Conditioned(choose_precision(device="cpu"))
    model.text_encoder.load_state_dict(pipeline.text_encoder.state_dict())
    prompts = ["The person now has a bun. Behind the person is a beach.", ""]
    expected = pipeline.encode_prompt(prompts, do_classifier_free_guidance=False)[0]
    torch.testing.assert_close(model.eval().embed(prompts), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS, ids=str)
def test_it_learns_to_undo_noise(precision: Precision) -> None:
    """Four steps on one batch lower its loss; every parameter of both networks gets a gradient."""
    torch.manual_seed(0)
    model = Conditioned(precision)
    clean, references = torch.randn(2, 2, LATENT_CHANNELS, 1, 4, 4)
    batch = Batch(clean, references, ["The face looks sad.", ""])
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = model.loss(batch, torch.Generator().manual_seed(1))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None for p in model.parameters())


def test_it_weighs_faces_most_and_exact_copies_nothing() -> None:
    pixels = torch.zeros(1, 3, 1, 64, 64)
    assert reconstruction_loss(pixels, pixels).item() == 0.0
    face, corner = pixels.clone(), pixels.clone()
    face[..., 28, 32] = 1.0
    corner[..., 1, 1] = 1.0
    assert reconstruction_loss(face, pixels) > 2 * reconstruction_loss(corner, pixels)


def test_it_blurs_without_changing_the_mean() -> None:
    picture = torch.zeros(1, 3, 21, 21)
    picture[..., 10, 10] = 1.0
    blurred = blur(picture, 1.0)
    assert blurred.sum().item() == pytest.approx(3.0, abs=1e-4)
    assert blurred[0, 0, 10, 10].item() == pytest.approx(1 / (2 * np.pi), rel=0.01)


def test_it_renders_people_once_and_refuses_others(tmp_path) -> None:
    first = render_people(tmp_path, 5, 2, workers=1)
    assert first.clips.shape == (2, 6, 9, 64, 64, 3) and first.stills.shape == (2, 5, 64, 64, 3)
    assert first.states.shape == (2, 11, 7)
    before = (tmp_path / "clips.npy").stat().st_mtime_ns
    np.testing.assert_array_equal(render_people(tmp_path, 5, 2, workers=1).clips, first.clips)
    assert (tmp_path / "clips.npy").stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="holds other people"):
        render_people(tmp_path, 6, 2, workers=1)
    assert json.loads((tmp_path / "people.json").read_text())["count"] == 2


class Reader(Oracle):
    """An oracle that sees planted readings instead of pixels."""

    def __init__(self, trials: list[Trial]) -> None:
        self.states = {id(trial): trial.after for trial in trials}

    def read(self, frames) -> Reading:  # type: ignore[override]
        person, after = int(frames.flat[0]), self.planted
        elements = {e: {s: float(after.get(e) == s) for s in states} for e, states in ELEMENT_STATES.items()}
        return Reading(np.full(4, person / 40.0), elements)


def test_it_scores_what_it_planted(monkeypatch) -> None:
    """Two trials: right person and all elements; wrong person and the first trial's elements."""
    trials = draw_trials(1, 2)[:2]
    oracle = Reader(trials)
    oracle.planted = trials[0].after
    gallery = [[oracle.read(np.full((1, 1, 1, 3), person, np.uint8))] for person in range(20)]
    monkeypatch.setattr("generator.portraits.train.measure._gallery", lambda person, oracle: gallery[person])
    figures = score(trials, [np.full((1, 1, 1, 1, 3), person, np.uint8) for person in (0, 7)], oracle)
    assert figures["identity_top1"] == [0.5, 0.0, 1.0] and figures["videos"] == 2
    counts = dict.fromkeys(("changed", "unchanged"), 0)
    right = dict(counts)
    for trial in trials:
        for element, state in trial.after.items():
            kind = "changed" if state != trial.before[element] else "unchanged"
            counts[kind] += 1
            right[kind] += state == trials[0].after[element]
    assert sum(counts.values()) == 14
    for kind, count in counts.items():
        assert figures[kind][0] == pytest.approx(right[kind] / count, abs=1e-4)
        assert sum(n for name, (_, n) in figures["by_element"].items() if name.startswith(kind)) == count


def test_its_interval_covers_whole_people() -> None:
    """Two people with equal values throughout: the bootstrap sees 2 independent values, not 200."""
    mean, low, high = bootstrap([(0, 0.0)] * 100 + [(1, 1.0)] * 100)
    assert (mean, low, high) == (0.5, 0.0, 1.0)
    assert bootstrap([(person, 0.25) for person in range(20)]) == [0.25, 0.25, 0.25]


def test_a_trial_shows_its_own_answer() -> None:
    """Fewer references leave the question as it is, and the answer depends on it alone."""
    trial = draw_trials(1, 4)[3]
    single = trial.with_references(1)
    assert len(trial.references) == 4 and len(single.references) == 1
    assert (single.prompt, single.after, single.seed) == (trial.prompt, trial.after, trial.seed)
    np.testing.assert_array_equal(single.draw_answer(), trial.draw_answer())
    assert trial.draw_answer().shape == (9, 64, 64, 3)


def test_a_caption_names_target_states_alone() -> None:
    """The ablation's prompts say what the target shows; each element comes in half of many draws."""
    target = [0, 1, 2, 1, 1, 3, 4]
    rng = np.random.default_rng(0)
    prompts = [standard_prompt(target, rng) for _ in range(400)]
    for element, state in zip(ELEMENT_STATES, target, strict=True):
        sentences = {phrase_change(element, ELEMENT_STATES[element][state], index) for index in range(4)}
        named = [any(sentence in prompt for sentence in sentences) for prompt in prompts]
        assert 0.4 < np.mean(named) < 0.6


def test_it_narrows_a_vae_without_loss_where_channels_are_redundant() -> None:
    """A wide VAE whose latents span few directions decodes the same after it is narrowed to them."""
    torch.manual_seed(0)
    wide = build_vae(12).eval()
    with torch.no_grad():  # posterior means of rank 4: each triple of channels shares one convolution
        weight, bias = wide.quant_conv.weight, wide.quant_conv.bias
        weight[:12] = weight[:4].repeat(3, 1, 1, 1, 1)
        bias[:12] = bias[:4].repeat(3)
        pixels = torch.rand(1, 3, 13, 64, 64) * 2 - 1
        latents = wide.encode(pixels).latent_dist.mode()
        narrow, share = narrow_vae(wide, latents.movedim(1, -1).flatten(0, -2), 4)
        again = narrow.encode(pixels).latent_dist.mode()
        assert again.shape[1] == 4 and share == pytest.approx(1.0, abs=1e-6)
        inner = (slice(None), slice(None), slice(2, None), slice(1, -1), slice(1, -1))
        wanted, found = (
            vae.decoder.conv_in(vae.post_quant_conv(z)) for vae, z in ((wide, latents), (narrow, again))
        )
        # Borders and first frames differ: there the wide VAE pads zeros behind its bias.
        torch.testing.assert_close(found[inner], wanted[inner], atol=1e-4, rtol=1e-4)


def test_the_ablation_trains_a_lora_alone_and_loads_again(tmp_path) -> None:
    """It goes on from the shipped model, whose weights it leaves as they are."""
    model = adapted(CHECKPOINT, choose_precision(device="cpu"))
    frozen = {name: value.clone() for name, value in model.named_parameters() if not value.requires_grad}
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    generator = torch.Generator().manual_seed(0)
    clean, shown = (torch.randn(1, 24, frames, 8, 8, generator=generator) for frames in (3, 2))
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-2)
    for _ in range(2):  # B of a LoRA begins at zero, so A learns from the second step on
        model.loss(Batch(clean, shown, ["A beach."]), generator).backward()
        optimiser.step()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in trained.values())
    assert all(torch.equal(value, frozen[name]) for name, value in model.named_parameters() if name in frozen)
    save(model, CHECKPOINT, tmp_path / "lora")
    loaded = load_pipeline(CHECKPOINT, [tmp_path / "lora"]).transformer
    weight = dict(loaded.named_parameters())["blocks.0.attn1.to_q.lora_B.adapter_0.weight"]
    torch.testing.assert_close(
        weight, trained["transformer.blocks.0.attn1.to_q.lora_B.default.weight"].half().float()
    )
