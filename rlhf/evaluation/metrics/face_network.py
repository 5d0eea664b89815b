"""The residual network of CurricularFace, as TFace trains it: IR-18 to IR-101, told apart by weights."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import torch
from torch import Tensor, nn

from rlhf.evaluation.metrics.face_alignment import CROP_SIDE


class Block(nn.Module):
    """Two convolutions beside a shortcut; with a `stride` of 2 both ways halve height and width."""

    def __init__(self, width_in: int, width: int, stride: int) -> None:
        """Build it for so many channels."""
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if width_in == width
            else nn.Sequential(nn.Conv2d(width_in, width, 1, stride, bias=False), nn.BatchNorm2d(width))
        )
        self.res_layer = nn.Sequential(
            nn.BatchNorm2d(width_in),
            nn.Conv2d(width_in, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.PReLU(width),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, width_in, H, W) to (B, width, H / stride, W / stride)."""
        added: Tensor = self.shortcut_layer(features) + self.res_layer(features)
        return added


class FaceNetwork(nn.Module):
    """Faces to embeddings.

    Args:
        widths: channels of each block, in order; the first block of a width halves height and width. IR-101
            has 3 of 64, 13 of 128, 30 of 256 and 3 of 512.
        stem: channels before the first block.
        embedding: length of the result.
    """

    def __init__(self, widths: tuple[int, ...], stem: int = 64, embedding: int = 512) -> None:
        """Build it; names are those of TFace's weights."""
        super().__init__()
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, stem, 3, 1, 1, bias=False), nn.BatchNorm2d(stem), nn.PReLU(stem)
        )
        before = (0, *widths)
        strides = [2 if width != last else 1 for last, width in zip(before, widths, strict=False)]
        self.body = nn.Sequential(
            *(
                Block(width_in, width, stride)
                for width_in, width, stride in zip((stem, *widths), widths, strides, strict=False)
            )
        )
        side = CROP_SIDE
        for stride in strides:
            side = -(-side // stride)
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(widths[-1]),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(widths[-1] * side * side, embedding),
            nn.BatchNorm1d(embedding, affine=False),
        )

    def forward(self, crops: Tensor) -> Tensor:
        """Faces in RGB in [-1, 1], (B, 3, 112, 112), as vectors of any length, (B, 512)."""
        embedded: Tensor = self.output_layer(self.body(self.input_layer(crops)))
        return embedded


def network_of(weights: Mapping[str, Tensor]) -> FaceNetwork:
    """The network that these weights are of, ready to be asked.

    Raises:
        ValueError: they are of no such network; one line that says where they differ.
    """
    try:
        stem = len(weights["input_layer.0.weight"])
        first = weights["body.0.res_layer.1.weight"]
        widths = [len(first)]
        for number in count(1):
            if (name := f"body.{number}.res_layer.1.weight") not in weights:
                break
            widths.append(len(weights[name]))
        network = FaceNetwork(tuple(widths), stem, embedding=len(weights["output_layer.3.weight"]))
        network.load_state_dict(dict(weights))
    except KeyError as missing:
        raise ValueError(f"it has no {missing}; give a backbone of TFace, such as IR-101") from None
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())[:300]) from None
    return network.eval().to("cuda" if torch.cuda.is_available() else "cpu")
