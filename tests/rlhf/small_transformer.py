"""A policy of twenty lines, so that tests of training say something about it and nothing about Wan."""

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

CHANNELS, WIDTH, TEXT = 4, 16, 8


class SmallTransformer(nn.Module):
    """One attention layer over references and target, with Wan's names and call."""

    def __init__(self):
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(CHANNELS, WIDTH) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(WIDTH, CHANNELS)])
        self.text, self.time = nn.Linear(TEXT, CHANNELS), nn.Linear(1, CHANNELS)

    def forward(self, hidden_states, timestep, encoder_hidden_states, reference_latents, return_dict=False):
        frames = torch.cat([reference_latents, hidden_states], dim=2)
        tokens = frames.flatten(2).transpose(1, 2)
        tokens = (
            tokens
            + self.text(encoder_hidden_states.mean(1))[:, None]
            + self.time(timestep[:, None, None] / 1000)
        )
        mixed = F.scaled_dot_product_attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens))
        prediction = (tokens + self.to_out[0](mixed)).transpose(1, 2).reshape(frames.shape)
        return (prediction[:, :, reference_latents.shape[2] :],)
