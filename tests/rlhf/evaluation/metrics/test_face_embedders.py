"""Alignment and embedders: tiny files of the real formats, through the code that loads the real ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from generator.curation.annotation import Box, DetectorInfo  # noqa: E402
from generator.curation.detection.protocols import FoundFace  # noqa: E402
from generator.curation.weights import Weights  # noqa: E402
from generator.records import ReferenceKind  # noqa: E402
from rlhf.evaluation.metrics.face import FaceMetric, FaceSettings, make_arc, make_cur, make_sface  # noqa: E402
from rlhf.evaluation.metrics.face_alignment import PLACES, face_crop, similarity, to_crop  # noqa: E402
from rlhf.evaluation.metrics.face_embedders import ArcFace, CurricularFace, Embedder, SFace  # noqa: E402
from rlhf.evaluation.metrics.face_network import FaceNetwork, network_of  # noqa: E402
from rlhf.evaluation.metrics.registry import MetricOptions  # noqa: E402
from rlhf.evaluation.records import EvaluationInstance  # noqa: E402
from tests.rlhf.evaluation.metrics.models_folder import noted  # noqa: E402

REALDATA = Path(__file__).parents[5] / "shared" / "realdata"
#: The tiny ONNX embeds the means of 16 x 16 pixels, 7 x 7 of each colour, by this matrix.
MIXED = np.random.default_rng(0).normal(size=(3 * 7 * 7, 8)).astype(np.float32)
IR101 = (64,) * 3 + (128,) * 13 + (256,) * 30 + (512,) * 3


def weights(path: Path) -> Weights:
    return Weights(path.name, path, "0" * 64, "", "MIT", non_commercial=False)


def tiny_onnx(path: Path) -> Path:
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("crop", [1, 3, 112, 112]), ("face", [1, 8]))
    ]
    nodes = [
        helper.make_node("AveragePool", ["crop"], ["means"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["means"], ["row"]),
        helper.make_node("Gemm", ["row", "matrix"], ["face"]),
    ]
    matrix = numpy_helper.from_array(MIXED, "matrix")
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:], [matrix])
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return path


def tiny_ir(path: Path) -> FaceNetwork:
    """Two blocks, with statistics as training leaves them."""
    torch.manual_seed(0)
    network = FaceNetwork((4, 8), stem=4, embedding=16)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    save_file(network.state_dict(), path)
    return network.eval()


def crops(number: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (number, 112, 112, 3), dtype=np.uint8)


def by_hand(pixels: np.ndarray) -> np.ndarray:
    """What the tiny ONNX says of RGB crops."""
    means = pixels.reshape(-1, 7, 16, 7, 16, 3).mean(axis=(2, 4)).transpose(0, 3, 1, 2)
    rows = means.reshape(len(means), -1) @ MIXED
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_sface_is_shown_plain_rgb(tmp_path):
    found = SFace(weights(tiny_onnx(tmp_path / "sface.onnx"))).embed(crops())
    assert found == pytest.approx(by_hand(crops().astype(float)), abs=1e-5)


def test_arcface_is_shown_rgb_around_zero(tmp_path):
    found = ArcFace(weights(tiny_onnx(tmp_path / "arcface.onnx"))).embed(crops())
    assert found == pytest.approx(by_hand((crops() - 127.5) / 127.5), abs=1e-5)


def test_curricularface_is_shown_rgb_around_zero(tmp_path):
    network = tiny_ir(tmp_path / "ir.safetensors")
    found = CurricularFace(weights(tmp_path / "ir.safetensors")).embed(crops())
    with torch.inference_mode():
        rows = network(torch.from_numpy((crops() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).float()).numpy()
    assert found == pytest.approx(rows / np.linalg.norm(rows, axis=1, keepdims=True), abs=1e-5)


def test_a_batch_is_what_its_faces_are_one_by_one(tmp_path):
    tiny_ir(tmp_path / "ir.safetensors")
    tiny_onnx(tmp_path / "tiny.onnx")
    embedders: list[Embedder] = [
        SFace(weights(tmp_path / "tiny.onnx")),
        ArcFace(weights(tmp_path / "tiny.onnx")),
        CurricularFace(weights(tmp_path / "ir.safetensors")),
    ]
    for embedder in embedders:
        together = embedder.embed(crops(18))
        assert np.linalg.norm(together, axis=1) == pytest.approx(np.ones(18))
        alone = np.concatenate([embedder.embed(crop[None]) for crop in crops(18)])
        assert together == pytest.approx(alone, abs=1e-6)


def test_ir_101_is_the_published_one():
    """TFace's IR-101: 49 blocks, 7 x 7 x 512 into 512, 65.15 million parameters."""
    with torch.device("meta"):
        network = FaceNetwork(IR101)
    assert sum(parameter.numel() for parameter in network.parameters()) == 65_150_912
    assert network.output_layer[3].in_features == 512 * 7 * 7
    names = set(network.state_dict())
    assert {
        "body.48.res_layer.5.running_var",
        "body.3.shortcut_layer.0.weight",
        "body.0.res_layer.3.weight",
    } <= names
    assert not any(name.startswith("body.0.shortcut_layer") for name in names)


def test_a_network_is_told_by_its_weights(tmp_path):
    """Also where they know nothing of how many batches they saw, as those of old versions of torch."""
    network = tiny_ir(tmp_path / "ir.safetensors")
    old = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    assert [block.stride for block in (b.res_layer[4] for b in network_of(old).body)] == [(2, 2), (2, 2)]
    with pytest.raises(ValueError, match="it has no 'output_layer.3.weight'; give a backbone of TFace"):
        network_of({name: value for name, value in old.items() if "output" not in name})
    with pytest.raises(ValueError, match="body.1.shortcut_layer"):
        network_of({name: value for name, value in old.items() if "body.1.shortcut" not in name})


def test_files_that_are_no_such_network_are_refused_in_a_line(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights at all")
    (tmp_path / "bad.bin").write_bytes(b"pickled")
    for load, name, said in (
        (SFace, "bad.onnx", "bad.onnx is no SFace that OpenCV can read"),
        (ArcFace, "bad.onnx", "bad.onnx is no ONNX that OpenCV can read"),
        (CurricularFace, "bad.safetensors", "bad.safetensors is no CurricularFace backbone"),
        (
            CurricularFace,
            "bad.bin",
            "bad.bin is no safetensors file; convert it, pickled weights are never read",
        ),
    ):
        with pytest.raises(ValueError, match=said) as caught:
            load(weights(tmp_path / name))
        assert "\n" not in str(caught.value)


def made(make: Callable[[MetricOptions], FaceMetric], models: Path | None, **options: Any) -> FaceMetric:
    return make(MetricOptions(models, settings={"detector": "haar"}, **options))


def test_missing_altered_or_forbidden_weights_are_refused_at_once(tmp_path):
    for make, said in (
        (make_arc, "arcface"),
        (make_cur, "curricularface"),
        (make_sface, "sface"),
    ):
        with pytest.raises(ValueError, match=f"^{said} needs weights and no folder of models is set"):
            made(make, None)
    with pytest.raises(ValueError, match="^yunet needs weights"):
        make_sface(MetricOptions())
    with pytest.raises(ValueError, match="^no face detector 'eyes'; there are haar, yunet"):
        make_sface(MetricOptions(settings={"detector": "eyes"}))
    tiny_onnx(tmp_path / "a.onnx")
    models = noted(tmp_path, "arcface", "a.onnx", non_commercial=True, licence="research only")
    with pytest.raises(ValueError, match="^arcface: the licence research only forbids"):
        made(make_arc, models)
    assert made(make_arc, models, allow_non_commercial=True).facts.licence == "research only"
    (tmp_path / "a.onnx").write_bytes(b"altered")
    with pytest.raises(ValueError, match="^arcface: a.onnx has sha256 "):
        made(make_arc, models, allow_non_commercial=True)


def test_a_planted_turn_is_found_again():
    turn = np.array([(0.8, -0.3), (0.3, 0.8)])
    moved = PLACES @ turn.T + (5, -7)
    assert similarity(PLACES, moved) == pytest.approx(np.column_stack([turn, (5, -7)]))
    # What is no similarity is met halfway: here by no turn, no shift, and the mean of both scales.
    stretched = (PLACES - PLACES.mean(axis=0)) @ np.diag((2, 1))
    found = similarity(PLACES - PLACES.mean(axis=0), stretched)
    squares = ((PLACES - PLACES.mean(axis=0)) ** 2).sum(axis=0)
    assert found[0, 0] == pytest.approx((2 * squares[0] + squares[1]) / squares.sum())
    assert found[:, 2] == pytest.approx((0, 0), abs=1e-9)


class Found:
    """Finds what it was told to, in pictures of the (height, width) that it was told."""

    info = DetectorInfo("found", "1", {})

    def __init__(self, *faces: FoundFace, sides: tuple[int, int] | None = None) -> None:
        self.faces, self.sides = faces, sides

    def find(self, picture: np.ndarray) -> list[FoundFace]:
        return list(self.faces) if self.sides in (None, picture.shape[:2]) else []


@pytest.mark.parametrize("larger", [1, 6])
def test_eyes_nose_and_mouth_come_where_embedders_expect_them(larger: int):
    """A tilted face: each of its points is marked by a colour, and found at its place in the crop.

    Of a picture of 2400 pixels the detector sees 960, and the crop skips none of it.
    """
    turn = np.array([(2.0, 1.0), (-1.0, 2.0)])
    points = PLACES @ turn.T + (60, 160)
    picture = np.zeros((400 * larger, 400 * larger, 3), np.uint8)
    for number, (across, down) in enumerate(points * larger):
        cv2.circle(picture, (round(across), round(down)), 6 * larger, (50 + 40 * number, 0, 0), -1)
    picture[::2, ::2, 1] = 200  # a pattern that only an average over all pixels makes even
    seen = min(400 * larger, 960)
    face = FoundFace(Box(0, 0, 9, 9), landmarks=tuple((x * seen / 400, y * seen / 400) for x, y in points))
    crop = face_crop(picture, Found(face, sides=(seen, seen)))
    assert crop is not None and crop.shape == (112, 112, 3)
    for number, (across, down) in enumerate(PLACES):
        assert abs(int(crop[round(down), round(across), 0]) - (50 + 40 * number)) <= 2
    if larger > 1:
        # A quarter of the pixels is bright; single pixels of it would be 0 or 200.
        assert np.abs(crop[10:-10, 10:-10, 1].astype(int) - 200 / 4).max() <= 20


def test_opencv_aligns_faces_in_the_same_way(tmp_path):
    """Landmarks that no similarity brings to their places, in a smooth picture."""
    rng = np.random.default_rng(2)
    picture = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (320, 240))
    points = PLACES @ np.array([(1.1, 0.4), (-0.4, 1.1)]) + (70, 20) + rng.normal(0, 4, (5, 2))
    box = Box(60, 30, 120, 120)
    network = cv2.FaceRecognizerSF.create(str(tiny_onnx(tmp_path / "sface.onnx")), "")
    row = np.array([box.left, box.top, box.width, box.height, *points.reshape(-1), 1.0], np.float32)
    theirs = network.alignCrop(np.ascontiguousarray(picture[..., ::-1]), row)[..., ::-1]
    crop = face_crop(picture, Found(FoundFace(box, landmarks=tuple((x, y) for x, y in points))))
    assert crop is not None
    assert np.abs(crop.astype(int) - theirs).max() <= 4


def test_the_largest_face_counts():
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[10:40, 10:40], picture[20:80, 120:180] = (255, 0, 0), (0, 0, 255)
    small, large = FoundFace(Box(10, 10, 30, 30)), FoundFace(Box(120, 20, 60, 60))
    crop = face_crop(picture, Found(small, large))
    assert crop is not None
    middle = crop[56, 56].tolist()
    assert middle == [0, 0, 255]
    # The box fills the crop, and a wide one lies in its middle.
    assert (crop == (0, 0, 255)).all(axis=2).mean() > 0.95
    wide = face_crop(picture, Found(FoundFace(Box(10, 20, 60, 20))))
    assert wide is not None and wide[56, 20].tolist() == [255, 0, 0] and wide[56, 90].tolist() == [0, 0, 0]


def test_a_face_that_fills_the_picture_is_found_within_a_margin():
    """Half as large again in the second look; the crop is of the picture as it is."""
    picture = np.full((80, 60, 3), 200, np.uint8)
    box = Box(15, 20, 60, 80)
    assert face_crop(picture, Found(FoundFace(box), sides=(81, 60))) is None
    crop = face_crop(picture, Found(FoundFace(box), sides=(120, 90)))
    assert crop is not None and crop[56, 56].tolist() == [200] * 3
    assert to_crop(FoundFace(box)) @ (45, 60, 1) == pytest.approx((55.5, 55.5))


@pytest.mark.skipif(not REALDATA.is_dir(), reason="no real data beside the repository")
def test_real_photos_go_all_the_way(tmp_path):
    """Cascades and a tiny SFace: a photo is its own person, and another one is not that photo."""
    tiny_onnx(tmp_path / "sface.onnx")
    metric = made(make_sface, noted(tmp_path, "sface", "sface.onnx"))
    people = REALDATA / "people"
    own, other = "obama/obama_small.jpg", "biden/biden.jpg"
    instance = EvaluationInstance("i", "p", ((own, ReferenceKind.PHOTO),), (own, own))
    same, another = (metric.score(people / path, instance, lambda p: people / p) for path in (own, other))
    assert same.values["holi_sface"] == pytest.approx(1)
    assert another.details["detection_rate"] == 1
    assert another.values["holi_sface"] < 0.999
    refaced = replace(metric, settings=FaceSettings(detector="haar", frames=4))
    assert refaced.facts.sha256 != metric.facts.sha256
