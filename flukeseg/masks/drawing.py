"""Pictures of a photo and its mask: overlay, cut-out, white background, thumbnail, RGBM."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from flukeseg.errors import require_size
from flukeseg.images.encoding import encode_jpeg
from flukeseg.images.resizing import resize_mask, resize_photo
from flukeseg.images.warping import warp
from flukeseg.masks.geometry import Box, RotatedBox, outlines

OUTLINE = (255, 0, 255)
"""RGB of a predicted outline: magenta contrasts with sea, skin and snow."""
FRAME = (255, 255, 0)
"""RGB of a box."""
THUMBNAIL = (256, 192)
"""Largest width and height of a thumbnail, in pixels."""


def draw_outline(
    photo: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int], width: int = 1
) -> None:
    """Draw the outline of a mask H×W uint8 on a photo H×W×3 uint8, in place."""
    cv2.drawContours(photo, outlines(mask), -1, colour, width)


def overlay(photo: np.ndarray, mask: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """Draw a mask's outline and boxes on a copy of the photo.

    Args:
        photo: H×W×3 uint8 RGB.
        mask: H×W uint8.
        boxes: of the flukes.
    """
    drawn = photo.copy()
    width = max(1, round(photo.shape[1] / 500))
    for box in boxes:
        corner = box.x + box.width - 1, box.y + box.height - 1
        cv2.rectangle(drawn, (box.x, box.y), corner, FRAME, width)
    draw_outline(drawn, mask, OUTLINE, width)
    return drawn


def cutout(photo: np.ndarray, mask: np.ndarray, box: Box) -> np.ndarray:
    """Cut a fluke out: RGBA uint8 of the box, white and transparent where the mask is 0."""
    alpha = np.where(box.cut(mask) > 0, np.uint8(255), np.uint8(0))
    return np.dstack([white(photo, mask, box), alpha])


def white(photo: np.ndarray, mask: np.ndarray, box: Box) -> np.ndarray:
    """Put a fluke on a white background: RGB uint8 of the box."""
    return np.where(box.cut(mask)[..., None] > 0, box.cut(photo), np.uint8(255))


def rgbm(photo: np.ndarray, mask: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """Stack photo and mask: H×W×4 uint8, the fourth channel 0 or 255.

    Args:
        photo: H×W×3 uint8 RGB.
        mask: H×W uint8, 0 or 255.
        size: (height, width) to resize to; None keeps the photo's.

    Raises:
        InputError: the size is none.
    """
    if size is not None:
        require_size("size", size)
        photo, mask = resize_photo(photo, size), 255 * resize_mask(mask // 255, size)
    return np.dstack([photo, mask])


def rotated_rgbm(
    photo: np.ndarray, mask: np.ndarray, box: RotatedBox, margin: float = 0
) -> np.ndarray:
    """Cut a rotated box out, its longer side horizontal: photo and mask as four channels uint8.

    Args:
        photo: H×W×3 uint8 RGB; outside it its border is repeated.
        mask: H×W uint8, 0 for what is no fluke; outside the photo there is none.
        box: in pixels of the photo.
        margin: added on each side, a share of the box's sides.
    """
    width, height = (max(1, round(side * (1 + 2 * margin))) for side in (box.width, box.height))
    turn = cv2.getRotationMatrix2D((box.x - 0.5, box.y - 0.5), box.angle, 1.0)
    turn[:, 2] += np.array([width / 2 - box.x, height / 2 - box.y])
    size, fluke = (height, width), np.where(mask > 0, np.uint8(255), np.uint8(0))
    colours = warp(photo, turn, size, cv2.BORDER_REPLICATE)
    moved = warp(fluke, turn, size, cv2.BORDER_CONSTANT)
    return np.dstack([colours, np.where(moved > 127, np.uint8(255), np.uint8(0))])


def draw_thumbnail(photo: np.ndarray, mask: np.ndarray) -> bytes:
    """Draw a mask's outline on a small copy of its photo.

    Args:
        photo: h×w×3 uint8 RGB, of any size and shape; it is brought to the mask's.
        mask: H×W uint8, 0 for what is no fluke.

    Returns:
        A JPEG.
    """
    scale = min(THUMBNAIL[0] / mask.shape[1], THUMBNAIL[1] / mask.shape[0])
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    small = resize_photo(photo, (height, width))
    # by area, and as bytes: an outline of 256 pixels shows no more, and large masks take long
    fluke = np.where(mask > 0, np.uint8(255), np.uint8(0))
    fluke = cv2.resize(fluke, (width, height), interpolation=cv2.INTER_AREA)
    draw_outline(small, (fluke > 127).astype(np.uint8), OUTLINE)
    return encode_jpeg(small)
