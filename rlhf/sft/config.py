"""Every setting of a supervised run, documented and checked; plain, so that the web can check a form, too."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from generator.validation import Amount, Count, Number, Share, record
from rlhf.training.config import SampledConfig


@record
class SFTConfig(SampledConfig):
    """One supervised run; the defaults suit the shipped tiny model.

    The first instances are shown; an item is an instance.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    steps: Count = Field(default=1000, description="optimizer steps")
    warmup_steps: Amount = Field(default=20, description="linear warm-up")
    save_every: Count = Field(default=100, description="steps between checkpoints")
    ema_decay: Number = Field(
        default=0.999,
        ge=0,
        lt=1,
        description="of the moving average of what is trained, which is the result; 0 switches it off",
    )
    sample_every: Amount = Field(default=250, description="steps between sample clips; 0 for none")
    mode: Literal["lora", "full"] = Field(
        default="lora",
        description="lora trains an adapter on frozen weights; full trains every weight of the transformer, "
        "with the request's adapters merged in first; rank, alpha and targets then mean nothing",
    )
    p_empty: Share = Field(
        default=0.1,
        description="share of training samples with all references and the prompt nulled together",
    )
    p_drop: Share = Field(
        default=0.5,
        description="share of training samples that leave assistant references out: any number, also all",
    )
    p_still: Share = Field(
        default=0.5,
        description="share of times that a clip reference is shown as one of its frames instead",
    )
    stills: Count = Field(default=4, description="frames of each clip reference that are encoded for that")
    fps: Count | None = Field(
        default=None,
        description="frames per second at which all targets are learned; targets with more are thinned out, "
        "one with fewer is refused by name. None takes the lowest rate of the targets; the result records "
        "what was taken",
    )

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        self._expect(
            "sharded", not (self.sharded and self.mode == "full"), "off in mode full: nothing is frozen"
        )
        return self
