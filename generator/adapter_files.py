"""Files of an adapter's folder, by name."""

#: As Diffusers names and reads it.
ADAPTER_FILE = "pytorch_lora_weights.safetensors"
#: As PEFT names weights and configuration.
PEFT_FILE, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
#: The same weights under the names that ComfyUI's loader looks for.
COMFYUI_FILE = "comfyui.safetensors"
