"""What the settings of every training run have in common; plain, so that the web can check a form, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

#: What gradient checkpointing may keep instead of recomputing it.
KEPT = ("none", "attention", "products")


@dataclass(frozen=True)
class RunConfig:
    """Settings that every training run has; each kind of run adds its own.

    Attributes:
        steps: optimizer steps, at least 1.
        batch_size: items a step on each device, at least 1.
        accumulation: batches added up before an optimizer step, at least 1.
        learning_rate: of AdamW, above 0, constant after the warm-up.
        warmup_steps: linear warm-up, at least 0.
        max_grad_norm: gradients are clipped to this norm, above 0; the logged norm is from before.
        rank: of the LoRA, at least 1.
        alpha: of the LoRA, at least 1; its output is scaled by alpha / rank.
        targets: endings of the names of the linear layers that get a LoRA, at least one.
        time_mean: mean of the logit-normal time.
        time_std: its standard deviation, at least 0.
        time_shift: leans times towards noise, above 0; None takes the flow shift of the model's sampler.
        time_low: smallest time, in [0, 1].
        time_high: largest time, above `time_low` and at most 1.
        time_strata: in so many passes, each item meets each of so many equal parts of the times once.
        ema_decay: of the moving average of what is trained, which is the result, in [0, 1); 0 switches it
            off.
        save_every: steps between checkpoints, at least 1.
        bf16: arithmetic in bfloat16; what is trained stays float32. None takes it where the device is faster
            in it, see `generator.model.precision`; the run's log and result say what it took.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        kept_activations: what is not recomputed then: "none", "attention" (its outputs: the dearest to
            recompute, the smallest to keep) or "products" (those of linear layers, too, but for the widest).
        compiled: compile the transformer's block, once for sequences of every length.
        attention: backend, see `generator.model.kernels.choose_attention`; None for Diffusers' default.
        sharded: share the frozen weights out over several processes, see `training.sharding`: for a base that
            does not fit one device. The result is the same.
        seed: of first weights, the order of items, noise and times.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    steps: int = 100
    batch_size: int = 8
    accumulation: int = 1
    learning_rate: float = 1e-4
    warmup_steps: int = 5
    max_grad_norm: float = 1.0
    rank: int = 16
    alpha: int = 16
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
    time_mean: float = 0.0
    time_std: float = 1.0
    time_shift: float | None = None
    time_low: float = 0.02
    time_high: float = 0.98
    time_strata: int = 4
    ema_decay: float = 0.99
    save_every: int = 25
    bf16: bool | None = None
    gradient_checkpointing: bool = False
    kept_activations: str = "attention"
    compiled: bool = False
    attention: str | None = None
    sharded: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        self._expect_counts("steps", "batch_size", "accumulation", "rank", "alpha")
        self._expect_counts("time_strata", "save_every")
        self._expect("learning_rate", self.learning_rate > 0, "above 0")
        self._expect("max_grad_norm", self.max_grad_norm > 0, "above 0")
        self._expect("warmup_steps", self.warmup_steps >= 0, "at least 0")
        self._expect("targets", len(self.targets) > 0, "at least one name")
        self._expect("ema_decay", 0 <= self.ema_decay < 1, "in [0, 1)")
        self._expect("kept_activations", self.kept_activations in KEPT, " or ".join(KEPT))
        whole = not (self.compiled and self.gradient_checkpointing) or self.kept_activations == "none"
        self._expect("kept_activations", whole, "none where blocks are compiled: nobody sees into them")
        self._expect("time_shift", self.time_shift is None or self.time_shift > 0, "above 0")
        self._expect("time_std", self.time_std >= 0, "at least 0")
        self._expect(
            "time_low", 0 <= self.time_low < self.time_high <= 1, "at least 0 and below time_high <= 1"
        )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read the `config` of a request; fields that are not given keep their defaults.

        Raises:
            ValueError: an unknown field, or a value out of its range.
        """
        known = [item.name for item in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"config has unknown fields {', '.join(unknown)}; known are {', '.join(known)}")
        plain: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
        try:
            return cls(**plain)
        except TypeError as error:
            raise ValueError(f"config has a value of the wrong type: {error}") from None

    def to_json(self) -> dict[str, Any]:
        """The inverse of `from_json`."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}

    def _expect_counts(self, *names: str, least: int = 1) -> None:
        for name in names:
            value = getattr(self, name)
            self._expect(name, isinstance(value, int) and value >= least, f"at least {least}")

    def _expect(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {rule}")


@dataclass(frozen=True)
class SampledConfig(RunConfig):
    """Settings of runs that show what they are learning.

    Attributes:
        sample_every: steps between sample clips; 0 for none.
        sample_count: so many different inputs are shown, at least 1.
        sample_steps: denoising steps of a sample clip, at least 1.
        guidance_scale: of a sample clip, at least 1.
        others: see `RunConfig`.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    sample_every: int = 0
    sample_count: int = 4
    sample_steps: int = 20
    guidance_scale: float = 5.0

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        super().__post_init__()
        self._expect_counts("sample_count", "sample_steps")
        self._expect_counts("sample_every", least=0)
        self._expect("guidance_scale", self.guidance_scale >= 1, "at least 1")
