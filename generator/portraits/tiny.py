"""The configuration of the tiny AnyID that the project ships, with random weights."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

from generator.model.pipeline import AnyIDPipeline
from generator.model.scheduler import build_scheduler
from generator.model.transformer import AnyIDTransformer, ReferencePosition
from generator.model.vae import AutoencoderKLWan
from generator.portraits.world import ELEMENT_STATES, phrase_change

#: Latent channels of the tiny VAE, folded from 48: a velocity carries the noise of every channel, and through
#: a width of 192 the noise of that many left no room for anything else.
LATENT_CHANNELS = 24
#: Width of the text embeddings.
TEXT_WIDTH = 128
#: Tokens of a prompt; seven statements have at most 63.
MAX_TOKENS = 64
#: The sampler's time shift; training draws its times with the same.
FLOW_SHIFT = 3.0


def build_tiny_pipeline(seed: int = 0) -> AnyIDPipeline:
    """The shipped architecture with random weights: 64x64 pixels, about 7.5 M parameters.

    Args:
        seed: equal seeds give equal weights.

    Returns:
        A pipeline in evaluation mode, on the CPU, without a progress bar.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = AnyIDPipeline(
            tokenizer=build_tokenizer(),
            text_encoder=build_text_encoder(),
            vae=build_vae(),
            scheduler=build_scheduler(FLOW_SHIFT),
            transformer=build_transformer(),
            max_sequence_length=MAX_TOKENS,
        )
    for part in (pipeline.text_encoder, pipeline.vae, pipeline.transformer):
        part.eval().requires_grad_(False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def build_vae(channels: int = LATENT_CHANNELS) -> AutoencoderKLWan:
    """A small Wan VAE: 8x in space, 4x in time, in the residual form of Wan 2.2.

    Args:
        channels: of the latents.

    Returns:
        Random weights, 2.8 M parameters; latent statistics 0 and 1 until they are measured.
    """
    return AutoencoderKLWan(
        base_dim=32,
        z_dim=channels,
        dim_mult=[1, 2, 2],
        num_res_blocks=1,
        attn_scales=[],
        temperal_downsample=[True, True],
        dropout=0.0,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        is_residual=True,
        scale_factor_spatial=8,
        scale_factor_temporal=4,
        latents_mean=[0.0] * channels,
        latents_std=[1.0] * channels,
    )


def build_transformer(layers: int = 6, position: ReferencePosition = "after") -> AnyIDTransformer:
    """Six layers of four heads of 64: 16 tokens a latent frame of a 64x64 video.

    A token holds 96 latent numbers. The width is well above that, since a predicted velocity contains all of
    the noise, which has to pass through beside everything else.
    """
    return AnyIDTransformer(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=64,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        text_dim=TEXT_WIDTH,
        freq_dim=128,
        ffn_dim=640,
        num_layers=layers,
        rope_max_seq_len=64,
        reference_position=position,
    )


def build_text_encoder() -> UMT5EncoderModel:
    """A small UMT5 encoder for the tokens of `build_tokenizer`."""
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=VOCABULARY_SIZE,
            d_model=TEXT_WIDTH,
            d_kv=32,
            d_ff=256,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )


#: Sub-words of the tokenizer: the words of the portrait world, and letters for all others.
VOCABULARY_SIZE = 384


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer whose whole words are those of the portrait world; other words become smaller pieces."""
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=["<pad>", "</s>", "<unk>"],
        initial_alphabet=list("abcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-"),
        show_progress=False,
    )
    core.train_from_iterator(_sentences(), trainer)
    core.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=MAX_TOKENS,
    )


def _sentences() -> Iterable[str]:
    """Every sentence of the portrait world, in a fixed order."""
    for element, states in ELEMENT_STATES.items():
        for state, phrasing in itertools.product(states, range(4)):
            yield phrase_change(element, state, phrasing)
