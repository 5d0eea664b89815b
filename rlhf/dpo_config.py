"""Every setting of a Flow-DPO run, documented and checked; plain, so that the web can check a form, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

#: TRL's losses that mean something for a flow error (trl 1.16).
LOSS_TYPES = (
    "sigmoid",
    "hinge",
    "ipo",
    "exo_pair",
    "nca_pair",
    "robust",
    "bco_pair",
    "sppo_hard",
    "aot",
    "aot_unpaired",
    "apo_zero",
    "apo_down",
    "discopop",
    "sft",
    "sigmoid_norm",
)


@dataclass(frozen=True)
class FlowDPOConfig:
    """One Flow-DPO run; the defaults suit the shipped tiny model, `WAN_5B` the real one.

    Attributes:
        beta: strength of the pull to the frozen policy, as in `rlhf.objectives.flow_dpo_loss`. Diffusion-DPO
            and Flow-DPO write beta / 2: their beta is twice this one.
        steps: optimizer steps.
        batch_size: pairs a step on each device.
        accumulation: batches added up before an optimizer step.
        learning_rate: of AdamW, constant after the warm-up.
        warmup_steps: linear warm-up.
        max_grad_norm: gradients are clipped to this norm; the logged norm is from before.
        rank: of the LoRA.
        alpha: of the LoRA; its output is scaled by alpha / rank.
        targets: endings of the names of the linear layers that get a LoRA.
        loss_types: losses of `trl.DPOTrainer`, added up; ("sigmoid", "sft") anchors the chosen error.
        loss_weights: one a loss; empty for 1 each.
        label_smoothing: share of wrong preferences that `robust`, `exo_pair` and `aot*` assume, in [0, 0.5).
        guard: "sdpo" scales the rejected gradient so that the chosen error falls; "none" does not.
        guard_mu: share of the chosen descent that the guard keeps, in [0, 1].
        time_mean: mean of the logit-normal time.
        time_std: its standard deviation.
        time_shift: leans times towards noise; equal to the sampler's flow shift.
        time_low: smallest time.
        time_high: largest time.
        time_strata: in so many passes, each pair meets each of so many equal parts of the times once.
        save_every: steps between checkpoints.
        bf16: autocast to bfloat16 (GPU); the LoRA itself stays float32.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
        seed: of the LoRA's first weights, the order of pairs, noise and times.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    beta: float = 250.0
    steps: int = 100
    batch_size: int = 8
    accumulation: int = 1
    learning_rate: float = 1e-4
    warmup_steps: int = 5
    max_grad_norm: float = 1.0
    rank: int = 16
    alpha: int = 16
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2")
    loss_types: tuple[str, ...] = ("sigmoid",)
    loss_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    guard: str = "sdpo"
    guard_mu: float = 0.6
    time_mean: float = 0.0
    time_std: float = 1.0
    time_shift: float = 3.0
    time_low: float = 0.02
    time_high: float = 0.98
    time_strata: int = 4
    save_every: int = 25
    bf16: bool = False
    gradient_checkpointing: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        for name in ("steps", "batch_size", "accumulation", "rank", "alpha", "time_strata", "save_every"):
            self._expect(
                name, isinstance(getattr(self, name), int) and getattr(self, name) >= 1, "at least 1"
            )
        for name in ("beta", "learning_rate", "max_grad_norm", "time_shift"):
            self._expect(name, getattr(self, name) > 0, "above 0")
        self._expect("warmup_steps", self.warmup_steps >= 0, "at least 0")
        self._expect("time_std", self.time_std >= 0, "at least 0")
        self._expect("targets", len(self.targets) > 0, "at least one name")
        self._expect("guard", self.guard in ("sdpo", "none"), "sdpo or none")
        self._expect("guard_mu", 0 <= self.guard_mu <= 1, "in [0, 1]")
        self._expect(
            "time_low", 0 <= self.time_low < self.time_high <= 1, "at least 0 and below time_high <= 1"
        )
        self._expect("label_smoothing", 0 <= self.label_smoothing < 0.5, "in [0, 0.5)")
        self._expect("loss_types", len(self.loss_types) > 0, "at least one loss")
        for loss in self.loss_types:
            self._expect("loss_types", loss in LOSS_TYPES, f"among {', '.join(LOSS_TYPES)}")
        matches = len(self.loss_weights) in (0, len(self.loss_types))
        self._expect("loss_weights", matches, f"empty, or {len(self.loss_types)} numbers as loss_types")
        needs_smoothing = "exo_pair" in self.loss_types and self.label_smoothing == 0
        self._expect("label_smoothing", not needs_smoothing, "above 0 for exo_pair, such as 0.001")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FlowDPOConfig:
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

    def _expect(self, name: str, holds: bool, rule: str) -> None:
        if not holds:
            raise ValueError(f"{name} is {getattr(self, name)!r}; it must be {rule}")


#: For Wan 2.2 5B and about a thousand pairs: four passes in batches of 16. Higher learning rates are known to
#: collapse; raise beta before raising the rate.
WAN_5B = FlowDPOConfig(
    beta=1000.0,
    steps=250,
    batch_size=1,
    accumulation=16,
    learning_rate=1e-5,
    warmup_steps=20,
    rank=64,
    alpha=64,
    time_shift=5.0,
    bf16=True,
    gradient_checkpointing=True,
)
