"""Pictures that compare a predicted mask with the true one, as JPEG for an HTML page."""

from __future__ import annotations

import base64
import math
from typing import NamedTuple

import cv2
import numpy as np

from flukeseg.errors import InputError
from flukeseg.evaluation.pairing import PredictedMask, TrueMask
from flukeseg.images.reading import read_mask, read_photo
from flukeseg.images.resizing import resize_mask, resize_photo
from flukeseg.images.rgbm import read_rgbm_photo
from flukeseg.masks.drawing import OUTLINE, draw_outline
from flukeseg.masks.geometry import Box, tight_box
from flukeseg.masks.sheets import TRUTH

MISSED, FALSE = (230, 159, 0), (86, 180, 233)
"""RGB of false negative and of false positive pixels, of the same palette as the plots."""

PICTURE = 640, 480
"""Largest width and height of a picture, in pixels."""
ENLARGED = 4  # times at most, so that a few pixels still look like a few pixels


class Pictures(NamedTuple):
    """A photo with both outlines, and the differences of the masks, as data URIs of JPEGs.

    `share`: the part of the photo's area that is shown.
    """

    outlines: str
    errors: str
    share: float


def draw_masks(truth: TrueMask, guess: PredictedMask, max_pixels: int) -> Pictures:
    """Draw the errors of a mask, cropped where the masks are small in the frame.

    Without a readable photo the background is grey. The true outline is the wider one, so that it
    is visible where both coincide.

    Raises:
        InputError: a mask cannot be read.
    """
    true = read_mask(truth.mask, truth.threshold, max_pixels)
    predicted = np.zeros_like(true)
    if guess.mask is not None:
        predicted = read_mask(guess.mask, max_pixels=max_pixels)
    box = _shown_box(true | predicted)
    scale = min(PICTURE[0] / box.width, PICTURE[1] / box.height, ENLARGED)
    size = max(1, round(box.height * scale)), max(1, round(box.width * scale))
    ground = _photo(truth, box, true.shape, size, max_pixels)
    share = box.width * box.height / true.size
    true, predicted = (resize_mask(box.cut(mask), size) for mask in (true, predicted))
    outlined = ground.copy()
    draw_outline(outlined, true, TRUTH, 4)
    draw_outline(outlined, predicted, OUTLINE, 2)
    grey = cv2.cvtColor(ground, cv2.COLOR_RGB2GRAY) // 4
    # with 100 added, a black fluke is lighter than white foam
    errors = np.stack([grey + 100 * (true & predicted)] * 3, axis=-1)
    errors[(true > 0) & (predicted == 0)] = MISSED
    errors[(true == 0) & (predicted > 0)] = FALSE
    return Pictures(_jpeg(outlined), _jpeg(errors), share)


def _shown_box(masks: np.ndarray) -> Box:
    """Return the box of a mask with a margin; the entire frame where the box is most of it."""
    height, width = masks.shape
    frame = Box(0, 0, width, height)
    box = tight_box(masks)
    if box is None:
        return frame
    margin = max(16, max(box.width, box.height) // 5)
    box = box.pad(margin, margin, masks.shape)
    return box if box.width * box.height < 0.6 * masks.size else frame


def _photo(
    truth: TrueMask, box: Box, of: tuple[int, int], size: tuple[int, int], max_pixels: int
) -> np.ndarray:
    grey = np.full((*size, 3), 128, np.uint8)
    if truth.photo is None:
        return grey
    try:
        read = read_rgbm_photo if truth.in_channels == 4 else read_photo
        photo = read(truth.photo, max_pixels)
    except InputError:
        return grey
    # masks may be smaller than the photo
    down, across = photo.shape[0] / of[0], photo.shape[1] / of[1]
    rows = slice(int(box.y * down), math.ceil((box.y + box.height) * down))
    columns = slice(int(box.x * across), math.ceil((box.x + box.width) * across))
    return resize_photo(photo[rows, columns], size)


def _jpeg(image: np.ndarray) -> str:
    # no chroma subsampling, which would blur thin coloured lines
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    options = [cv2.IMWRITE_JPEG_QUALITY, 80, *sampling]
    encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), options)[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded).decode()
