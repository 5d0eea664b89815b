"""Detectors, as far as their libraries and weights are at hand: the others must say what is missing."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import RTDetrConfig, RTDetrForObjectDetection, RTDetrImageProcessor, RTDetrResNetConfig

from generator.curation.annotation import Box
from generator.curation.detection.head_pose import HEAD, angles, camera, head_pose
from generator.curation.detection.landmarker import mesh_pose
from generator.curation.detection.loading import load_detectors
from generator.curation.detection.protocols import FoundFace, without_nested
from generator.curation.settings import DetectorSettings
from generator.curation.weights import find_weights, weights_sha256
from generator.media.video import read_clip

REALDATA = Path(__file__).parents[4] / "shared" / "realdata"


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """By the definition of the angles: roll about the nose, then pitch, then yaw."""
    yaw, pitch, roll = np.radians((yaw, pitch, roll))
    # In x right, y down, z away: the nose is -z.
    about_y = np.array([(np.cos(yaw), 0, -np.sin(yaw)), (0, 1, 0), (np.sin(yaw), 0, np.cos(yaw))])
    about_x = np.array([(1, 0, 0), (0, np.cos(pitch), np.sin(pitch)), (0, -np.sin(pitch), np.cos(pitch))])
    about_z = np.array([(np.cos(roll), -np.sin(roll), 0), (np.sin(roll), np.cos(roll), 0), (0, 0, 1)])
    turned: np.ndarray = about_y @ about_x @ about_z
    return turned


@pytest.mark.parametrize("wanted", [(0, 0, 0), (30, 0, 0), (-45, 0, 0), (0, 20, 0), (0, -25, 0), (0, 0, 30)])
def test_a_planted_head_pose_is_found_again(wanted: tuple[float, float, float]) -> None:
    turn = rotation(*wanted)
    points, _ = cv2.projectPoints(
        HEAD, cv2.Rodrigues(turn)[0], np.array([0.0, 0.0, 800.0]), camera(640, 480), None
    )
    pose = head_pose([tuple(point) for point in points.reshape(5, 2)], 640, 480)
    assert pose == pytest.approx(wanted, abs=0.5)
    assert angles(turn) == pytest.approx(wanted, abs=1e-9)


def test_signs_of_the_head_pose_are_those_of_the_frame() -> None:
    """A nose that points right lies right of the eyes' middle; a clockwise head has its right eye low."""
    for name, wanted in (("yaw", (30, 0, 0)), ("pitch", (0, 20, 0)), ("roll", (0, 0, 20))):
        points = HEAD @ rotation(*wanted).T
        middle = (points[0] + points[1]) / 2
        if name == "yaw":
            assert points[2, 0] > middle[0]
        elif name == "pitch":
            assert points[2, 1] - middle[1] < HEAD[2, 1] - HEAD[0, 1]
        else:
            assert points[1, 1] > points[0, 1]


def test_mediapipe_axes_are_turned_into_ours() -> None:
    flip = np.diag((1.0, -1.0, -1.0))
    matrix = np.eye(4)
    matrix[:3, :3] = 2.5 * flip @ rotation(20, 10, -5) @ flip
    assert mesh_pose(matrix) == pytest.approx(angles(rotation(20, 10, -5)))


def test_a_person_seen_twice_is_one() -> None:
    large, within, beside = (
        FoundFace(Box(*box)) for box in ((0, 0, 90, 90), (20, 20, 40, 40), (80, 0, 90, 90))
    )
    assert without_nested([within, beside, large]) == [large, beside] or without_nested(
        [within, beside, large]
    ) == [beside, large]


def test_the_cascades_find_nobody_in_noise_and_bars() -> None:
    detectors = load_detectors()
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    bars = np.zeros((240, 320, 3), np.uint8)
    bars[::16] = 255
    assert detectors.faces.find(noise) == detectors.faces.find(bars) == []
    assert detectors.humans.find(noise, []) == []


@pytest.mark.skipif(not REALDATA.is_dir(), reason="no real data beside the repository")
def test_a_tilted_head_is_found_where_it_is() -> None:
    faces = load_detectors().faces
    upright = read_clip(REALDATA / "people" / "obama" / "obama_small.jpg").frames[0]
    padded = cv2.copyMakeBorder(upright, 60, 60, 60, 60, cv2.BORDER_REPLICATE)
    (truth,) = faces.find(padded.astype(np.uint8))
    height, width = padded.shape[:2]
    centre = (truth.box.left + truth.box.width / 2, truth.box.top + truth.box.height / 2)
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 35, 1.0)
    turned = cv2.warpAffine(padded, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
    (seen,) = faces.find(turned.astype(np.uint8))
    expected = turn @ (*centre, 1)
    middle = (seen.box.left + seen.box.width / 2, seen.box.top + seen.box.height / 2)
    assert np.hypot(*(np.array(middle) - expected)) < 0.25 * truth.box.width


def test_bodies_are_estimated_around_faces_within_the_frame() -> None:
    humans = load_detectors().humans
    (body,) = humans.find(np.zeros((480, 640, 3), np.uint8), [FoundFace(Box(300, 100, 40, 40))])
    assert body.is_estimated
    assert body.confidence is None
    assert (body.box.left, body.box.width) == (260, 120)
    assert body.box.top < 100
    assert body.box.overlap(Box(300, 100, 40, 40)) == 1
    assert body.box.top + body.box.height <= 480


def weights_folder(folder: Path, name: str, weights: str, /, **changes: object) -> Path:
    target = folder / weights
    if not target.exists():
        target.write_bytes(b"weights")
    entry = {
        "file": weights,
        "sha256": weights_sha256(target),
        "source": "https://example.org/weights",
        "licence": "MIT",
        "non_commercial": False,
    }
    (folder / "weights.json").write_text(json.dumps({name: entry | changes}))
    return folder


def refusal(folder: Path | None, name: str = "yunet", allow: bool = False) -> str:
    with pytest.raises(ValueError) as caught:
        find_weights(folder, name, allow_non_commercial=allow)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_weights_are_found_by_their_manifest(tmp_path: Path) -> None:
    weights = find_weights(weights_folder(tmp_path, "yunet", "a.onnx"), "yunet", allow_non_commercial=False)
    assert (weights.path, weights.licence, len(weights.version)) == (tmp_path / "a.onnx", "MIT", 16)


def test_missing_altered_or_forbidden_weights_give_one_line(tmp_path: Path) -> None:
    assert "no folder of models is set" in refusal(None)
    assert "weights.json cannot be read" in refusal(tmp_path)
    folder = weights_folder(tmp_path, "yunet", "a.onnx")
    assert "has no entry 'sface'" in refusal(folder, "sface")
    (folder / "a.onnx").write_bytes(b"other")
    assert "a.onnx has sha256" in refusal(folder)
    assert "fetch it again from https://example.org/weights" in refusal(folder)
    (folder / "a.onnx").unlink()
    assert "a.onnx is missing; fetch it from https://example.org/weights" in refusal(folder)
    weights_folder(tmp_path, "yunet", "a.onnx", non_commercial=True, licence="research only")
    assert "the licence research only forbids commercial use" in refusal(folder)
    assert find_weights(folder, "yunet", allow_non_commercial=True).non_commercial
    weights_folder(tmp_path, "yunet", "a.onnx", licence=None)
    assert "yunet: licence is None; it must be a text" in refusal(folder)
    (tmp_path.parent / "outside.onnx").write_bytes(b"weights")
    weights_folder(tmp_path, "yunet", "a.onnx", file="../outside.onnx")
    assert "lies outside of" in refusal(folder)
    (folder / "weights.json").write_text("{")
    assert "is not valid JSON" in refusal(folder)


def test_the_hash_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    hashes = set()
    for names, content in ((("a", "b"), b"1"), (("a", "c"), b"1"), (("a", "b"), b"2")):
        folder = tmp_path / f"{names}{content!r}"
        folder.mkdir()
        for name in names:
            (folder / name).write_bytes(content)
        hashes.add(weights_sha256(folder))
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("settings", "detail"),
    [
        (DetectorSettings(faces="magic"), "no face detector 'magic'; there are haar, yunet"),
        (DetectorSettings(humans="magic"), "no human detector 'magic'; there are estimated"),
        (DetectorSettings(faces="yunet"), "yunet needs weights and no folder"),
        (DetectorSettings(faces="insightface"), "scrfd needs weights and no folder"),
        (DetectorSettings(faces="mediapipe"), "face_landmarker needs weights and no folder"),
        (DetectorSettings(humans="transformers"), "human_detector needs weights and no folder"),
    ],
)
def test_what_cannot_be_loaded_says_why(settings: DetectorSettings, detail: str) -> None:
    with pytest.raises(ValueError, match=detail):
        load_detectors(settings)


def test_opencv_refuses_what_is_no_yunet_in_one_line(tmp_path: Path) -> None:
    folder = weights_folder(tmp_path, "yunet", "a.onnx")
    with pytest.raises(ValueError, match=r"a\.onnx is no YuNet that OpenCV can read") as caught:
        load_detectors(DetectorSettings(faces="yunet", models=folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("faces", "name"), [("insightface", "scrfd"), ("mediapipe", "face_landmarker")])
def test_a_library_that_is_not_installed_is_named(tmp_path: Path, faces: str, name: str) -> None:
    if importlib.util.find_spec(faces):
        pytest.skip(f"{faces} is installed")
    folder = weights_folder(tmp_path, name, "a.onnx")
    with pytest.raises(ImportError, match=rf"{faces}.* cannot be loaded .*pip install .*{faces}") as caught:
        load_detectors(DetectorSettings(faces=faces, models=folder))
    assert "\n" not in str(caught.value)


def tiny_rt_detr(folder: Path, labels: Sequence[str]) -> Path:
    """The real class with random weights and two layers."""
    torch.manual_seed(0)
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrConfig(
        backbone_config=backbone,
        encoder_hidden_dim=16,
        encoder_in_channels=[8, 8, 8],
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        decoder_in_channels=[16, 16, 16],
        decoder_ffn_dim=16,
        decoder_layers=1,
        decoder_attention_heads=2,
        num_queries=8,
        num_denoising=0,
        use_pretrained_backbone=False,
        id2label=dict(enumerate(labels)),
        label2id={label: number for number, label in enumerate(labels)},
    )
    model = RTDetrForObjectDetection(config)
    for head in model.model.decoder.class_embed:
        head.bias.data = torch.tensor([4.0, -4.0])[: len(labels)]  # everything is the first label
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)
    return folder


def test_a_transformers_detector_gives_people_in_the_picture(tmp_path: Path) -> None:
    tiny_rt_detr(tmp_path / "detector", ["person", "bottle"])
    models = weights_folder(tmp_path, "human_detector", "detector")
    humans = load_detectors(DetectorSettings(humans="transformers", models=models)).humans
    bodies = humans.find(np.full((48, 96, 3), 128, np.uint8), [])
    assert humans.info.name == "rt_detr"
    assert len(bodies) == 8
    for human in bodies:
        assert not human.is_estimated
        assert human.confidence == pytest.approx(1 / (1 + np.exp(-4)), abs=0.2)
        assert 0 <= human.box.left <= human.box.left + human.box.width <= 96
        assert 0 <= human.box.top <= human.box.top + human.box.height <= 48


def test_a_detector_of_no_people_is_refused(tmp_path: Path) -> None:
    tiny_rt_detr(tmp_path / "bottles", ["bottle", "person-like"])
    models = weights_folder(tmp_path, "human_detector", "bottles")
    with pytest.raises(ValueError, match="bottles knows no label 'person'"):
        load_detectors(DetectorSettings(humans="transformers", models=models))
    (tmp_path / "empty").mkdir()
    models = weights_folder(tmp_path, "human_detector", "empty")
    with pytest.raises(ValueError, match="empty is no object detector of transformers"):
        load_detectors(DetectorSettings(humans="transformers", models=models))
