import pytest

torch = pytest.importorskip("torch")

import numpy as np  # noqa: E402

from generator.rundir import RunError  # noqa: E402
from rlhf.dpo.bank import ReferenceBank  # noqa: E402
from rlhf.dpo.reference import check_bank, ref_errors  # noqa: E402
from rlhf.training.lora import frozen_policy  # noqa: E402


def batch(*entries):
    return [{"entry": torch.tensor(entry), "clean": torch.zeros(1)} for entry in entries]


def answer(draws):
    """Entry e has errors e + 1 and e + 1.5."""
    return torch.tensor([[float(one["entry"]) + 1 + branch / 2 for one in draws] for branch in (0, 1)])


def never(draws):
    pytest.fail("asked the policy for what the bank knows")


@pytest.fixture
def bank(tmp_path):
    return ReferenceBank(tmp_path, "key", 6)


def test_it_asks_once_and_reads_from_then_on(bank, tmp_path):
    draws = batch(4, 1)
    first = bank.errors(draws, answer)
    assert first.tolist() == [[5.0, 2.0], [5.5, 2.5]]
    assert torch.equal(bank.errors(draws, never), first)
    assert bank.errors(batch(1), never).tolist() == [[2.0], [2.5]]
    again = ReferenceBank(tmp_path, "key", 6)
    assert torch.equal(again.errors(draws, never), first)
    assert (bank.num_computed, bank.num_read, again.num_known) == (2, 3, 2)


def test_an_entry_is_written_once(bank):
    """A batch that is known in part is computed whole, since a batch stays a batch; what is known stays."""
    bank.errors(batch(2), answer)
    mixed = bank.errors(batch(2, 3), lambda draws: answer(draws) + 0.25)
    assert mixed.tolist() == [[3.0, 4.25], [3.5, 4.75]]


def test_another_key_knows_nothing(bank, tmp_path):
    bank.errors(batch(0), answer)
    assert ReferenceBank(tmp_path, "other", 6).num_known == 0


def test_its_check_finds_a_stale_entry_and_says_which(bank):
    for entries in ((0, 1), (2, 3)):
        bank.errors(batch(*entries), answer)
    batches = [batch(0, 1), batch(2, 3), batch(4, 5)]
    assert bank.check(batches, answer) == 4  # those of the last batch were never met
    bank._table[3, 1] += 1e-4
    with pytest.raises(RunError, match=r"entry 3 is \[4.0, 4.50\d+\].* \[4.0, 4.5\]; delete"):
        bank.check(batches, answer)


def test_an_error_that_is_not_a_number_is_never_known(bank):
    bank.errors(batch(0), lambda draws: answer(draws) * float("nan"))
    assert bank.num_known == 0


def test_its_entries_are_what_the_frozen_policy_answers(make_trainer):
    """After a run that moved the policy, every entry equals a fresh computation in the same batch."""
    trainer = make_trainer(with_bank=True, steps=14, draws_per_pair=4)  # 42 draws of a set of 20
    trainer.train()
    bank, size = trainer.bank, trainer.config.batch_size
    assert bank.num_known == 20
    assert bank.num_read > 0 and bank.num_computed >= 20
    checked = check_bank(trainer.policy, trainer.train_dataset, bank, trainer.config, batches=6)
    assert checked == 6 * size
    draws = [trainer.train_dataset[place] for place in range(size)]
    with frozen_policy(trainer.policy):
        fresh, _ = trainer.policy(draws)
    assert torch.equal(bank.errors(draws, never), fresh)


def test_a_run_with_a_bank_ends_with_the_bits_of_one_without(make_trainer):
    trainers = [make_trainer(str(flag), with_bank=flag, steps=10, draws_per_pair=4) for flag in (False, True)]
    for trainer in trainers:
        trainer.train()
    losses = [[line["loss"] for line in trainer.lines] for trainer in trainers]
    assert losses[0] == losses[1]


def test_a_run_stops_before_it_uses_a_stale_bank(make_trainer):
    first = make_trainer("first", with_bank=True)
    first.train()
    first.bank._table[:] = np.where(np.isnan(first.bank._table), np.nan, first.bank._table * 1.01)
    second = make_trainer("second", with_bank=True)
    with pytest.raises(RunError, match="entry .* but the frozen policy answers .* delete the file"):
        second.check_banks()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_answer_that_is_not_finite_is_refused_by_its_entry_and_never_kept(bank, value):
    class Policy(torch.nn.Module):
        transformer = torch.nn.Identity()

        def forward(self, draws, partner):
            errors = answer(draws)
            errors[1, 1] = value
            return errors, None

    with pytest.raises(RunError, match=r"key\.npy: entry 2: the frozen policy answers \[3.0, (nan|-?inf)\]"):
        ref_errors(Policy(), batch(4, 2), bank)
    assert bank.num_known == 1


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_an_entry_that_is_not_finite_is_computed_anew(bank, value):
    bank.errors(batch(0, 1), answer)
    bank._table[1, 0] = value
    assert bank.num_known == 1
    assert bank.check([batch(0, 1)], answer) == 0
    assert bank.errors(batch(0, 1), answer).tolist() == [[1.0, 2.0], [1.5, 2.5]]
    assert bank.errors(batch(1), never).tolist() == [[2.0], [2.5]]
