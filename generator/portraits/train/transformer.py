"""Train the tiny transformer and its text encoder on cached latents of drawn people.

Rectified flow on the target's latents alone; references of mixed kind and number, primary first; the prompt
says what changes from the primary; references and prompt nulled together in a tenth of the steps.
"""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from generator.model.kernels import choose_attention
from generator.model.precision import Precision
from generator.model.transformer import AnyIDTransformer, ReferencePosition
from generator.portraits.tiny import (
    FLOW_SHIFT,
    MAX_TOKENS,
    build_text_encoder,
    build_tokenizer,
    build_transformer,
)
from generator.portraits.train.batches import Batch, cache_latents, draw_batch
from generator.portraits.train.optimiser import Optimiser, join_processes, trapezoid
from generator.portraits.train.progress import Log, is_checkpoint, load_state, save_state
from generator.prompt_reading import PromptReader

EMPTY_SHARE = 0.1
EMA = 0.999


def draw_times(count: int, generator: torch.Generator) -> Tensor:
    """Logit-normal times with the sampler's shift, in (0, 1)."""
    plain = torch.randn(count, generator=generator).sigmoid()
    return FLOW_SHIFT * plain / (1 + (FLOW_SHIFT - 1) * plain)


class Conditioned(nn.Module):
    """Transformer and text encoder, trained together.

    Args:
        precision: of the products.
        position: on which side of the target the references stand.
    """

    def __init__(self, precision: Precision, position: ReferencePosition = "after") -> None:
        super().__init__()
        self.precision = precision
        self.transformer: AnyIDTransformer = build_transformer(position=position)
        self.text_encoder = build_text_encoder()
        self.tokenizer = build_tokenizer()
        if precision.attention:
            choose_attention(self.transformer, precision.attention, training=True)
        self._reader = PromptReader.of_transformers(self.tokenizer, MAX_TOKENS)

    def begin_with(self, checkpoint: Path) -> None:
        """Take the weights of a checkpoint of the same architecture."""
        parts = {
            self.transformer: "transformer/diffusion_pytorch_model.safetensors",
            self.text_encoder: "text_encoder/model.safetensors",
        }
        for part, name in parts.items():
            # Shared embeddings are stored once, so one name of them is missing.
            weights = load_file(checkpoint / name)
            missing, unexpected = part.load_state_dict(weights, strict=False)
            unknown = [key for key in missing if "embed_tokens" not in key and key != "shared.weight"]
            if unknown or unexpected:
                raise ValueError(
                    f"{checkpoint / name} is of another architecture: {[*unknown, *unexpected][0]}"
                )

    def embed(self, prompts: list[str]) -> Tensor:
        """(B, 64, D) as the pipeline embeds them: zeros behind the last token.

        Raises:
            UnreadPromptError: a prompt has more tokens, or words that the tokenizer does not know.
        """
        for prompt in prompts:
            self._reader.check(prompt)
        tokens = self.tokenizer(prompts, padding=True, return_tensors="pt")
        hidden = self.text_encoder(tokens.input_ids, tokens.attention_mask).last_hidden_state
        hidden = hidden * tokens.attention_mask[..., None]
        return functional.pad(hidden, (0, 0, 0, MAX_TOKENS - hidden.shape[1]))

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """Mean squared error of the velocity noise - clean, over the target alone."""
        noise = torch.randn(batch.clean.shape, generator=generator)
        times = draw_times(len(noise), generator)
        share = times.view(-1, 1, 1, 1, 1)
        noisy = (1 - share) * batch.clean + share * noise
        with self.precision.autocast():
            predicted = self.transformer(
                noisy, 1000 * times, self.embed(batch.prompts), batch.references
            ).sample
        return functional.mse_loss(predicted.float(), noise - batch.clean)


def train_transformer(
    folder: Path,
    steps: int,
    precision: Precision,
    *,
    lr: float = 1.5e-3,
    seed: int = 2,
    people: int = 2000,
    batch_size: int = 32,
    start: Path | None = None,
) -> None:
    """Train, or go on from the last state; averaged weights come out as `transformer/` and `text_encoder/`.

    Args:
        folder: working folder with the people and `vae/`.
        steps: of the whole training.
        precision: of the products.
        lr: peak learning rate.
        seed: of weights and batches.
        people: how many of the drawn people are encoded.
        batch_size: over all processes.
        start: a checkpoint to begin with instead of random weights; its optimiser's state is not known.
    """
    rank, world = join_processes()
    torch.manual_seed(seed)
    latents = cache_latents(folder, people, precision, rank, world)
    training, log = Training.resume(folder, lr, precision, start), Log()
    for step in range(training.step, steps):
        rng = np.random.default_rng([seed, step, rank])
        batch = draw_batch(latents, batch_size // world, rng)
        if np.random.default_rng([seed, step]).random() < EMPTY_SHARE:
            empty = latents.empty.expand(len(batch.clean), -1, -1, -1, -1)
            batch = Batch(batch.clean, empty, [""] * len(batch.clean))
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        loss, norm = training.advance(batch, generator, trapezoid(step, steps, warmup=100))
        if rank == 0:
            log.add(step, loss=loss, norm=norm)
            if is_checkpoint(step, steps):
                training.save()


class Training:
    """The network under training, its average and its optimiser.

    Attributes:
        state: the file that resumes it.
        step: steps taken.
    """

    def __init__(
        self, folder: Path, lr: float, precision: Precision, position: ReferencePosition = "after"
    ) -> None:
        """Random weights; `folder` takes the state and the averaged weights."""
        self.folder, self.state, self.step = folder, folder / "transformer-state.pt", 0
        self.model = Conditioned(precision, position)
        self.average = copy.deepcopy(self.model).requires_grad_(False)
        plain = (
            "patch_embedding",
            "proj_out",
            "condition_embedder",
            "shared",
            "embed_tokens",
            "relative_attention",
        )
        self.optimiser = Optimiser([self.model], lr, precision.dtype, plain=plain)

    @classmethod
    def resume(cls, folder: Path, lr: float, precision: Precision, start: Path | None = None) -> Training:
        """Go on from the last state, else begin with the weights of a checkpoint, else with random ones."""
        training = cls(folder, lr, precision)
        training.folder.mkdir(exist_ok=True)
        if saved := load_state(training.state):
            training.model.load_state_dict(saved["model"])
            training.average.load_state_dict(saved["average"])
            training.optimiser.load_state_dict(saved["optimiser"])
            training.step = saved["step"]
        elif start is not None:
            training.model.begin_with(start)
            training.average.load_state_dict(training.model.state_dict())
        return training

    def advance(self, batch: Batch, generator: torch.Generator, rate: float) -> tuple[float, float]:
        """One step at a share of the peak learning rate; its loss and the gradients' norm."""
        loss = self.model.loss(batch, generator)
        loss.backward()
        norm = self.optimiser.step(rate)
        self.step += 1
        _follow(self.average, self.model, min(EMA, self.step / (self.step + 9)))
        return loss.item(), norm

    def save(self) -> None:
        """Write the state, and the averaged weights in the Diffusers layout."""
        save_state(
            self.state,
            model=self.model.state_dict(),
            average=self.average.state_dict(),
            optimiser=self.optimiser.state_dict(),
            step=self.step,
        )
        self.average.transformer.save_pretrained(self.folder / "transformer")
        self.average.text_encoder.save_pretrained(self.folder / "text_encoder")


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Exponential moving average of the weights."""
    for mean, value in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(value, 1 - decay)
