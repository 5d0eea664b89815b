"""Files of an adapter's folder, by name, and adapters as the requests of runs name them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: As Diffusers names and reads it.
ADAPTER_FILE = "pytorch_lora_weights.safetensors"
#: As PEFT names weights and configuration.
PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
#: The same weights under the names that ComfyUI's loader looks for.
COMFYUI_FILE = "comfyui.safetensors"


def adapters_in(model: Mapping[str, Any]) -> list[tuple[str, float]]:
    """The adapters of a request's model in their order: path and weight.

    A path alone has weight 1; others are {"path": path, "weight": number}.
    """
    return [
        (str(adapter["path"]), float(adapter["weight"]))
        if isinstance(adapter, Mapping)
        else (str(adapter), 1.0)
        for adapter in model.get("adapters", [])
    ]
