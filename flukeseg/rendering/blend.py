"""Colour arithmetic on whole pictures, one channel at a time.

NumPy is some four times slower when it broadcasts over a last axis of three.
"""

import cv2
import numpy as np


def over(image: np.ndarray, colour: np.ndarray, alpha: np.ndarray) -> None:
    """Lay a colour (3, or h × w × 3) over an image in place, by alpha (h × w, 0 … 1)."""
    for channel in range(3):
        values = image[..., channel]
        values += alpha * (colour[..., channel] - values)


def scale(image: np.ndarray, gain: np.ndarray) -> None:
    """Multiply an image (h × w × 3) in place by a gain (h × w)."""
    for channel in range(3):
        image[..., channel] *= gain


def mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """An image between two colours (3): the second where share (h × w) is 1."""
    return cv2.merge([a + share * (b - a) for a, b in zip(first, second, strict=True)])
