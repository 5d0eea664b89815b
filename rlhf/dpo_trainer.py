"""Flow-DPO inside TRL: its loss code, metrics and training loop, on flow errors instead of log-probabilities.

Each arm of a pair is shown to `trl.DPOTrainer` as a completion of one token whose log-probability is minus
its flow error. TRL's own unmodified loss then is `rlhf.objectives.flow_dpo_loss` (a test binds the two), and
all its other loss types come with it. `_compute_loss` is private to trl 1.16: the version is pinned, and a
contract test fails where another one differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from generator.rundir import RunError
from rlhf.dpo_config import FlowDPOConfig
from rlhf.draws import PairDraws, Tensors
from rlhf.lora import frozen_policy
from rlhf.policy import FlowPolicy
from rlhf.run_trainer import RunTrainer, num_draws, training_arguments


class FlowDPOTrainer(RunTrainer, DPOTrainer):
    """`trl.DPOTrainer` on flow errors.

    Args:
        policy: with a trainable adapter (`rlhf.lora.add_adapter`) on frozen weights.
        config: of the run.
        pairs: tensors of each pair.
        folder: checkpoints go here.
        on_step: receives one line of metrics a step.
        callbacks: further callbacks of transformers.
    """

    def __init__(
        self,
        policy: FlowPolicy,
        config: FlowDPOConfig,
        pairs: Sequence[Tensors],
        folder: Path,
        *,
        on_step: Callable[[dict[str, float]], None],
        callbacks: list[TrainerCallback] | None = None,
    ) -> None:
        """Set up transformers' trainer, then the few fields that TRL's loss reads.

        TRL's own constructor is left out: it wants a tokenizer and a language model's head, and sends
        telemetry.
        """
        arguments = training_arguments(
            config,
            folder,
            DPOConfig,
            beta=config.beta,
            loss_type=list(config.loss_types),
            label_smoothing=config.label_smoothing,
        )
        draws = PairDraws(pairs, config, num_draws(config, arguments))
        super().__init__(policy, arguments, draws, folder, on_step=on_step, callbacks=callbacks)
        self.loss_types = list(config.loss_types)
        self.loss_weights = list(config.loss_weights) or [1.0] * len(config.loss_types)
        self.beta, self.label_smoothing = config.beta, config.label_smoothing
        self.f_divergence_type, self.f_alpha_divergence_coef = "reverse_kl", 0.5
        self.ld_alpha, self.use_weighting, self.aux_loss_enabled = None, False, False
        self.precompute_ref_logps = True
        self._metrics: dict[str, dict[str, list[float]]] = {
            "train": defaultdict(list),
            "eval": defaultdict(list),
        }
        self._total_train_tokens, self._tp_size = 0, 1
        self.maybe_activation_offload_context = nullcontext()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Tensor:
        """Errors under both policies, then TRL's loss.

        Raises:
            RunError: the loss is not finite.
        """
        draws = inputs["draws"]
        with frozen_policy(model):
            ref_error, _ = model(draws)
        policy_error, scale = model(draws)
        loss = self.preference_loss(policy_error, ref_error)
        if not torch.isfinite(loss):
            raise RunError(f"the loss is {loss.item()}; lower learning_rate")
        self._record(policy_error.detach(), ref_error, scale)
        return loss

    def preference_loss(self, policy_error: Tensor, ref_error: Tensor) -> Tensor:
        """TRL's loss of these errors, ().

        Args:
            policy_error: (2, B), row 0 chosen, row 1 rejected.
            ref_error: as `policy_error`, without gradient.
        """
        log_probs = -policy_error.reshape(-1, 1)
        zeros = torch.zeros_like(log_probs)
        outputs = SimpleNamespace(
            log_probs=log_probs,
            entropy=zeros,
            mean_logits=zeros,
            is_top1=torch.zeros_like(zeros, dtype=torch.bool),
        )
        # One prompt token and one completion token each: [chosen, ..., rejected, ...].
        tokens = torch.zeros((len(log_probs), 2), dtype=torch.long, device=log_probs.device)
        completion = torch.tensor([[0, 1]], device=log_probs.device).expand_as(tokens)
        inputs = {
            "input_ids": tokens,
            "attention_mask": torch.ones_like(tokens),
            "completion_mask": completion,
            "ref_chosen_logps": -ref_error[0],
            "ref_rejected_logps": -ref_error[1],
        }
        compute: Callable[..., Tensor] = self._compute_loss
        return compute(lambda **_: outputs, inputs, return_outputs=False)

    def step_metrics(self) -> dict[str, float]:
        """TRL's figures that mean something for flow errors; what it counts about tokens does not."""
        metrics = {name: sum(values) / len(values) for name, values in self._metrics["train"].items()}
        self._metrics["train"].clear()
        kept = ("rewards/", "errors/", "drift/", "guard/")
        return {name: value for name, value in metrics.items() if name.startswith(kept)}

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Ours, not TRL's."""
        RunTrainer.log(self, logs, start_time)

    def _record(self, policy_error: Tensor, ref_error: Tensor, scale: Tensor) -> None:
        """Metrics beside TRL's rewards; a chosen drift above 0 says that chosen videos got less likely."""
        drift = policy_error - ref_error
        metrics = {
            "errors/chosen": policy_error[0],
            "errors/rejected": policy_error[1],
            "drift/chosen": drift[0],
            "drift/rejected": drift[1],
            "guard/scale": scale,
        }
        for name, value in metrics.items():
            gathered = self.accelerator.gather(value).mean().item()
            self._metrics["train"][name].append(gathered)
