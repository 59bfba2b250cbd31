"""Resizing photos, masks and maps."""

from __future__ import annotations

import cv2
import numpy as np


def resize_photo(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize H×W×3 uint8 to (height, width): by area where it shrinks, cubic where it grows.

    A fourth channel is a mask of 0 and 255, and stays one.
    """
    if image.shape[2] == 3:
        return _resize(image, size, cv2.INTER_CUBIC)
    photo = _resize(np.ascontiguousarray(image[..., :3]), size, cv2.INTER_CUBIC)
    return np.dstack([photo, resize_mask(image[..., 3] > 127, size) * np.uint8(255)])


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an H×W mask of 0 and 1 to (height, width) uint8: 1 where over half the area is 1."""
    # In float: as integers the averages would be rounded before they are compared.
    return (_resize(mask.astype(np.float32), size, cv2.INTER_LINEAR) > 0.5).astype(np.uint8)


def resize_map(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize H×W float32 to (height, width): by area where it shrinks, linearly where it grows.

    Returns a new array, even of the same size: what is enlarged is changed in place.
    """
    resized = _resize(values, size, cv2.INTER_LINEAR)
    return resized.copy() if resized is values else resized


def _resize(image: np.ndarray, size: tuple[int, int], growing: int) -> np.ndarray:
    # OpenCV averages areas only where both sides shrink, so those that shrink are done first.
    between = min(size[0], image.shape[0]), min(size[1], image.shape[1])
    if between != image.shape[:2]:
        image = cv2.resize(image, between[::-1], interpolation=cv2.INTER_AREA)
    if between != tuple(size):
        image = cv2.resize(image, size[::-1], interpolation=growing)
    return image
