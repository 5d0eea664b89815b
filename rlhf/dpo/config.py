"""Every setting of a Flow-DPO run, documented and checked; plain, so that the web can check a form, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from generator.validation import Amount, Count, Number, Positive, Share, record
from rlhf.training.config import SampledConfig

#: TRL's losses that mean something for a flow error (trl 1.16).
LossType = Literal[
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
]
_FORMER = {"split_arms": "split_branches", "arm_parallel": "branch_parallel"}
#: Those that read `label_smoothing`.
SMOOTHED = frozenset({"robust", "exo_pair", "aot", "aot_unpaired"})


@record
class FlowDPOConfig(SampledConfig):
    """One Flow-DPO run; the defaults suit the shipped tiny model, `WAN_5B` the real one.

    People who are held out are shown first; an item is a pair.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    time_shift: Positive | None = Field(
        default=3.0, description="leans times towards noise; equal to the sampler's flow shift"
    )
    bf16: bool | None = Field(
        default=False,
        description="compute in bfloat16; None leaves it to the device. Off unless it is asked for, since"
        " a preference margin is a small difference of large errors: with the shipped model, margins of "
        "0.007 to 0.012 were off by 0.002 to 0.003 in bfloat16, for 1.6 times the speed. A model that does "
        "not fit the device in float32 needs it",
    )
    beta: Positive = Field(
        default=250.0,
        description="strength of the pull to the frozen policy, as in rlhf.objectives.flow_dpo_loss. "
        "Diffusion-DPO and Flow-DPO write beta / 2: their beta is twice this one",
    )
    loss_types: tuple[LossType, ...] = Field(
        default=("sigmoid",),
        min_length=1,
        description="losses of trl.DPOTrainer, added up; sigmoid, sft anchors the chosen error",
    )
    loss_weights: tuple[Number, ...] = Field(default=(), description="one per loss; empty for 1 each")
    label_smoothing: Number = Field(
        default=0.0,
        ge=0,
        lt=0.5,
        description="share of wrong preferences that robust, exo_pair and aot* assume",
    )
    guard: Literal["sdpo", "none"] = Field(
        default="sdpo",
        description="sdpo scales the rejected gradient so that the chosen error falls; none does not",
    )
    guard_mu: Share = Field(default=0.6, description="share of the chosen descent that the guard keeps")
    beta_schedule: Literal["constant", "one_minus_t_sq"] = Field(
        default="constant",
        description="constant, or one_minus_t_sq for beta (1 - t)^2, see rlhf.objectives.time_weight",
    )
    pair_weighting: Literal["none", "posterior"] = Field(
        default="none",
        description="none, or posterior for a gradient in proportion to how sure the votes are: the product "
        "of both tracks' posteriors, 1 on average. The loss is reported without it",
    )
    draws_per_pair: Amount = Field(
        default=8,
        description="noise and times of a pair come from a finite set of so many draws, a multiple of "
        "time_strata; where a run comes back to one, the frozen policy's error is read from the bank. 0 "
        "draws anew each time, without a bank",
    )
    split_branches: bool = Field(
        default=False,
        description="see rlhf.dpo.policy.FlowPolicy: half the memory for one more forward pass",
    )
    branch_parallel: bool = Field(
        default=False,
        description="the two branches of a pair on two devices, each of which needs half the memory. "
        "Needs an even number of processes, which meet half as many pairs per step as without it",
    )
    held_out: Number = Field(
        default=0.1,
        ge=0,
        le=0.5,
        description="share of the identities whose pairs are never trained on but watched",
    )
    evaluate_every: Count = Field(
        default=25, description="steps between evaluation passes on them; the last step always has one"
    )
    max_excess: Positive = Field(
        default=0.005,
        description="the run ends early when the error on held-out chosen videos is above the frozen "
        "policy's by more than this share in three passes in a row",
    )

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """As of every run; requests that were written with 0.1.0 call two settings otherwise."""
        return super().from_json({_FORMER.get(name, name): value for name, value in values.items()})

    @model_validator(mode="after")
    def _check_losses(self) -> Self:
        matches = len(self.loss_weights) in (0, len(self.loss_types))
        self._expect("loss_weights", matches, f"empty, or {len(self.loss_types)} numbers as loss_types")
        needs_smoothing = "exo_pair" in self.loss_types and self.label_smoothing == 0
        self._expect("label_smoothing", not needs_smoothing, "above 0 for exo_pair, such as 0.001")
        means_something = not self.label_smoothing or SMOOTHED.intersection(self.loss_types)
        self._expect("label_smoothing", means_something, f"0 unless a loss is {', '.join(sorted(SMOOTHED))}")
        strata = f"a multiple of time_strata ({self.time_strata})"
        self._expect("draws_per_pair", self.draws_per_pair % self.time_strata == 0, strata)
        both = self.split_branches and self.branch_parallel
        self._expect("split_branches", not both, "off beside branch_parallel")
        return self


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
