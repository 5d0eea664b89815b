"""The pipeline: conditions nulled together, samples independent of their batch, clear refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from diffusers import FirstBlockCacheConfig, WanPipeline, WanTransformer3DModel  # noqa: E402
from peft import LoraConfig  # noqa: E402
from peft.utils import get_peft_model_state_dict  # noqa: E402
from PIL import Image  # noqa: E402

from generator.model import AnyIDPipeline  # noqa: E402
from generator.model.checkpoint import load_pipeline  # noqa: E402
from generator.model.lora import convert  # noqa: E402
from generator.model.order import in_order  # noqa: E402
from generator.model.pipeline import guide  # noqa: E402
from generator.model.references import empty_reference, fit  # noqa: E402
from generator.portraits.tiny import LATENT_CHANNELS, build_tiny_pipeline, build_tokenizer  # noqa: E402

SMALL = {"height": 32, "width": 32, "num_frames": 5, "num_inference_steps": 3}


@pytest.fixture(scope="module")
def pipeline() -> AnyIDPipeline:
    return build_tiny_pipeline()


def noise_of(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def pictures(count: int, size: tuple[int, int] = (32, 32), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *size, 3), dtype=np.uint8)


def references() -> list:
    return [
        pictures(5),
        Image.fromarray(pictures(1, (40, 20), 1)[0]),
        [Image.fromarray(pictures(1, seed=2)[0])] * 6,
    ]


def test_it_samples_a_pair_as_it_samples_each_alone(pipeline: AnyIDPipeline) -> None:
    call = {
        **SMALL,
        "references": references(),
        "prompt": "The person now wears a red shirt.",
        "output_type": "latent",
    }
    pair = pipeline(**call, num_videos_per_prompt=2, generator=noise_of(1, 2)).frames
    for row, seed in enumerate((1, 2)):
        alone = pipeline(**call, generator=noise_of(seed)).frames
        torch.testing.assert_close(pair[row : row + 1], alone, atol=1e-5, rtol=0)
    assert (pair[0] - pair[1]).abs().max() > 0.1


def test_it_gives_equal_bytes_for_equal_seeds(pipeline: AnyIDPipeline) -> None:
    call = {**SMALL, "references": references(), "prompt": "a beach", "output_type": "latent"}
    first, second = (
        pipeline.decode_latents(pipeline(**call, generator=noise_of(3)).frames) for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()
    assert first.shape == (1, 5, 32, 32, 3) and first.dtype == np.uint8


def test_it_nulls_references_and_prompt_together_in_two_passes_a_step(
    pipeline: AnyIDPipeline, monkeypatch
) -> None:
    """Three references of 2 + 1 + 2 latent frames; the empty pass has one zero-pixel latent and no prompt."""
    calls = []
    forward = pipeline.transformer.forward

    def spy(latents, timestep, text, shown, **kwargs):
        calls.append((text, shown))
        return forward(latents, timestep, text, shown, **kwargs)

    monkeypatch.setattr(pipeline.transformer, "forward", spy)
    pipeline(**SMALL, references=references(), prompt="a beach", generator=noise_of(0), output_type="latent")
    assert len(calls) == 2 * SMALL["num_inference_steps"]
    (text, shown), (empty_text, empty_shown) = calls[:2]
    assert shown.shape[2] == 2 + 1 + 2
    torch.testing.assert_close(empty_shown, empty_reference(pipeline.vae, 32, 32))
    torch.testing.assert_close(empty_text, pipeline.encode_prompt("", do_classifier_free_guidance=False)[0])
    calls.clear()
    pipeline(
        **SMALL,
        references=references(),
        prompt="a beach",
        guidance_scale=1.0,
        generator=noise_of(0),
        output_type="latent",
    )
    assert len(calls) == SMALL["num_inference_steps"]


def test_it_guides_by_the_papers_formula() -> None:
    """(1 - 5) * 1 + 5 * 3 = 11; at g = 1 the empty condition has no say."""
    empty, full = torch.ones(1), torch.full((1,), 3.0)
    assert guide(empty, full, 5.0).item() == 11.0
    assert guide(empty, full, 1.0).item() == 3.0


def test_it_pads_references_to_the_size_with_their_aspect_kept() -> None:
    """20 x 10 pixels into 32 x 32: 32 x 16 in the middle, zero pixels left and right."""
    white = np.full((1, 20, 10, 3), 255, np.uint8)
    pixels = fit(white, 32, 32)
    assert pixels.shape == (1, 3, 1, 32, 32)
    assert (pixels[..., 8:24] > 0.9999).all()
    assert (pixels[..., :8] == 0).all() and (pixels[..., 24:] == 0).all()


def test_it_encodes_references_one_by_one_in_order(pipeline: AnyIDPipeline) -> None:
    joined = pipeline.encode_references(references(), 32, 32)
    alone = [pipeline.encode_references([reference], 32, 32) for reference in references()]
    assert joined.shape == (1, LATENT_CHANNELS, 5, 4, 4)
    torch.testing.assert_close(joined, torch.cat(alone, dim=2))


def test_it_normalises_latents_by_the_vaes_statistics(pipeline: AnyIDPipeline) -> None:
    """With means 2 and deviations 4, latents are (plain - 2) / 4, and decoding undoes it."""
    frames = pictures(5)
    plain = pipeline.encode_video(frames)
    decoded = pipeline.decode_latents(plain)
    before = dict(pipeline.vae.config)
    try:
        pipeline.vae.register_to_config(
            latents_mean=[2.0] * LATENT_CHANNELS, latents_std=[4.0] * LATENT_CHANNELS
        )
        scaled = pipeline.encode_video(frames)
        torch.testing.assert_close(scaled, (plain - 2) / 4)
        np.testing.assert_allclose(pipeline.decode_latents(scaled).astype(int), decoded, atol=1)
    finally:
        pipeline.vae.register_to_config(**{k: before[k] for k in ("latents_mean", "latents_std")})


def test_it_stops_and_reports_through_the_callback(pipeline: AnyIDPipeline) -> None:
    steps = []

    def stop_after_two(pipe, step, timestep, tensors):
        steps.append(step)
        pipe._interrupt = step == 1
        return {"latents": torch.zeros_like(tensors["latents"])}

    latents = pipeline(
        **SMALL,
        references=references(),
        prompt="a beach",
        generator=noise_of(0),
        output_type="latent",
        callback_on_step_end=stop_after_two,
    ).frames
    assert steps == [0, 1]
    assert not latents.any()


def test_it_leaves_the_latents_alone_where_a_callback_only_watches(pipeline: AnyIDPipeline) -> None:
    """Progress is reported once a step, with the timestep and the step's latents."""
    seen = []

    def watch(pipe, step, timestep, tensors):
        seen.append((step, float(timestep), tensors["latents"].clone()))
        return {}

    call = {**SMALL, "references": references(), "prompt": "a beach", "output_type": "latent"}
    latents = pipeline(**call, generator=noise_of(0), callback_on_step_end=watch).frames
    torch.testing.assert_close(latents, pipeline(**call, generator=noise_of(0)).frames, rtol=0, atol=0)
    assert [step for step, _, _ in seen] == [0, 1, 2]
    assert [timestep for _, timestep, _ in seen] == pipeline.scheduler.timesteps.tolist()
    torch.testing.assert_close(seen[-1][2], latents, rtol=0, atol=0)


def test_it_offloads_as_diffusers_does() -> None:
    """The order of offloading is upstream's; groups of layers come and go without a trace in the result."""
    assert AnyIDPipeline.model_cpu_offload_seq == WanPipeline.model_cpu_offload_seq
    pipeline = build_tiny_pipeline()
    call = {**SMALL, "references": references(), "prompt": "a beach", "output_type": "latent"}
    expected = pipeline(**call, generator=noise_of(0)).frames
    for offload in (
        {"offload_type": "leaf_level"},
        {"offload_type": "block_level", "num_blocks_per_group": 2},
    ):
        offloaded = build_tiny_pipeline()
        offloaded.transformer.enable_group_offload(torch.device("cpu"), **offload)
        torch.testing.assert_close(offloaded(**call, generator=noise_of(0)).frames, expected, rtol=0, atol=0)


def test_it_takes_diffusers_step_caches() -> None:
    """A first-block cache that never trusts itself changes nothing; one that always does skips the rest."""
    pipeline = build_tiny_pipeline()
    call = {**SMALL, "references": references(), "prompt": "a beach", "output_type": "latent"}
    expected = pipeline(**call, generator=noise_of(0)).frames
    ran = []
    pipeline.transformer.blocks[-1].ffn.register_forward_hook(lambda *_: ran.append(1))
    for threshold, passes in ((0.0, 6), (1e9, 2)):
        pipeline.transformer.enable_cache(FirstBlockCacheConfig(threshold=threshold))
        latents = pipeline(**call, generator=noise_of(0)).frames
        assert len(ran) == passes  # of two passes per step, three steps
        assert torch.allclose(latents, expected, rtol=0, atol=0) == (passes == 6)
        pipeline.transformer.disable_cache()
        ran.clear()


def test_it_decodes_a_batch_as_it_decodes_each_alone(pipeline: AnyIDPipeline) -> None:
    latents = torch.randn(2, LATENT_CHANNELS, 2, 4, 4, generator=noise_of(0)[0])
    together = pipeline.decode_latents(latents).astype(int)
    alone = [pipeline.decode_latents(latents[row : row + 1]).astype(int) for row in (0, 1)]
    # Rounding to whole levels may fall on either side.
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1)
    pipeline.vae.enable_slicing()
    sliced = pipeline.decode_latents(latents)
    pipeline.vae.disable_slicing()
    np.testing.assert_array_equal(sliced, np.concatenate(alone))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"references": []}, "no reference was given"),
        ({"references": None}, "no reference was given"),
        ({"references": [[]]}, "has no frames"),
        ({"references": [np.zeros((4, 4), np.uint8)]}, r"must be \(F, H, W, 3\) uint8"),
        (
            {"references": [[Image.new("RGB", (8, 8)), Image.new("RGB", (8, 6))]]},
            "reference 1: frames 0 and 1 of a clip are 8x8 and 8x6 pixels; give one size",
        ),
        ({"prompt": None}, "no prompt was given; say what changes"),
        ({"prompt": []}, "no prompt was given"),
        ({"prompt": ["a beach", 5]}, "a prompt is 5; it must be text"),
        ({"height": 40}, "height is 40; it must be a multiple of 16, such as 32"),
        ({"width": 8}, "width is 8; it must be a multiple of 16, such as 16"),
        ({"num_frames": 8}, r"num_frames is 8; it must be 4k \+ 1, such as 9"),
        ({"num_frames": 0}, "num_frames is 0"),
        ({"guidance_scale": 0.5}, "guidance_scale is 0.5; it must be at least 1"),
        ({"generator": noise_of(1, 2)}, "2 generators were given for 1 videos"),
        ({"reference_latents": torch.zeros(2, LATENT_CHANNELS, 1, 4, 4)}, "reference_latents hold 2 samples"),
    ],
)
def test_it_names_the_value_and_the_remedy(pipeline: AnyIDPipeline, change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pipeline(**{**SMALL, "references": references(), "prompt": "a beach", **change})


def test_references_stand_in_the_checkpoints_order(pipeline: AnyIDPipeline) -> None:
    """They are always given with the primary first; one that was trained the other way turns them round."""
    shown = references()
    usual = pipeline.encode_references(shown, 64, 64)
    try:
        pipeline.register_to_config(reference_order="primary_last")
        turned = pipeline.encode_references(shown[::-1], 64, 64)
    finally:
        pipeline.register_to_config(reference_order="primary_first")
    torch.testing.assert_close(turned, usual, rtol=0, atol=0)
    with pytest.raises(ValueError, match="reference_order is 'random'; it must be 'primary_first' or"):
        in_order(shown, "random")


def test_it_saves_and_loads_also_in_plain_diffusers(pipeline: AnyIDPipeline, tmp_path) -> None:
    pipeline.save_pretrained(tmp_path)
    again = AnyIDPipeline.from_pretrained(str(tmp_path))
    assert (again.config.max_sequence_length, again.config.empty_references) == (64, "one")
    call = {**SMALL, "references": references(), "prompt": "a beach", "output_type": "latent"}
    torch.testing.assert_close(
        again(**call, generator=noise_of(1)).frames, pipeline(**call, generator=noise_of(1)).frames
    )
    assert type(WanPipeline.from_pretrained(str(tmp_path)).transformer) is WanTransformer3DModel
    assert json.loads((tmp_path / "model_index.json").read_text())["_class_name"] == "AnyIDPipeline"


def test_it_loads_adapters_as_plain_diffusers_does(pipeline: AnyIDPipeline, tmp_path) -> None:
    """A LoRA of rank 4 and alpha 8 (so scaled by 2) gives one output in both pipelines."""
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    pipeline.save_pretrained(base)
    trained = load_pipeline(base)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["to_q", "to_v"], init_lora_weights=False)
    torch.manual_seed(0)
    trained.transformer.add_adapter(config)
    layers = get_peft_model_state_dict(trained.transformer)
    metadata = {"r": 4, "lora_alpha": 8, "target_modules": ["to_q", "to_v"]}
    AnyIDPipeline.save_lora_weights(
        adapter, transformer_lora_layers=layers, transformer_lora_adapter_metadata=metadata
    )
    plain = WanPipeline.from_pretrained(str(base))
    plain.load_lora_weights(str(adapter))
    target, timestep = torch.randn(1, LATENT_CHANNELS, 2, 4, 4), torch.tensor([500.0])
    text = torch.randn(1, 7, 128)
    with torch.no_grad():
        expected = trained.transformer(target, timestep, text).sample
        loaded = load_pipeline(base, [adapter]).transformer(target, timestep, text).sample
        convert(adapter, comfyui := tmp_path / "comfyui.safetensors")
        from_comfyui = load_pipeline(base, [comfyui]).transformer(target, timestep, text).sample
        in_plain = plain.transformer(target, timestep, text).sample
        without = pipeline.transformer(target, timestep, text).sample
    torch.testing.assert_close(loaded, expected)
    torch.testing.assert_close(from_comfyui, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(in_plain, expected, atol=1e-5, rtol=1e-4)
    assert (without - expected).abs().max() > 1e-4


def test_it_loads_with_the_kernels_asked_for(pipeline: AnyIDPipeline, tmp_path) -> None:
    pipeline.save_pretrained(tmp_path)
    loaded = load_pipeline(tmp_path, attention="native", compiled=True)
    blocks = loaded.transformer.blocks
    assert all(block.attn1.processor._attention_backend == "native" for block in blocks)
    assert all(block._compiled_call_impl is not None for block in blocks)
    with pytest.raises(ValueError, match="attention 'fast' is unknown"):
        load_pipeline(tmp_path, attention="fast")


def test_a_transformer_that_does_not_fit_stays_in_main_memory(pipeline: AnyIDPipeline, tmp_path) -> None:
    pipeline.save_pretrained(tmp_path)
    loaded = load_pipeline(tmp_path, device="meta", transformer_device="cpu")
    assert (loaded.vae.device.type, loaded.text_encoder.device.type) == ("meta", "meta")
    assert loaded.transformer.device.type == "cpu"


def test_it_says_what_is_no_model_and_no_adapter(tmp_path) -> None:
    with pytest.raises(ValueError, match="is not a model: it has no model_index.json"):
        load_pipeline(tmp_path)
    with pytest.raises(ValueError, match="is not an adapter: it has no pytorch_lora_weights.safetensors"):
        load_pipeline("some/hub-id", [tmp_path])


def test_it_reads_every_word_of_the_world_whole_and_other_words_in_pieces() -> None:
    tokenizer = build_tokenizer()
    assert tokenizer.tokenize("The person now wears a red shirt.") == [
        "▁the", "▁person", "▁now", "▁wears", "▁a", "▁red", "▁shirt."
    ]  # fmt: skip
    assert tokenizer.unk_token_id not in tokenizer("A zebra jumps over 3 fences!").input_ids
    assert tokenizer("").input_ids == [tokenizer.eos_token_id]
