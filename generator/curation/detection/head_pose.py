"""Where a head points, from five landmarks and a head of average shape: coarse, but needing no weights."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

#: Both eyes, the nose's tip and both corners of the mouth of an average head, left first, in millimetres:
#: x to the right of the picture, y down, z away from the camera, the nose's tip at the origin.
HEAD = np.array(
    [(-31.5, -33.0, 28.0), (31.5, -33.0, 28.0), (0.0, 0.0, 0.0), (-25.0, 31.0, 20.0), (25.0, 31.0, 20.0)]
)
#: Focal length over the long side of the frame: a view of about 53 degrees, between phones and portraits.
FOCAL = 1.0

Angles = tuple[float, float, float]


def head_pose(landmarks: Sequence[tuple[float, float]], width: int, height: int) -> Angles | None:
    """Solve for yaw, pitch and roll.

    Args:
        landmarks: five points in pixels, in the order of `HEAD`.
        width: pixels of the frame.
        height: likewise.

    Returns:
        Degrees with the signs of `annotation.Face`; None where the points fit no head before the camera.
    """
    solved, turn, position = cv2.solvePnP(
        HEAD, np.asarray(landmarks, float), camera(width, height), None, flags=cv2.SOLVEPNP_SQPNP
    )
    if not solved or position[2, 0] <= 0:
        return None
    return angles(np.asarray(cv2.Rodrigues(turn)[0], float))


def camera(width: int, height: int) -> NDArray[np.float64]:
    """The pinhole camera that is assumed for a frame, shape (3, 3)."""
    focal = FOCAL * max(width, height)
    return np.array([(focal, 0, width / 2), (0, focal, height / 2), (0, 0, 1)], float)


def angles(rotation: NDArray[np.float64]) -> Angles:
    """Yaw, pitch and roll in degrees of a rotation in the axes of `HEAD`, shape (3, 3).

    The nose points along -z of the head; yaw and pitch say where that goes, and roll where its x axis goes.
    """
    across, down, ahead = -rotation[:, 2]
    yaw = math.atan2(across, -ahead)
    pitch = math.atan2(-down, math.hypot(across, ahead))
    roll = math.atan2(rotation[1, 0], rotation[0, 0])
    return math.degrees(yaw), math.degrees(pitch), math.degrees(roll)
