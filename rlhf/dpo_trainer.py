"""Flow-DPO inside TRL: its loss code, metrics and training loop, on flow errors instead of log-probabilities.

Each arm of a pair is shown to `trl.DPOTrainer` as a completion of one token whose log-probability is minus
its flow error. TRL's own unmodified loss then is `rlhf.objectives.flow_dpo_loss` (a test binds the two), and
all its other loss types come with it. `_compute_loss` is private to trl 1.16: the version is pinned, and a
contract test fails where another one differs.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PrinterCallback, Trainer, TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from generator.rundir import RunError
from rlhf.dpo_config import FlowDPOConfig
from rlhf.draws import PairDraws, Tensors
from rlhf.lora import frozen_policy, load_trainable, save_trainable
from rlhf.policy import FlowPolicy

WEIGHTS = "adapter.safetensors"
COMPLETE = "complete"


class FlowDPOTrainer(DPOTrainer):
    """`trl.DPOTrainer` on flow errors.

    Args:
        policy: with a trainable adapter (`rlhf.lora.add_adapter`) on frozen weights.
        config: of the run.
        pairs: tensors of each pair.
        folder: checkpoints go here.
        on_step: receives one line of metrics a step.
        callbacks: further callbacks of transformers.
    """

    loss_is_scaled_for_ga = False

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
        arguments = training_arguments(config, folder)
        length = config.steps * config.batch_size * config.accumulation * arguments.world_size
        Trainer.__init__(
            self,
            model=policy,
            args=arguments,
            data_collator=lambda draws: {"draws": draws},
            train_dataset=PairDraws(pairs, config, length),
            callbacks=callbacks,
        )
        self.remove_callback(PrinterCallback)
        self.policy, self.folder, self.on_step = policy, folder, on_step
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

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """One line of metrics a step; what TRL counts about tokens means nothing here."""
        metrics = {name: sum(values) / len(values) for name, values in self._metrics["train"].items()}
        self._metrics["train"].clear()
        kept = ("rewards/", "errors/", "drift/", "guard/")
        logs.update({name: value for name, value in metrics.items() if name.startswith(kept)})
        Trainer.log(self, logs, start_time)
        if "loss" in logs:
            broken = [name for name, value in logs.items() if not math.isfinite(value)]
            if broken:
                raise RunError(f"{broken[0]} is {logs[broken[0]]} at step {self.state.global_step}")
            self.on_step({"step": self.state.global_step, "steps": self.state.max_steps, **logs})

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

    def _set_signature_columns_if_needed(self) -> None:
        self._signature_columns = ["draws"]

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Only the adapter: transformers would write the whole model."""
        folder = Path(output_dir or self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        save_trainable(self.policy, folder / WEIGHTS)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Mark a checkpoint complete, so that one torn by a kill is never resumed."""
        Trainer._save_checkpoint(self, model, trial)
        (self.folder / f"checkpoint-{self.state.global_step}" / COMPLETE).touch()

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_trainable(self.policy, Path(resume_from_checkpoint) / WEIGHTS)


def training_arguments(config: FlowDPOConfig, folder: Path) -> DPOConfig:
    """The run's settings in the words of TRL and transformers."""
    arguments = DPOConfig(
        output_dir=str(folder),
        max_steps=config.steps,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.warmup_steps,
        weight_decay=0.0,
        max_grad_norm=config.max_grad_norm,
        beta=config.beta,
        loss_type=list(config.loss_types),
        label_smoothing=config.label_smoothing,
        seed=config.seed,
        data_seed=config.seed,
        bf16=config.bf16,
        train_sampling_strategy="sequential",  # PairDraws is in order already
        save_strategy="steps",
        save_steps=config.save_every,
        save_total_limit=2,
        logging_steps=1,
        logging_nan_inf_filter=False,
        activation_checkpointing=False,  # the transformer does its own
        dataloader_pin_memory=torch.cuda.is_available(),
        remove_unused_columns=False,
        report_to="none",
        disable_tqdm=True,
        log_level="error",
    )
    # Several GPUs work through `accelerate launch`. Without it, transformers would fall back to DataParallel,
    # which cuts every tensor along its first dimension: here that is chosen and rejected, not the batch.
    arguments._n_gpu = min(1, arguments.n_gpu)
    return arguments


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint, or None."""
    complete = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(complete, key=lambda path: int(path.name.rpartition("-")[2]), default=None)
