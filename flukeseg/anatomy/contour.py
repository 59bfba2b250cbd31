"""The outline of one fluke to a fraction of a pixel, as a closed curve."""

from __future__ import annotations

import cv2
import numpy as np
from contourpy import contour_generator

from flukeseg.masks.geometry import tight_box

FRAME_REACH = 0.75  # pixels from the frame within which an outline runs along it


def subpixel_outline(
    mask: np.ndarray, probability: np.ndarray | None = None, threshold: float = 0.5
) -> np.ndarray:
    """Return the outer outline of a fluke, clockwise on the screen: N×2 float64 x, y, not closed.

    Marching squares between pixel centres. Where there is a probability the outline runs where it
    crosses the threshold, else halfway between pixels of fluke and of water. Of several components
    the longest outline counts; (0, 2) for an empty mask.

    Args:
        mask: H×W, 0 outside the fluke; made of the probability by this threshold and cleaned.
        probability: H×W float32 in 0..1.
        threshold: what the outline runs along.
    """
    inside = np.not_equal(mask, 0, order="C").view(np.uint8)
    box = tight_box(inside)
    if box is None:
        return np.zeros((0, 2))
    box = box.pad(2, 2, inside.shape)
    inside = box.cut(inside) > 0
    field = inside.astype(np.float32)
    if probability is not None:
        value = box.cut(probability)
        # what cleaning filled is inside, what it removed is outside, whatever the network said
        field = np.where((value > threshold) == inside, value, field).astype(np.float32)
    else:
        threshold = 0.5
    field = cv2.copyMakeBorder(field, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    # pixel centres lie at .5, and the border of zeros before them
    columns = np.arange(field.shape[1]) + (box.x - 0.5)
    rows = np.arange(field.shape[0]) + (box.y - 0.5)
    lines = contour_generator(columns, rows, field).lines(threshold)
    line = max(lines, key=lambda points: abs(signed_area(points)))[:-1]
    height, width = mask.shape
    line = line.clip(0, (width, height))
    line = line[np.any(line != np.roll(line, 1, 0), 1)]
    return line if signed_area(line) > 0 else line[::-1]


def signed_area(points: np.ndarray) -> float:
    """Area inside a closed curve N×2 in square pixels, positive if it is clockwise on screen."""
    x, y = points.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def arc_length(points: np.ndarray) -> np.ndarray:
    """Way along a closed curve N×2 to each of its points and back to the first: N + 1 values."""
    step = np.roll(points, -1, 0) - points
    return np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])


def points_at(points: np.ndarray, length: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Points of a closed curve N×2 at ways `at` along it, K×2; `length` is its `arc_length`.

    Ways below 0 or above the curve's own length go round again.
    """
    at = np.mod(at, length[-1])
    closed = np.concatenate([points, points[:1]])
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], -1)


def on_frame(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which points N×2 lie along the frame of a photo of (height, width)."""
    return np.minimum(points, np.array(size[::-1]) - points).min(1) < FRAME_REACH
