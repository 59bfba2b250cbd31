"""Arrays -> PNG and JPEG bytes."""

from __future__ import annotations

import cv2
import numpy as np

from flukeseg.images.resizing import resize_photo

LONGEST_JPEG = 65_500  # pixels a side; the format allows no more


def encode_jpeg(image: np.ndarray) -> bytes:
    """Encode H×W×3 uint8 RGB for display, shrunk where it exceeds JPEG's longest side."""
    scale = LONGEST_JPEG / max(image.shape[:2])
    if scale < 1:
        height, width = image.shape[:2]
        image = resize_photo(image, (max(1, int(height * scale)), max(1, int(width * scale))))
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()


def encode_png(image: np.ndarray) -> bytes:
    """Encode H×W, H×W×3 RGB or H×W×4 RGBA without loss, of 8 or 16 bits."""
    if image.ndim == 3:
        to_bgr = cv2.COLOR_RGBA2BGRA if image.shape[2] == 4 else cv2.COLOR_RGB2BGR
        image = cv2.cvtColor(image, to_bgr)
    # OpenCV's default level and strategy are among the fastest, and smaller than most
    return cv2.imencode(".png", image)[1].tobytes()
