"""What the settings of every training run have in common; plain, so that the web can check a form, too."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from generator.validation import Amount, Count, Number, Positive, Stored, record

#: So many processes at most; a larger number is a slip of the pen.
MAX_DEVICES = 1024
#: What gradient checkpointing may keep instead of recomputing it.
Kept = Literal["none", "attention", "products"]


@record
class RunConfig(Stored):
    """Settings that every training run has; each kind of run adds its own.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    steps: Count = Field(default=100, description="optimizer steps")
    batch_size: Count = Field(default=8, description="items per step on each device")
    accumulation: Count = Field(default=1, description="batches added up before an optimizer step")
    learning_rate: Positive = Field(default=1e-4, description="of AdamW, constant after the warm-up")
    warmup_steps: Amount = Field(default=5, description="linear warm-up")
    max_grad_norm: Positive = Field(
        default=1.0, description="gradients are clipped to this norm; the logged norm is from before"
    )
    rank: Count = Field(default=16, description="of the LoRA")
    alpha: Count = Field(default=16, description="of the LoRA; its output is scaled by alpha / rank")
    targets: tuple[str, ...] = Field(
        default=("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"),
        min_length=1,
        description="endings of the names of the linear layers that get a LoRA, at least one",
    )
    time_mean: Number = Field(default=0.0, description="mean of the logit-normal time")
    time_std: Number = Field(default=1.0, ge=0, description="standard deviation of the logit-normal time")
    time_shift: Positive | None = Field(
        default=None,
        description="leans times towards noise; None takes the flow shift of the model's sampler",
    )
    time_low: Number = Field(default=0.02, ge=0, lt=1, description="smallest time, below time_high")
    time_high: Number = Field(default=0.98, gt=0, le=1, description="largest time")
    time_strata: Count = Field(
        default=4,
        description="in so many passes, each item meets each of so many equal parts of the times once",
    )
    ema_decay: Number = Field(
        default=0.99,
        ge=0,
        lt=1,
        description="of the moving average of what is trained, which is the result; 0 switches it off",
    )
    save_every: Count = Field(default=25, description="steps between checkpoints")
    bf16: bool | None = Field(
        default=None,
        description="compute in bfloat16; what is trained stays float32. None takes it where the device "
        "is faster in it, see generator.model.precision; the run's log and result say what it took",
    )
    gradient_checkpointing: bool = Field(
        default=False, description="recompute activations in the backward pass to save memory"
    )
    kept_activations: Kept = Field(
        default="attention",
        description="what is not recomputed then: none, attention (its outputs: the dearest to recompute, "
        "the smallest to keep) or products (those of linear layers, too, but for the widest)",
    )
    compiled: bool = Field(
        default=False, description="compile the transformer's block, once for sequences of every length"
    )
    attention: str | None = Field(
        default=None,
        description="backend, see generator.model.kernels.choose_attention; None for Diffusers' default",
    )
    sharded: bool = Field(
        default=False,
        description="share the frozen weights out over several processes, see training.sharding: for a base "
        "that does not fit one device. The result is the same",
    )
    devices: Count = Field(
        default=1,
        le=MAX_DEVICES,
        description="processes that train together, one per device, each with batch_size items: 2 learn what "
        "one does from batches twice as large. The site starts them; at the shell, torchrun does",
    )
    seed: int = Field(default=0, description="of first weights, the order of items, noise and times")

    @model_validator(mode="after")
    def _check_run(self) -> Self:
        is_seen_into = not (self.compiled and self.gradient_checkpointing) or self.kept_activations == "none"
        self._expect(
            "kept_activations", is_seen_into, "none where blocks are compiled: nobody sees into them"
        )
        self._expect("time_low", self.time_low < self.time_high, f"below time_high ({self.time_high})")
        return self

    def _expect(self, name: str, holds: object, rule: str) -> None:
        """For rules that bind several fields."""
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {rule}")


@record
class SampledConfig(RunConfig):
    """Settings of runs that show what they are learning."""

    sample_every: Amount = Field(default=0, description="steps between sample clips; 0 for none")
    sample_count: Count = Field(default=4, description="so many different inputs are shown")
    sample_steps: Count = Field(default=20, description="denoising steps of a sample clip")
    guidance_scale: Number = Field(default=5.0, ge=1, description="of a sample clip")
