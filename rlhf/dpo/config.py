"""Every setting of a Flow-DPO run, documented and checked; plain, so that the web can check a form, too."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf.training.config import SampledConfig

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
#: Those that read `label_smoothing`.
SMOOTHED = frozenset({"robust", "exo_pair", "aot", "aot_unpaired"})
SCHEDULES = ("constant", "one_minus_t_sq")


@dataclass(frozen=True)
class FlowDPOConfig(SampledConfig):
    """One Flow-DPO run; the defaults suit the shipped tiny model, `WAN_5B` the real one.

    Attributes:
        beta: strength of the pull to the frozen policy, as in `rlhf.objectives.flow_dpo_loss`. Diffusion-DPO
            and Flow-DPO write beta / 2: their beta is twice this one.
        beta_schedule: "constant", or "one_minus_t_sq" for beta (1 - t)^2, see `rlhf.objectives.time_weight`.
        loss_types: losses of `trl.DPOTrainer`, added up; ("sigmoid", "sft") anchors the chosen error.
        loss_weights: one a loss; empty for 1 each.
        label_smoothing: share of wrong preferences that `robust`, `exo_pair` and `aot*` assume, in [0, 0.5).
        pair_weighting: "none", or "posterior" for a gradient in proportion to how sure the votes are: the
            product of both tracks' posteriors, 1 on average. The loss is reported without it.
        guard: "sdpo" scales the rejected gradient so that the chosen error falls; "none" does not.
        guard_mu: share of the chosen descent that the guard keeps, in [0, 1].
        time_shift: leans times towards noise; equal to the sampler's flow shift.
        bf16: see `RunConfig`. Off unless it is asked for, since a preference margin is a small difference of
            large errors: with the shipped model, margins of 0.007 to 0.012 were off by 0.002 to 0.003 in
            bfloat16, for 1.6 times the speed. A model that does not fit the device in float32 needs it.
        draws_per_pair: noise and times of a pair come from a finite set of so many draws, a multiple of
            `time_strata`; where a run comes back to one, the frozen policy's error is read from the bank. 0
            draws anew each time, without a bank.
        split_arms: see `rlhf.dpo.policy.FlowPolicy`: half the memory for one more forward pass.
        arm_parallel: the two arms of a pair on two devices, see `branch_parallel`: half the memory on each.
            Needs an even number of processes, which meet half as many pairs a step as without it.
        held_out: share of the identities, in [0, 0.5], whose pairs are never trained on but watched.
        evaluate_every: steps between looks at them, at least 1; the last step always has one.
        max_excess: the run ends early when the error on held-out chosen videos is above the frozen policy's
            by more than this share in three looks running; above 0.
        others: see `SampledConfig` (people who are held out are shown first) and `RunConfig`; an item is a
            pair.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    time_shift: float = 3.0
    bf16: bool | None = False
    beta: float = 250.0
    loss_types: tuple[str, ...] = ("sigmoid",)
    loss_weights: tuple[float, ...] = ()
    label_smoothing: float = 0.0
    guard: str = "sdpo"
    guard_mu: float = 0.6
    beta_schedule: str = "constant"
    pair_weighting: str = "none"
    draws_per_pair: int = 8
    split_arms: bool = False
    arm_parallel: bool = False
    held_out: float = 0.1
    evaluate_every: int = 25
    max_excess: float = 0.005

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
        means_something = not self.label_smoothing or SMOOTHED.intersection(self.loss_types)
        self._expect(
            "label_smoothing", bool(means_something), f"0 unless a loss is {', '.join(sorted(SMOOTHED))}"
        )
        self._expect("beta_schedule", self.beta_schedule in SCHEDULES, " or ".join(SCHEDULES))
        self._expect("pair_weighting", self.pair_weighting in ("none", "posterior"), "none or posterior")
        self._expect_counts("draws_per_pair", least=0)
        strata = f"a multiple of time_strata ({self.time_strata})"
        self._expect("draws_per_pair", self.draws_per_pair % self.time_strata == 0, strata)
        self._expect("split_arms", not (self.split_arms and self.arm_parallel), "off beside arm_parallel")
        self._expect("held_out", 0 <= self.held_out <= 0.5, "in [0, 0.5]")
        self._expect_counts("evaluate_every")
        self._expect("max_excess", self.max_excess > 0, "above 0")


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
