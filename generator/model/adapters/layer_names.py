"""Layers of Wan's transformer by the names of Diffusers and of the original code."""

from __future__ import annotations

#: Layers of a block: Diffusers' name, the original name.
_BLOCK_LAYERS = {
    **{f"attn1.to_{name}": f"self_attn.{name}" for name in "qkv"},
    **{f"attn2.to_{name}": f"cross_attn.{name}" for name in "qkv"},
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_out.0": "cross_attn.o",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}
#: Layers outside the blocks.
_OTHER_LAYERS = {
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
}
_FROM_ORIGINAL = {name: layer for layer, name in _BLOCK_LAYERS.items()}
_OTHER_FROM_ORIGINAL = {name: layer for layer, name in _OTHER_LAYERS.items()}


def original_layer(layer: str) -> str:
    """The original Wan's name of a Diffusers layer: `blocks.3.attn1.to_out.0` is `blocks.3.self_attn.o`.

    Raises:
        ValueError: it is no linear layer of Wan's transformer that ComfyUI's form has a name for.
    """
    head, _, rest = layer.partition(".")
    number, _, inner = rest.partition(".")
    if head == "blocks" and number.isdigit() and inner in _BLOCK_LAYERS:
        return f"blocks.{number}.{_BLOCK_LAYERS[inner]}"
    if layer in _OTHER_LAYERS:
        return _OTHER_LAYERS[layer]
    raise ValueError(
        f"layer {layer!r} has no name in ComfyUI's form; train the linear layers of the blocks instead"
    )


def diffusers_layer(original: str) -> str | None:
    """The inverse of `original_layer`; None where the original code has no such layer."""
    head, _, rest = original.partition(".")
    number, _, inner = rest.partition(".")
    if head == "blocks" and number.isdigit() and inner in _FROM_ORIGINAL:
        return f"blocks.{number}.{_FROM_ORIGINAL[inner]}"
    return _OTHER_FROM_ORIGINAL.get(original)


def underscored_layer(name: str) -> str | None:
    """The Diffusers layer of an original name whose dots are underscores: `blocks_3_self_attn_o`."""
    head, _, rest = name.partition("_")
    number, _, inner = rest.partition("_")
    if head == "blocks" and number.isdigit():
        inner = next((known for known in _FROM_ORIGINAL if known.replace(".", "_") == inner), "")
        return diffusers_layer(f"blocks.{number}.{inner}")
    return next(
        (layer for known, layer in _OTHER_FROM_ORIGINAL.items() if known.replace(".", "_") == name), None
    )
