"""Real processes, which meet over gloo, share the frozen weights, and train what they train without."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from peft import LoraConfig, inject_adapter_in_model  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch.distributed.tensor import DTensor  # noqa: E402
from transformers import TrainerCallback  # noqa: E402

from generator.portraits.tiny import build_transformer  # noqa: E402
from rlhf.dpo.bank import ReferenceBank  # noqa: E402
from rlhf.dpo.policy import FlowPolicy  # noqa: E402
from rlhf.dpo.reference import check_bank  # noqa: E402
from rlhf.sft.config import SFTConfig  # noqa: E402
from rlhf.training.config import RunConfig  # noqa: E402
from rlhf.training.learner import equal_shapes  # noqa: E402
from rlhf.training.lora import add_adapter, frozen_policy, save_trainable, trainable_state  # noqa: E402
from rlhf.training.precision import set_up, to_bfloat16  # noqa: E402
from rlhf.training.sharding import shard  # noqa: E402
from rlhf.training.trainer import last_checkpoint  # noqa: E402
from tests.rlhf.forked import together  # noqa: E402

STEPS = {"steps": 4, "warmup_steps": 0, "evaluate_every": 2}
#: Few enough for the bank to be read as well as written.
FEW_DRAWS = {"time_strata": 2, "draws_per_pair": 2}
#: Of the machine or of the clock.
OTHER = {"seconds", "memory_bytes"}


class StopAtTwo(TrainerCallback):
    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step == 2


def weights_of(folder, *names):
    return [load_file(folder / f"{name}.safetensors") for name in names]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulation": 2, "guard": "none"},
        {"split_branches": True},
        {"branch_parallel": True, "steps": 8},
    ],
    ids=["plain", "accumulation", "split_branches", "branch_parallel"],
)
def test_they_train_what_they_train_without_to_the_bit(make_trainer, pairs, tmp_path, options):
    """One to three references make their passes unequal, and three looks cannot be halved."""
    given = {**STEPS, **FEW_DRAWS, **options, "held_out": pairs[:3], "with_bank": True, "batch_size": 2}

    def work(rank):
        facts = []
        for sharded in (False, True):
            trainer = make_trainer(f"sharded-{sharded}", sharded=sharded, **given)
            alone = len(trainer.draws) // 2
            trainer.train()
            checked = check_bank(trainer.policy, trainer.draws, trainer.bank, trainer.config)
            assert checked and trainer.bank.num_computed and trainer.bank.num_read
            save_trainable(trainer.policy, tmp_path / f"{sharded}-{rank}.safetensors")
            lines = [{n: v for n, v in line.items() if n not in OTHER} for line in trainer.lines]
            facts.append(lines)
        batches = [[trainer.draws[2 * place + k] for k in range(2)] for place in range(alone)]
        number = [len(equal_shapes(batch)) for batch in batches]
        (tmp_path / f"{rank}.json").write_text(json.dumps([facts, number]))

    together(2, work)
    (without, within), number = json.loads((tmp_path / "0.json").read_text())
    assert within == without and len(within) == given["steps"]
    assert any(name.startswith("held_out/") for name in within[-1])
    assert options.get("branch_parallel") or number[0::2] != number[1::2], "they pass equally often anyway"
    first, *others = weights_of(tmp_path, "False-0", "False-1", "True-0", "True-1")
    assert all(torch.equal(value, other[name]) for name, value in first.items() for other in others)


@pytest.mark.parametrize("shared", ["sharded", "branch_parallel"])
def test_a_resumed_run_ends_with_the_same_bits(make_trainer, tmp_path, shared):
    def work(rank):
        options = {**STEPS, **FEW_DRAWS, shared: True, "batch_size": 2, "accumulation": 2}
        whole = make_trainer("whole", **options)
        whole.train()
        make_trainer("parts", callbacks=[StopAtTwo()], **options).train()
        rest = make_trainer("parts", **options)
        rest.train(resume_from_checkpoint=str(last_checkpoint(rest.folder)))
        for name, trainer in {"whole": whole, "parts": rest}.items():
            save_trainable(trainer.policy, tmp_path / f"{name}-{rank}.safetensors")
        assert rank or [line["step"] for line in rest.lines] == [3, 4]

    together(2, work)
    assert len({path.read_bytes() for path in tmp_path.glob("*-?.safetensors")}) == 1


def build_policy(config, split_branches=False):
    """The shipped architecture with a frozen adapter and one that is trained, both of which do something."""
    torch.manual_seed(0)
    transformer = build_transformer(layers=2)
    earlier = LoraConfig(r=2, lora_alpha=2, target_modules=["to_k"], init_lora_weights=False)
    inject_adapter_in_model(earlier, transformer, adapter_name="adapter_0")
    if config.bf16:
        to_bfloat16(transformer)
    add_adapter(transformer, rank=2, alpha=2, targets=("to_q", "ffn.net.2"), seed=0)
    for weight in trainable_state(transformer).values():
        weight.normal_(std=0.1)
    set_up(transformer, config)
    return FlowPolicy(transformer, split_branches=split_branches)


def draw_for(policy):
    config, generator = policy.transformer.config, torch.Generator().manual_seed(1)
    shapes = {"clean": (2, config.in_channels, 1, 4, 4), "prompt_embeds": (3, config.text_dim)}
    shapes |= dict.fromkeys(("noise", "references"), (config.in_channels, 1, 4, 4))
    draw = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {**draw, "time": torch.tensor(0.5)}


@pytest.mark.parametrize(
    ("options", "split_branches", "number"),
    [
        ({"bf16": True}, False, 2),
        ({"gradient_checkpointing": True}, False, 3),
        ({"gradient_checkpointing": True, "kept_activations": "none"}, True, 2),
    ],
    ids=["bf16", "checkpointing", "checkpointing_of_split_branches"],
)
def test_errors_and_gradients_are_those_of_whole_weights(options, split_branches, number):
    """Also after passes of the frozen policy, which have no backward pass; three cannot cut evenly."""

    def work(rank):
        found = []
        for sharded in (False, True):
            policy = build_policy(RunConfig(**options), split_branches)
            if sharded:
                shard(policy)
            draw = draw_for(policy)
            for _ in range(2):
                with frozen_policy(policy):
                    ref_error, _ = policy([draw])
                errors, _ = policy([draw])
                (errors[0] - errors[1]).sum().backward()
            grads = [weight.grad for weight in policy.parameters() if weight.requires_grad]
            found.append([ref_error, errors.detach(), *grads])
        assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
        assert not torch.equal(ref_error, errors) and all(grad.any() for grad in grads)

    together(number, work)


def test_each_holds_half_of_the_frozen_weights_and_all_of_the_adapter(tmp_path):
    """Before, between and after passes."""

    def count(policy):
        held = Counter()
        for weight in policy.parameters():
            mine = weight.to_local() if isinstance(weight, DTensor) else weight
            held["trained" if weight.requires_grad else "frozen"] += mine.numel()
        return held

    def work(rank):
        policy = build_policy(RunConfig())
        whole = count(policy)
        shard(policy)
        held = [count(policy)]
        errors, _ = policy([draw_for(policy)])
        held.append(count(policy))
        errors.sum().backward()
        held.append(count(policy))
        for one in held:
            assert one["trained"] == whole["trained"]
            assert 0.49 * whole["frozen"] < one["frozen"] < 0.51 * whole["frozen"]

    together(2, work)


def test_where_one_of_them_does_not_know_an_error_all_compute(tmp_path):
    """One that reads while the other passes would let it wait for ever; what it knew stays."""
    (tmp_path / "1").mkdir()
    np.save(tmp_path / "1" / "key.npy", np.full((3, 2), 5.0, np.float32))

    def work(rank):
        bank = ReferenceBank(tmp_path / str(rank), "key", 3)
        draws = [{"clean": torch.zeros(1), "entry": torch.tensor(entry)} for entry in (2, 0)]
        found = bank.errors(draws, lambda _: torch.full((2, 2), 1.0), in_step=True)
        assert found.eq([1.0, 5.0][rank]).all() and bank.num_computed == 2
        bank.errors(draws, lambda _: pytest.fail("asked again"), in_step=True)

    together(2, work)


def test_nothing_is_frozen_in_a_full_training():
    with pytest.raises(ValueError, match="sharded is True; it must be off in mode full"):
        SFTConfig(mode="full", sharded=True)
