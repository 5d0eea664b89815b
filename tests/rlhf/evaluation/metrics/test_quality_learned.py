"""Quality with weights: planted vectors, and the real model classes with hardly any weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from safetensors.numpy import save_file  # noqa: E402
from transformers import ViTConfig, ViTModel  # noqa: E402
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil  # noqa: E402

from generator.media.encoder import write_clip  # noqa: E402
from rlhf.evaluation.metrics.quality import make  # noqa: E402
from rlhf.evaluation.metrics.quality_learned import BATCH, aesthetic_quality, consistency, embed  # noqa: E402
from rlhf.evaluation.metrics.registry import MetricOptions  # noqa: E402
from rlhf.evaluation.records import EvaluationInstance  # noqa: E402
from tests.rlhf.evaluation.metrics.models_folder import noted  # noqa: E402
from tests.rlhf.evaluation.metrics.tiny_models import tiny_clip  # noqa: E402

ASKED = EvaluationInstance("i", "", (), ())


class Compass:
    """Points where the first pixel of a frame says, in degrees."""

    def embed(self, pictures) -> NDArray[np.float64]:
        angles = np.radians([float(picture[0, 0, 0]) for picture in pictures])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def pointing(*degrees: int) -> list[NDArray[np.uint8]]:
    return [np.full((16, 16, 3), angle, np.uint8) for angle in degrees]


def test_consistency_is_with_the_frame_before_and_with_the_first() -> None:
    assert consistency(Compass(), pointing(30, 30, 30)) == 1.0
    # To the one before: cos 60 twice; to the first: cos 60, and cos 120, which is below 0.
    assert consistency(Compass(), pointing(0, 60, 120)) == pytest.approx((0.5 + 0.5 + 0.5 + 0) / 4)


def test_aesthetics_are_a_tenth_of_what_the_layer_says_and_never_beyond() -> None:
    weight = np.array([4.0, 0.0])
    assert aesthetic_quality(Compass(), weight, 5.0, pointing(0, 60)) == pytest.approx((0.9 + 0.7) / 2)
    assert aesthetic_quality(Compass(), weight, 50.0, pointing(0)) == 1.0


def test_batches_change_nothing() -> None:
    frames = pointing(*range(2 * BATCH + 1))
    assert np.array_equal(embed(Compass(), frames), Compass().embed(frames))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    # As the published DINO, without the pooler that was never trained.
    ViTModel(ViTConfig(image_size=16, patch_size=8, **small), add_pooling_layer=False).save_pretrained(
        folder / "dino"
    )
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder / "dino")
    tiny_clip(folder / "clip")
    tiny_clip(folder / "clip_l14")
    layer = {"weight": np.ones((1, 8), np.float32), "bias": np.array([5.0], np.float32)}
    save_file(layer, folder / "laion_aesthetic.safetensors")
    for name in ("dino", "clip", "clip_l14"):
        noted(folder, name, name, licence="MIT")
    return noted(folder, "laion_aesthetic", "laion_aesthetic.safetensors")


def test_learned_dimensions_enter_both_columns_and_the_facts_say_so(models: Path, tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8).repeat(4, axis=0)
    write_clip(tmp_path / "still.mp4", frames, 8)
    metric, plain = (make(MetricOptions(models, settings={"learned": on})) for on in (True, False))
    facts, details = metric.facts, metric.score(tmp_path / "still.mp4", ASKED, Path).details
    assert facts.settings["sta"] == ["imaging_quality", "aesthetic_quality"]
    assert facts.settings["dyn"][2:] == ["subject_consistency", "background_consistency"]
    assert (facts.model, facts.licence) == ("dino, clip, clip_l14, laion_aesthetic", "Apache-2.0, MIT")
    assert facts.sha256 != plain.facts.sha256
    # What little the encoder changes between equal frames is all that differs.
    assert min(details[name] for name in facts.settings["dyn"]) > 0.98
    # Unit vectors of 8 numbers add up to at most the root of 8.
    assert abs(details["aesthetic_quality"] - 0.5) <= 8**0.5 / 10
    both = plain.score(tmp_path / "still.mp4", ASKED, Path)
    assert details["imaging_quality"] == pytest.approx(both.values["sta"])


@pytest.mark.parametrize(
    ("layer", "says"),
    [
        ({"weight": np.ones((1, 4), np.float32)}, r"reads 4 numbers, and clip_l14 gives 8"),
        ({"weight": np.ones((2, 8), np.float32)}, r"needs weight \(1, D\) and bias \(1\)"),
        ({"scale": np.ones(1, np.float32)}, r"needs weight \(1, D\) and bias \(1\)"),
        (b"no tensors", "laion_aesthetic.safetensors cannot be loaded"),
        (None, "laion_aesthetic.safetensors is missing; fetch it from https://example.org/laion_aesthetic"),
    ],
)
def test_another_layer_is_refused_in_one_line(models: Path, layer: dict | bytes | None, says: str) -> None:
    file = models / "laion_aesthetic.safetensors"
    if isinstance(layer, dict):
        save_file(layer | {"bias": np.ones(1, np.float32)}, file)
    elif layer is not None:
        file.write_bytes(layer)
    noted(models, "laion_aesthetic", file.name)
    if layer is None:
        file.unlink()
    with pytest.raises(ValueError, match=says) as refused:
        make(MetricOptions(models, settings={"learned": True}))
    assert "\n" not in str(refused.value)
