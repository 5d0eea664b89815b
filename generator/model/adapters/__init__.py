"""LoRA adapters of several programs, read as one form or refused in one line.

    Diffusers   transformer.<layer>.lora_A.weight               alpha in the header
    PEFT        base_model.model.<layer>.lora_A.weight          alpha in adapter_config.json beside it
    DiffSynth   blocks.0.self_attn.q.lora_A.default.weight      no alpha: B @ A is added as it is
    ComfyUI     diffusion_model.blocks.0.self_attn.q.lora_A.weight, or .lora_down.weight, and .alpha
    kohya       lora_unet_blocks_0_self_attn_q.lora_down.weight and .alpha

`<layer>` is Diffusers' name of a linear layer of the transformer; the last three have the original code's.
Safetensors only: a pickle can run programs.
"""
