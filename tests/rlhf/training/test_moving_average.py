import pytest

torch = pytest.importorskip("torch")

from rlhf.training.moving_average import MovingAverage  # noqa: E402


@pytest.fixture
def model():
    model = torch.nn.Linear(1, 1, bias=True)
    model.bias.requires_grad_(False)
    model.weight.data.fill_(1.0)
    return model


def followed(model, decay, values):
    average = MovingAverage(model, decay)
    for step, value in enumerate(values, start=1):
        model.weight.data.fill_(value)
        average.follow(step)
    return average


def test_it_is_the_average_of_its_equation(model):
    """With the warm-up of d: 2/11, 3/12, 4/13, then the decay of 0.3."""
    expected = 1.0
    for d, value in ((2 / 11, 2.0), (3 / 12, 5.0), (0.3, -4.0)):
        expected = d * expected + (1 - d) * value
    average = followed(model, 0.3, (2.0, 5.0, -4.0))
    with average.in_place():
        assert model.weight.item() == pytest.approx(expected, rel=1e-6)


def test_the_weights_come_back_bit_for_bit_and_stay_the_same_parameter(model):
    average, parameter = followed(model, 0.9, (0.1, 0.7)), model.weight
    before = model.weight.detach().clone()
    with pytest.raises(KeyboardInterrupt), average.in_place():
        assert not torch.equal(model.weight, before)
        raise KeyboardInterrupt
    assert model.weight is parameter and torch.equal(model.weight, before)


def test_a_decay_of_0_stands_for_the_weights_themselves(model, tmp_path):
    average = followed(model, 0.0, (3.0,))
    with average.in_place():
        assert model.weight.item() == 3.0
    average.save(tmp_path / "average.safetensors")
    assert list(tmp_path.iterdir()) == []
    average.load(tmp_path / "average.safetensors")


def test_it_averages_only_what_is_trained(model):
    average = MovingAverage(model, 0.9)
    model.bias.data.fill_(8.0)
    with average.in_place():
        assert model.bias.item() == 8.0


def test_it_survives_its_file(model, tmp_path):
    average = followed(model, 0.9, (2.0, 0.3))
    average.save(tmp_path / "average.safetensors")
    other = MovingAverage(model, 0.9)
    other.load(tmp_path / "average.safetensors")
    with average.in_place():
        expected = model.weight.detach().clone()
    with other.in_place():
        assert torch.equal(model.weight, expected)
