"""Every setting of a Flow-DPO run, documented and checked; plain, so that the web can check a form, too."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf.run_config import RunConfig

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
class FlowDPOConfig(RunConfig):
    """One Flow-DPO run; the defaults suit the shipped tiny model, `WAN_5B` the real one.

    Attributes:
        beta: strength of the pull to the frozen policy, as in `rlhf.objectives.flow_dpo_loss`. Diffusion-DPO
            and Flow-DPO write beta / 2: their beta is twice this one.
        loss_types: losses of `trl.DPOTrainer`, added up; ("sigmoid", "sft") anchors the chosen error.
        loss_weights: one a loss; empty for 1 each.
        label_smoothing: share of wrong preferences that `robust`, `exo_pair` and `aot*` assume, in [0, 0.5).
        guard: "sdpo" scales the rejected gradient so that the chosen error falls; "none" does not.
        guard_mu: share of the chosen descent that the guard keeps, in [0, 1].
        time_shift: leans times towards noise; equal to the sampler's flow shift.
        others: see `RunConfig`; an item is a pair.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    time_shift: float = 3.0
    beta: float = 250.0
    loss_types: tuple[str, ...] = ("sigmoid",)
    loss_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    guard: str = "sdpo"
    guard_mu: float = 0.6

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        super().__post_init__()
        self._expect("beta", self.beta > 0, "above 0")
        self._expect("guard", self.guard in ("sdpo", "none"), "sdpo or none")
        self._expect("guard_mu", 0 <= self.guard_mu <= 1, "in [0, 1]")
        self._expect("label_smoothing", 0 <= self.label_smoothing < 0.5, "in [0, 0.5)")
        self._expect("loss_types", len(self.loss_types) > 0, "at least one loss")
        for loss in self.loss_types:
            self._expect("loss_types", loss in LOSS_TYPES, f"among {', '.join(LOSS_TYPES)}")
        matches = len(self.loss_weights) in (0, len(self.loss_types))
        self._expect("loss_weights", matches, f"empty, or {len(self.loss_types)} numbers as loss_types")
        needs_smoothing = "exo_pair" in self.loss_types and self.label_smoothing == 0
        self._expect("label_smoothing", not needs_smoothing, "above 0 for exo_pair, such as 0.001")


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
