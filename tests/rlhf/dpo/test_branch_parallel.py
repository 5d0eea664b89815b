"""Real processes, which meet over gloo, share the branches of what one process trains."""

from __future__ import annotations

import json
from math import log
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")

from accelerate.data_loader import BatchSamplerShard  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch.utils.data import BatchSampler, SequentialSampler  # noqa: E402

from generator.rundir import RunError  # noqa: E402
from rlhf.dpo.bank import ReferenceBank  # noqa: E402
from rlhf.dpo.branch_parallel import Partner, SharedDraws  # noqa: E402
from rlhf.dpo.reference import check_bank  # noqa: E402
from rlhf.training.lora import save_trainable  # noqa: E402
from tests.rlhf.forked import together  # noqa: E402

STEPS = {"steps": 4, "accumulation": 2, "warmup_steps": 0, "evaluate_every": 2}
#: Few enough for the bank to be read as well as written.
FEW_DRAWS = {"time_strata": 2, "draws_per_pair": 2}
#: Of the machine or of the clock.
OTHER = {"seconds", "memory_bytes"}


@pytest.mark.parametrize(("number", "batch_size"), [(2, 4), (4, 2)])
def test_they_train_what_one_process_trains(make_trainer, pairs, tmp_path, number, batch_size):
    """Loss, figures and weights; the bank holds what the frozen policy answers, for all of them."""
    options = {**STEPS, **FEW_DRAWS, "held_out": pairs[:2], "pair_weights": [0.5, 1.5, 1.0, 0.8, 1.2]}

    def work(rank):
        trainer = make_trainer(
            "shared", branch_parallel=True, with_bank=True, batch_size=batch_size, **options
        )
        trainer.train()
        checked = check_bank(trainer.policy, trainer.draws, trainer.bank, trainer.config)
        save_trainable(trainer.policy, tmp_path / f"{rank}.safetensors")
        facts = [trainer.lines, checked, trainer.bank.num_computed, trainer.bank.num_read]
        (tmp_path / f"{rank}.json").write_text(json.dumps(facts))

    together(number, work)
    one = make_trainer("one", batch_size=4, **options)
    one.train()
    save_trainable(one.policy, tmp_path / "one.safetensors")
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(number)]
    lines = found[0][0]
    assert lines[0]["loss"] == pytest.approx(log(2), abs=1e-7) and lines[-1]["loss"] < 0.6
    for line, expected in zip(lines, one.lines, strict=True):
        assert {n: v for n, v in line.items() if n not in OTHER} == pytest.approx(
            {n: v for n, v in expected.items() if n not in OTHER}, rel=1e-3, abs=1e-4
        )
    weights = [load_file(tmp_path / f"{name}.safetensors") for name in ("one", *range(number))]
    for name, value in weights[0].items():
        torch.testing.assert_close(weights[1][name], value, rtol=1e-3, atol=1e-5)
        assert all(torch.equal(weights[1][name], other[name]) for other in weights[2:])
    assert all(checked and computed and read for _, checked, computed, read in found)


def test_where_one_of_them_knows_an_error_both_ask_all_the_same(tmp_path):
    """Another run may write to the table between their looks; one that waits alone would wait for ever."""
    (tmp_path / "1").mkdir()
    np.save(tmp_path / "1" / "key.npy", np.full((3, 2), 5.0, np.float32))

    def work(rank):
        partner, bank = Partner(), ReferenceBank(tmp_path / str(rank), "key", 3)
        draws = [{"clean": torch.zeros(1), "entry": torch.tensor(entry)} for entry in (2, 0)]
        found = bank.errors(draws, lambda _: partner.exchange(torch.full((2,), 1.0 + rank)), partner)
        assert found.tolist() == [[1, 1], [2, 2]] and bank.num_computed == 2
        assert bank.errors(draws, lambda _: pytest.fail("asked again"), partner).tolist() == found.tolist()

    together(2, work)


@pytest.mark.parametrize("number", [2, 6])
def test_partners_are_dealt_the_same_batches_and_the_run_is_dealt_once(number):
    run = list(range(3 * number * 5))
    shared = SharedDraws(run, batch_size=5)
    batches = BatchSampler(SequentialSampler(shared), 5, drop_last=False)
    dealt = [
        [[shared[place] for place in batch] for batch in BatchSamplerShard(batches, number, rank)]
        for rank in range(number)
    ]
    assert dealt[0::2] == dealt[1::2]
    in_order = [place for step in zip(*dealt[0::2], strict=True) for batch in step for place in batch]
    assert in_order == run


def test_each_keeps_the_activations_of_its_own_branch(make_trainer):
    """Bytes that autograd holds for the backward pass, told by its own hooks."""
    trainer, held = make_trainer(), []
    draws = [trainer.draws[index] for index in range(5)]
    echo = SimpleNamespace(branch=1, exchange=lambda mine: torch.stack([mine, mine]))
    for partner in (None, echo):
        kept = []

        def pack(tensor, kept=kept):
            kept.append(tensor.numel() * tensor.element_size())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            trainer.policy(draws, partner)
        held.append(sum(kept))
    assert held[1] < 0.6 * held[0]


def test_an_odd_number_of_processes_is_refused_in_one_line(make_trainer):
    with pytest.raises(RunError, match="the number of processes is 1; start an even number"):
        make_trainer(branch_parallel=True)
