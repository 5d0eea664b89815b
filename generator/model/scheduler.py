"""The released model's sampler, at any time shift."""

from __future__ import annotations

from diffusers import UniPCMultistepScheduler


def build_scheduler(flow_shift: float) -> UniPCMultistepScheduler:
    """UniPC on flow matching, as Wan is sampled.

    Args:
        flow_shift: above 1, more steps are spent where there is much noise.
    """
    return UniPCMultistepScheduler(
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        num_train_timesteps=1000,
        flow_shift=flow_shift,
    )
