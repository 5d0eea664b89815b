"""How the transformer is computed: attention backends, and compiled blocks.

Attention is half of a forward pass of the 5B model at full size and two thirds of a training step, so its
kernel matters more than anything else. But some backends have no backward pass, and one of those found out
in the middle of a run is a lost day: they are refused by name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from generator.model.transformer import AnyIDTransformer

#: Backends of Diffusers 0.42 whose backward pass was found in its source or in the library it calls. A name
#: that ends in `_hub` fetches its kernel from the hub at the first use.
TRAINABLE = (
    "_native_cudnn",
    "flash",
    "flash_hub",
    "flash_varlen",
    "flash_varlen_hub",
    "_flash_3_hub",
    "flex",
    "native",
    "_native_efficient",
    "_native_flash",
    "_native_math",
    "xformers",
)


def choose_attention(transformer: AnyIDTransformer, name: str, *, training: bool = False) -> None:
    """Run every attention of the transformer by one backend; other models of the process keep theirs.

    Args:
        transformer: the model.
        name: of Diffusers' backends. `_native_cudnn` (bf16 or fp16 on an NVIDIA GPU, nothing to install) and
            `flash` (needs `flash-attn`) train and sample; `native` runs everywhere.
        training: whether a backward pass will be wanted.

    Raises:
        ValueError: no such backend, or one that cannot train.
        RuntimeError: the package that it needs is missing; Diffusers names it.
    """
    from diffusers.models.attention_dispatch import AttentionBackendName, attention_backend

    known = sorted(backend.value for backend in AttentionBackendName)
    if name not in known:
        raise ValueError(f"attention {name!r} is unknown; there are {', '.join(known)}")
    if training and name not in TRAINABLE:
        raise ValueError(
            f"attention {name!r} has no backward pass, so it can sample but not train; "
            f"use one of {', '.join(TRAINABLE[:3])}"
        )
    with attention_backend(name):  # Diffusers would make it the process's default, too; this takes that back
        transformer.set_attention_backend(name)


def compile_blocks(transformer: AnyIDTransformer, *, backend: str | Callable[..., Any] = "inductor") -> None:
    """Compile the block that repeats, once for all sequence lengths; the first call takes a minute or so.

    Adapters must be there already. References make sequences of many lengths. Rounding them up to a few
    would change the result, since attention has no mask; so the length is a symbol of the compiled block
    instead, and one graph serves every number and kind of references, and every batch size above one.

    Args:
        transformer: the model, with its adapters.
        backend: of `torch.compile`.
    """
    transformer.compile_repeated_blocks(fullgraph=True, dynamic=True, backend=backend)
