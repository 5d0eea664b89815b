"""What finds, cuts out and compares elements: the real classes, tiny, from folders as they are downloaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file, save_file  # noqa: E402

from generator.curation.weights import Weights  # noqa: E402
from generator.media.photo import write_photo  # noqa: E402
from generator.records import ReferenceKind  # noqa: E402
from rlhf.evaluation.metrics.elements import make  # noqa: E402
from rlhf.evaluation.metrics.elements_models import (  # noqa: E402
    GroundedSegmenter,
    clip_embedder,
    dino_embedder,
)
from rlhf.evaluation.metrics.registry import MetricOptions, make_metrics  # noqa: E402
from rlhf.evaluation.records import EvaluationInstance, NamedElement  # noqa: E402
from tests.rlhf.evaluation.metrics.models_folder import noted  # noqa: E402
from tests.rlhf.evaluation.metrics.tiny_models import TINY  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("models")
    for name, tiny in TINY.items():
        tiny(folder / name)
        noted(folder, name, name)
    yield folder


def weights(folder: Path, name: str) -> Weights:
    return Weights(name, folder / name, "0" * 64, "", "MIT", non_commercial=False)


def segmenter(models: Path, threshold: float) -> GroundedSegmenter:
    return GroundedSegmenter(weights(models, "grounding_dino"), weights(models, "sam2"), threshold, threshold)


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def test_a_photo_has_its_own_elements_by_all_four_models(models, tmp_path):
    write_photo(tmp_path / "photo.png", noise(48, 80))
    instance = EvaluationInstance(
        "i", "p", (("photo.png", ReferenceKind.PHOTO),), (), elements=(NamedElement("Red scarf"),)
    )
    scores = make(MetricOptions(models)).score(tmp_path / "photo.png", instance, lambda path: tmp_path / path)
    assert scores.values == pytest.approx({"ele_clip": 1, "ele_dino": 1})


def test_only_what_is_sure_enough_is_found(models):
    picture = noise(48, 80)
    found = segmenter(models, 0.25).find(picture, "red scarf")
    assert found is not None and found.confidence > 0.25
    assert found.picture.shape[0] == found.picture.shape[1] <= 80
    assert segmenter(models, 0.25).find(picture, "Red scarf.").confidence == found.confidence
    assert segmenter(models, 1.0).find(picture, "red scarf") is None


def test_a_name_that_the_detector_would_cut_is_refused(models):
    asked = segmenter(models, 0.25)
    limit = asked._detector.config.max_text_len
    with pytest.raises(ValueError, match=f"tokens and the detector reads {limit}; name it in fewer words"):
        asked.find(noise(48, 80), "scarf " * (limit + 1))


def test_a_box_is_given_to_the_segmenter_in_its_own_pixels(models, monkeypatch):
    """A picture of 80 x 48 is shown as 64 x 64."""
    asked = segmenter(models, 0.25)
    shown = {}
    real = asked._segmenter.forward

    def forward(**inputs):
        shown.update(inputs)
        return real(**inputs)

    monkeypatch.setattr(asked._segmenter, "forward", forward)
    grey = np.full((48, 80, 3), 255, np.uint8)
    mask = asked._mask(grey, [20, 12, 60, 36])
    assert shown["input_boxes"][0, 0].tolist() == pytest.approx([16, 16, 48, 48])
    assert shown["pixel_values"].shape == (1, 3, 64, 64)
    # White by the mean and deviation of ImageNet.
    white = [(1 - mean) / deviation for mean, deviation in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    assert shown["pixel_values"][0, :, 5, 7].tolist() == pytest.approx(white)
    assert mask.shape == (48, 80) and mask.dtype == bool


def test_a_batch_is_what_its_pictures_are_one_by_one(models):
    pictures = [noise(side, side) for side in (20, 33, 16)]
    for embedder in (clip_embedder(weights(models, "clip")), dino_embedder(weights(models, "dinov2"))):
        together = embedder.embed(pictures)
        assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(3))
        alone = np.concatenate([embedder.embed([picture]) for picture in pictures])
        assert together == pytest.approx(alone, abs=1e-5)
        assert abs(together[0] @ together[1]) < 1 - 1e-6


def test_missing_altered_or_other_models_are_refused_in_a_line(models, tmp_path):
    def refusal(folder: Path | None, **settings: object) -> str:
        with pytest.raises(ValueError) as caught:
            make(MetricOptions(folder, settings=settings))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert refusal(None).startswith("grounding_dino needs weights and no folder of models is set")
    assert "has an unknown field 'boxes'; known are frames, scale, box_threshold" in refusal(models, boxes=1)
    folder = tmp_path / "models"
    shutil.copytree(models, folder)
    (folder / "clip" / "model.safetensors").write_bytes(b"altered")
    assert refusal(folder).startswith("clip: clip has sha256 ")
    noted(folder, "clip", "clip")
    assert "clip cannot be loaded: " in refusal(folder)
    noted(folder, "clip", "dinov2")
    assert "dinov2 holds a dinov2; give a clip" in refusal(folder)
    noted(folder, "clip", "clip", non_commercial=True, licence="research only")
    assert "the licence research only forbids commercial use" in refusal(folder)


def test_weights_that_are_not_there_are_not_drawn_at_random(models, tmp_path):
    shutil.copytree(models / "dinov2", tmp_path / "dinov2")
    file = tmp_path / "dinov2" / "model.safetensors"
    tensors = load_file(file)
    del tensors["layernorm.weight"], tensors["layernorm.bias"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="dinov2 has no weights for layernorm.bias and 1 more"):
        dino_embedder(weights(tmp_path, "dinov2"))


def test_the_video_form_of_sam_2_will_do(models, tmp_path):
    """SAM 2.1 is published as a model of videos."""
    for name in ("grounding_dino", "sam2"):
        shutil.copytree(models / name, tmp_path / name)
    config = tmp_path / "sam2" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "sam2_video"}))
    picture = noise(48, 80)
    expected, found = (segmenter(folder, 0.25).find(picture, "scarf") for folder in (models, tmp_path))
    assert expected is not None and found is not None
    assert (found.picture == expected.picture).all()


def test_a_run_without_weights_says_of_each_metric_what_is_missing():
    names = ["holi_arc", "holi_cur", "holi_sface", "elements"]
    made, absent = make_metrics(names)
    assert made == {}
    for name, needs in zip(names, ("yunet", "yunet", "yunet", "grounding_dino"), strict=True):
        assert absent[name].startswith(f"{needs} needs weights and no folder of models is set")
