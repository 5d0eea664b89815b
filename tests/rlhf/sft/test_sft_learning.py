"""What SFT learns: the loss falls, and is taken on the target alone."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("diffusers")

from generator.model.checkpoint import load_pipeline  # noqa: E402
from generator.rundir import RunDir  # noqa: E402
from rlhf.sft.config import SFTConfig  # noqa: E402
from rlhf.sft.draws import InstanceDraws, Layout  # noqa: E402
from rlhf.sft.latents import cache_instances  # noqa: E402
from rlhf.sft.run import check, make_trainable  # noqa: E402
from rlhf.sft.trainer import FlowLearner, SFTTrainer  # noqa: E402
from tests.rlhf.sft_runs import create, write_dataset  # noqa: E402


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def learn(tmp_path, model_folder, dataset):
    """A trainer on the dataset, and the pipeline's transformer that it trains."""

    def learn(**config):
        config = {"time_shift": 3.0, **config}
        run = create(RunDir(tmp_path / "learn"), model_folder, dataset, **config)
        task = check(run, run.read_request())
        pipeline = load_pipeline(model_folder)
        cached = cache_instances(pipeline, task.instances, run.path / "cache", stills=task.config.stills)
        transformer, _ = make_trainable(pipeline, task.config)
        trainer = SFTTrainer(
            FlowLearner(transformer),
            task.config,
            cached,
            run.path / "checkpoints",
            layout=Layout(),
            on_step=lambda line: None,
        )
        return trainer, transformer

    return learn


def test_training_lowers_the_loss_on_draws_that_stay_the_same(learn):
    """A planted truth: three instances and many looks at them can be learned by heart."""
    trainer, _ = learn(mode="full", steps=60, batch_size=4, learning_rate=3e-3, ema_decay=0.9, p_empty=0.0)
    others = InstanceDraws(
        trainer.train_dataset.instances,
        SFTConfig(seed=99, time_shift=3.0, stills=2),
        24,
        layout=Layout(),
    )
    fixed = [others[index] for index in range(24)]
    before = trainer.policy(fixed).mean().item()
    trainer.train()
    with trainer.average.in_place():
        after = trainer.policy(fixed).mean().item()
    assert after < 0.8 * before


def test_references_steer_the_target_but_no_error_is_taken_on_them(learn):
    """What the model answers at reference tokens may be anything: neither loss nor gradient sees it."""
    trainer, transformer = learn(mode="full", p_empty=0.0)
    draw = trainer.train_dataset[0]
    moved = {**draw, "references": draw["references"] + 1}
    error = trainer.policy([draw])
    assert not torch.equal(trainer.policy([moved]), error)

    target_tokens = 3 * 2 * 2  # references stand after the target: latent frames x rows x columns of patches
    answers = []

    def spoil(module, inputs, output):
        output = output.clone()
        output[:, target_tokens:] += 100.0
        output.retain_grad()
        answers.append(output)
        return output

    with_hook = transformer.blocks[-1].register_forward_hook(spoil)
    spoiled = trainer.policy([draw])
    with_hook.remove()
    assert torch.equal(spoiled, error)
    spoiled.mean().backward()
    assert answers[0].shape[1] > target_tokens
    assert (answers[0].grad[:, target_tokens:] == 0).all()
    assert (answers[0].grad[:, :target_tokens] != 0).any()


def test_a_batch_gives_the_loss_of_its_draws(learn):
    """Draws with different numbers of references in one batch; their mean is the loss of the definition."""
    from rlhf.objectives import flow_velocity, interpolate, sft_loss

    trainer, _ = learn(mode="full")
    draws = [trainer.train_dataset[index] for index in range(5)]
    assert len({one["references"].shape for one in draws}) > 1
    expected = []
    for one in draws:
        one = {name: value[None] for name, value in one.items()}
        noisy = interpolate(one["clean"], one["noise"], one["time"])
        prediction = trainer.policy.predict(noisy, one["time"], one["prompt_embeds"], one["references"])
        expected.append(sft_loss(prediction, flow_velocity(one["clean"], one["noise"])))
    torch.testing.assert_close(trainer.policy(draws), torch.stack(expected))
