"""Every setting of a supervised run, documented and checked; plain, so that the web can check a form, too."""

from __future__ import annotations

from dataclasses import dataclass

from rlhf.training.config import SampledConfig

MODES = ("lora", "full")


@dataclass(frozen=True)
class SFTConfig(SampledConfig):
    """One supervised run; the defaults suit the shipped tiny model.

    Attributes:
        mode: "lora" trains an adapter on frozen weights; "full" trains every weight of the transformer, with
            the request's adapters merged in first; `rank`, `alpha` and `targets` then mean nothing.
        p_empty: share of looks with all references and the prompt nulled together, in [0, 1].
        p_drop: share of looks that leave assistant references out, in [0, 1]: any number of them, also all.
        p_still: share of looks at a clip reference that show one of its frames instead, in [0, 1].
        stills: frames of each clip reference that are encoded for that, at least 1.
        fps: frames per second at which all targets are learned, at least 1; targets with more are thinned
            out, one with fewer is refused by name. None takes the lowest rate of the targets; the result
            records what was taken.
        others: see `SampledConfig` (the first instances are shown) and `RunConfig`; an item is an instance.

    Raises:
        ValueError: a value out of its range; the message names it.
    """

    steps: int = 1000
    warmup_steps: int = 20
    save_every: int = 100
    mode: str = "lora"
    p_empty: float = 0.1
    p_drop: float = 0.5
    p_still: float = 0.5
    stills: int = 4
    fps: int | None = None
    ema_decay: float = 0.999
    sample_every: int = 250

    def __post_init__(self) -> None:
        """Refuse what cannot train."""
        super().__post_init__()
        self._expect("mode", self.mode in MODES, " or ".join(MODES))
        self._expect(
            "sharded", not (self.sharded and self.mode == "full"), "off in mode full: nothing is frozen"
        )
        for name in ("p_empty", "p_drop", "p_still"):
            self._expect(name, 0 <= getattr(self, name) <= 1, "in [0, 1]")
        self._expect_counts("stills")
        if self.fps is not None:
            self._expect_counts("fps")
