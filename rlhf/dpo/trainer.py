"""Flow-DPO inside TRL: its loss code, metrics and training loop, on flow errors instead of log-probabilities.

Each branch of a pair is shown to `trl.DPOTrainer` as a completion of one token whose log-probability is minus
its flow error. TRL's own unmodified loss then is `rlhf.objectives.flow_dpo_loss` (a test binds the two), and
all its other loss types come with it. `_compute_loss` is private to trl 1.16: the version is pinned, and a
contract test fails where another one differs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from rlhf.dpo.bank import ReferenceBank
from rlhf.dpo.best import Best
from rlhf.dpo.branch_parallel import Partner, SharedDraws
from rlhf.dpo.config import FlowDPOConfig
from rlhf.dpo.held_out import HeldOut, excess_to_end, quartile_means
from rlhf.dpo.policy import FlowPolicy
from rlhf.dpo.reference import check_bank, ref_errors
from rlhf.objectives import implicit_rewards, scale_gradient, time_weight
from rlhf.training.draws import PairDraws, Tensors
from rlhf.training.trainer import RunTrainer, num_draws, training_arguments

BEST = "best.safetensors"


class FlowDPOTrainer(RunTrainer, DPOTrainer):
    """`trl.DPOTrainer` on flow errors.

    Args:
        policy: with a trainable adapter (`rlhf.training.lora.add_adapter`) on frozen weights.
        config: of the run.
        pairs: tensors of each pair that is trained on.
        folder: checkpoints go here.
        on_step: receives one line of metrics per step.
        weights: of each pair's gradient; None for 1 each.
        bank: of the pairs' reference errors; None asks the frozen policy every time.
        held_out: what is watched; None for nothing.
        partner: with whom the branches of a pair are shared; None computes both.
        callbacks: further callbacks of transformers.

    Attributes:
        best: the weights of the best evaluation pass.
    """

    policy: FlowPolicy

    def __init__(
        self,
        policy: FlowPolicy,
        config: FlowDPOConfig,
        pairs: Sequence[Tensors],
        folder: Path,
        *,
        on_step: Callable[[dict[str, float]], None],
        weights: Sequence[float] | None = None,
        bank: ReferenceBank | None = None,
        held_out: HeldOut | None = None,
        partner: Partner | None = None,
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
            ddp_find_unused_parameters=False,  # every half of the adapter is in every pass
        )
        number = num_draws(config, arguments) // (2 if partner else 1)  # partners meet the same
        self.draws = PairDraws(pairs, config, number, distinct=config.draws_per_pair, weights=weights)
        super().__init__(
            policy,
            arguments,
            SharedDraws(self.draws, config.batch_size) if partner else self.draws,
            folder,
            ema_decay=config.ema_decay,
            on_step=on_step,
            callbacks=callbacks,
        )
        self.config, self.bank, self.held_out, self.partner = config, bank, held_out, partner
        self.best = Best(config.max_excess)
        self._set_up_loss()

    def _set_up_loss(self) -> None:
        """Every field that TRL's `_compute_loss` reads."""
        config = self.config
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

    def loss_of(self, model: nn.Module, draws: Sequence[Tensors]) -> Tensor:
        """Errors under both policies, then TRL's loss."""
        ref_error = ref_errors(self.policy, draws, self.bank, self.partner)
        policy_error, scale = model(draws, self.partner)
        time, quantile, weight = (
            torch.stack([draw[name] for draw in draws]).to(policy_error)
            for name in ("time", "quantile", "weight")
        )
        at_time = time_weight(time, self.config.beta_schedule)
        self.keep([*policy_error, *ref_error, scale, quantile, at_time])
        return self.preference_loss(scale_gradient(policy_error, weight) * at_time, ref_error * at_time)

    def check_banks(self) -> None:
        """Compute a few reference errors again; raises as `check_bank`."""
        if self.bank:
            check_bank(self.policy, self.draws, self.bank, self.config)
        if self.held_out and self.held_out.bank:
            check_bank(self.policy, self.held_out.draws, self.held_out.bank, self.config)

    def preference_loss(self, policy_error: Tensor, ref_error: Tensor) -> Tensor:
        """TRL's loss, (), of errors (2, B), row 0 chosen, row 1 rejected; `ref_error` has no gradient."""
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

    def step_metrics(self, met: Tensor) -> dict[str, float]:
        """TRL's rewards, the errors behind them also by quarters of the times, and an evaluation pass.

        What TRL counts about tokens means nothing here. A chosen drift above 0 says that chosen videos got
        less likely. `saturation` is the share of the gradient that is gone: 1/2 where nothing moves, near 1
        where beta is too high or everything is learnt.
        """
        metrics = {name: sum(values) / len(values) for name, values in self._metrics["train"].items()}
        self._metrics["train"].clear()
        metrics = {name: value for name, value in metrics.items() if name.startswith("rewards/")}
        policy, ref, scale, quantile, at_time = met[:2], met[2:4], met[4], met[5], met[6]
        rewards = implicit_rewards(policy * at_time, ref * at_time, beta=self.beta)
        margin, drift = rewards[0] - rewards[1], policy - ref
        everything = {
            "errors/chosen": policy[0],
            "errors/rejected": policy[1],
            "drift/chosen": drift[0],
            "drift/rejected": drift[1],
            "guard/scale": scale,
            "saturation": torch.sigmoid(margin),
        }
        by_time = {
            "rewards/margins": margin,
            "rewards/accuracies": (margin > 0).float(),
            "drift/chosen": drift[0],
            "drift/rejected": drift[1],
        }
        return {
            **metrics,
            **{name: value.mean().item() for name, value in everything.items()},
            **quartile_means(by_time, quantile),
            **self._evaluation(),
        }

    def _evaluation(self) -> dict[str, float]:
        """Figures on held-out pairs with the averaged weights, where they are due."""
        step = self.state.global_step
        if self.held_out is None or (step % self.config.evaluate_every and step != self.config.steps):
            return {}
        with self.average.in_place():
            figures = self.held_out.figures(self.policy, self.args.device)
            self.best.update(self.policy, figures, step)
        return figures

    def reason_to_end(self, lines: Sequence[Mapping[str, float]]) -> str | None:
        """Where chosen videos of held-out people are predicted ever worse."""
        return excess_to_end(lines, self.config.max_excess)

    def roll_back(self) -> int:
        """After an early end, go back to the best weights; gives the step whose weights the model has."""
        if not self.early_end:
            return self.config.steps
        self.best.restore(self.policy)
        self.average.begin()
        return self.best.step

    def restore(self, checkpoint: Path) -> None:
        """Also the best weights so far."""
        super().restore(checkpoint)
        self.best.load(checkpoint / BEST)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        super()._save(output_dir, state_dict)
        self.best.save(Path(output_dir or self.folder) / BEST)
