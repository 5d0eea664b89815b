"""Numbers that are not finite and videos of one colour fail by name, with the step at which that began."""

from __future__ import annotations

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from generator.faults import BrokenVideoError, LatentTrace, NotFiniteError, is_constant, to_pixels  # noqa: E402
from generator.portraits.tiny import LATENT_CHANNELS, build_tiny_pipeline  # noqa: E402
from generator.records import ReferenceKind, SampleRequest, SamplerSettings  # noqa: E402
from generator.rundir import RunDir  # noqa: E402
from generator.sample import main, make_videos  # noqa: E402
from tests.generator.media.media_files import MediaMaker, moving  # noqa: E402

SETTINGS = SamplerSettings(height=32, width=32, num_frames=5, num_inference_steps=4, guidance_scale=1.0)
CALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 4, "guidance_scale": 1.0}


@pytest.fixture(scope="module")
def whole():
    return build_tiny_pipeline()


@pytest.fixture
def pipeline(whole):
    """A copy, to be spoilt."""
    return copy.deepcopy(whole)


def spoil(pipeline, value: float, *, step: int, row: int) -> None:
    """From a step on (from 1), one video's velocity has one such value."""
    passes = []

    def hook(module, inputs, output):
        passes.append(1)
        if len(passes) >= step:
            output = output.clone()
            output[row, 0, 0] = value
        return output

    pipeline.transformer.proj_out.register_forward_hook(hook)


def requests(make: MediaMaker) -> list[SampleRequest]:
    photo = ((str(make.photo()), ReferenceKind.PHOTO),)
    return [SampleRequest(name, seed, "a beach", photo) for seed, name in enumerate(("one", "two"))]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("step", [1, 3])
def test_a_sample_that_is_not_finite_fails_by_name_and_step(
    make: MediaMaker, whole, pipeline, value: float, step: int
) -> None:
    good, _ = make_videos(lambda: whole, requests(make), SETTINGS, make.folder / "good")
    spoil(pipeline, value, step=step, row=1)
    made, failed = make_videos(lambda: pipeline, requests(make), SETTINGS, make.folder / "out")
    assert [item["sample_id"] for item in failed] == ["two"]
    assert failed[0]["step"] == step
    assert f"its latents are not finite from step {step} of 4 on" in failed[0]["error"]
    assert not (make.folder / "out/two.mp4").exists()
    # Its neighbour is the video that it always is.
    assert [facts["sample_id"] for facts in made] == ["one"]
    assert made[0]["sha256"] == good[0]["sha256"]


def test_the_result_of_a_run_lists_it(make: MediaMaker, pipeline) -> None:
    torch.nn.init.constant_(pipeline.transformer.proj_out.bias, float("nan"))
    pipeline.save_pretrained(make.folder / "base")
    run = RunDir(make.folder / "run")
    item = {
        "sample_id": "a",
        "seed": 1,
        "prompt": "",
        "references": [{"path": "../photo.png", "kind": "photo"}],
    }
    make.photo()
    settings = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 2}
    run.create({"stage": "sample", "model": {"base": "../base"}, "settings": settings, "samples": [item]})
    main(run, attached=False)
    result = run.read_result()
    assert result["samples"] == []
    assert [(sample["sample_id"], sample["step"]) for sample in result["failed"]] == [("a", 1)]
    assert list((run.path / "samples").iterdir()) == []


@pytest.mark.parametrize(
    ("value", "step", "why"),
    [
        (1e6, 2, "its latents are beyond ±100 from step 2 of 4 on"),
        (0.0, None, "its latents are good at every step; check the weights of the VAE"),
    ],
)
def test_a_constant_video_fails_with_the_step_where_it_can_be_known(
    make: MediaMaker, pipeline, value: float, step: int | None, why: str
) -> None:
    if step:  # latents explode, and the decoder answers with its brightest
        spoil(pipeline, value, step=step, row=0)
    with torch.no_grad():
        for parameter in pipeline.vae.decoder.conv_out.parameters():
            parameter.zero_()
    _, failed = make_videos(lambda: pipeline, requests(make)[:1], SETTINGS, make.folder / "out")
    assert (failed[0]["sample_id"], failed[0]["step"]) == ("one", step)
    assert failed[0]["error"].startswith("its pixels are all of one colour")
    assert why in failed[0]["error"]


def test_latents_that_do_not_vary_are_named_with_their_step(pipeline) -> None:
    def level(pipe, step, timestep, tensors):
        return {"latents": tensors["latents"] * 0 + 0.5} if step >= 2 else {}

    with torch.no_grad():
        for parameter in pipeline.vae.decoder.conv_out.parameters():
            parameter.zero_()
    with pytest.raises(
        BrokenVideoError, match="do not vary over pixels and frames from step 3 of 4 on"
    ) as caught:
        pipeline(references=moving(5, 32, 32), prompt="a beach", **CALL, callback_on_step_end=level)
    assert caught.value.faults[0].step == 3


@pytest.mark.parametrize("output", ["latent", "np", "pil", "pt", "uint8"])
def test_the_pipeline_refuses_by_itself_whatever_the_output(pipeline, output: str) -> None:
    spoil(pipeline, float("nan"), step=2, row=0)
    with pytest.raises(
        BrokenVideoError, match="^video 1 of 2: its latents are not finite from step 2 of 4"
    ) as caught:
        pipeline(
            references=moving(5, 32, 32),
            prompt="a beach",
            **CALL,
            num_videos_per_prompt=2,
            generator=[torch.Generator().manual_seed(seed) for seed in (0, 1)],
            output_type=output,
        )
    assert len(caught.value.videos) == 2
    assert np.isfinite(np.asarray(caught.value.videos[1])).all()


def test_pixels_that_are_not_finite_are_the_decoders_fault(pipeline) -> None:
    pipeline.vae.decoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(
        BrokenVideoError, match="pixels are not finite.*check the weights of the VAE"
    ) as caught:
        pipeline(references=moving(5, 32, 32), prompt="a beach", **CALL)
    assert caught.value.faults[0].step is None
    with pytest.raises(NotFiniteError, match="pixels are not finite"):
        pipeline.decode_latents(torch.zeros(1, LATENT_CHANNELS, 2, 4, 4))


def test_references_and_prompts_that_are_not_finite_are_named(make: MediaMaker, whole, pipeline) -> None:
    latents = torch.zeros(1, LATENT_CHANNELS, 1, 4, 4)
    latents[0, 3, 0, 1, 1] = float("inf")
    with pytest.raises(NotFiniteError, match="latents of the references are not finite"):
        pipeline(reference_latents=latents, prompt="a beach", **CALL)
    pipeline.vae.encoder.conv_out.bias.data[0] = float("nan")
    with pytest.raises(NotFiniteError, match="latents of reference 1 are not finite"):
        pipeline(references=moving(5, 32, 32), prompt="a beach", **CALL)
    with pytest.raises(NotFiniteError, match="latents of the video are not finite"):
        pipeline.encode_video(moving(5, 32, 32))
    _, failed = make_videos(lambda: pipeline, requests(make), SETTINGS, make.folder / "out")
    assert [item["sample_id"] for item in failed] == ["one", "two"]
    assert all("latents of reference 1 are not finite" in item["error"] for item in failed)
    fresh = copy.deepcopy(whole)
    fresh.text_encoder.shared.weight.data[:] = float("nan")
    with pytest.raises(NotFiniteError, match="embeddings of the prompt are not finite"):
        fresh(references=moving(5, 32, 32), prompt="a beach", **CALL)


def test_what_recovers_is_no_fault() -> None:
    """A callback may repair latents; only what is bad at the end counts, from where it stayed bad."""
    good, bad = torch.randn(1, 2, 1, 4, 4), torch.full((1, 2, 1, 4, 4), float("nan"))
    trace = LatentTrace(good)
    for latents in (bad, good):
        trace.add(latents)
    assert trace.not_finite() == [None]
    for latents in (bad, bad):
        trace.add(latents)
    assert [fault.step for fault in trace.not_finite() if fault] == [3]
    assert [fault.step for fault in LatentTrace(bad).not_finite() if fault] == [0]


def test_only_one_colour_throughout_is_constant() -> None:
    flat = np.full((3, 8, 8, 3), (10, 200, 30), np.uint8)
    assert is_constant(flat)
    assert is_constant(flat + np.random.default_rng(0).integers(0, 2, flat.shape, dtype=np.uint8))
    blinking, dotted = flat.copy(), flat.copy()
    blinking[1] += 2
    dotted[:, 4, 4] += 2
    assert not is_constant(blinking) and not is_constant(dotted)


def test_other_models_videos_are_checked() -> None:
    video = np.random.default_rng(0).random((2, 4, 4, 3))
    assert to_pixels(video, "VACE").dtype == np.uint8
    video[1, 2, 3, 0] = np.nan
    with pytest.raises(NotFiniteError, match="VACE made a video that is not finite"):
        to_pixels(video, "VACE")
    with pytest.raises(NotFiniteError, match="ConsisID made a video of one colour"):
        to_pixels(np.zeros((2, 4, 4, 3)), "ConsisID")


def test_a_resumed_run_tries_a_broken_one_again(make: MediaMaker, whole, pipeline) -> None:
    spoil(pipeline, float("nan"), step=1, row=0)
    made, failed = make_videos(lambda: pipeline, requests(make), SETTINGS, make.folder / "out")
    assert ([sample["sample_id"] for sample in made], [sample["sample_id"] for sample in failed]) == (
        ["two"],
        ["one"],
    )
    made, failed = make_videos(lambda: whole, requests(make), SETTINGS, make.folder / "out")
    assert ([sample["sample_id"] for sample in made], failed) == (["one", "two"], [])
