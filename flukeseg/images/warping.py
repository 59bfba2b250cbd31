"""Affine transforms of images of any size."""

from __future__ import annotations

import cv2
import numpy as np

LONGEST = 32_766
"""Pixels a side that OpenCV 4 transforms at once."""


def warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int], border: int) -> np.ndarray:
    """Transform an image by linear interpolation, in parts where a side is longer than `LONGEST`.

    Args:
        image: H×W or H×W×C, of a type that OpenCV knows.
        matrix: 2×3, from the image to the result; pixel centres lie at whole numbers.
        size: (height, width) of the result.
        border: `cv2.BORDER_CONSTANT`, zero beyond the image, or `cv2.BORDER_REPLICATE`.
    """
    if max(*image.shape[:2], *size) <= LONGEST:
        return cv2.warpAffine(image, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=border)
    height, width = size
    if height == width == 1:
        return _warp_part(image, matrix, (0, 0), size, border)
    if width >= height:
        half = width // 2
        left = _warp_part(image, matrix, (0, 0), (height, half), border)
        right = _warp_part(image, matrix, (half, 0), (height, width - half), border)
        return np.hstack([left, right])
    half = height // 2
    upper = _warp_part(image, matrix, (0, 0), (half, width), border)
    lower = _warp_part(image, matrix, (0, half), (height - half, width), border)
    return np.vstack([upper, lower])


def _warp_part(
    image: np.ndarray,
    matrix: np.ndarray,
    start: tuple[int, int],
    size: tuple[int, int],
    border: int,
) -> np.ndarray:
    """Return the part of a result from x, y `start`, made of the pixels that it needs."""
    corners = np.array([(x, y) for x in (0, size[1] - 1) for y in (0, size[0] - 1)]) + start
    inverse = cv2.invertAffineTransform(matrix)
    needed = corners @ inverse[:, :2].T + inverse[:, 2]
    # a pixel more for interpolation, and one for rounding; at least one pixel of the image
    last = np.array(image.shape[1::-1]) - 1
    left, top = np.clip(np.floor(needed.min(0)) - 2, 0, last).astype(int)
    right, bottom = np.clip(np.ceil(needed.max(0)) + 2, 0, last).astype(int) + 1
    moved = matrix.astype(np.float64)
    moved[:, 2] += matrix[:, :2] @ (left, top) - start
    return warp(image[top:bottom, left:right], moved, size, border)
