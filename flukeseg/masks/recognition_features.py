"""What a photo shows of a component: features of an encoder, which OpenCV computes.

The encoder is that of `rendered` at revision ae0472f, which no exported file gives, in half
precision; `flukeseg.training.small_networks.recognition_encoder` writes it.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import cv2
import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.resizing import resize_photo
from flukeseg.masks.geometry import Box
from flukeseg.masks.probability import PhotoProbability

CROP = 160
"""Pixels of the square that the encoder sees."""

CROP_REACH = 1.6
"""Side of the square over the longer side of a component's box: some of what is around it."""

ENCODER = "recognition_encoder.onnx"
STAGES = ("stride 8", "stride 16", "stride 32")
"""Names of the encoder's outputs, 1×C×h×w."""

_idle: list[Any] = []
"""Networks that no thread uses now: one of OpenCV's keeps what it computes, so none is shared."""


def crop_photo(coarse: PhotoProbability, box: Box, size: tuple[int, int]) -> np.ndarray:
    """Return a square about a box of a photo, `CROP`×`CROP`×3 uint8 RGB; its border is mirrored.

    Where there is a second look at the box, its pixels are drawn over those of the first.

    Args:
        coarse: what was seen of the photo, with its pixels.
        box: of a component, in pixels of the upright photo.
        size: (height, width) of that.

    Raises:
        InputError: the pixels are not there.
    """
    if coarse.image is None:
        raise InputError("recognition needs the pixels of the photo; give recognition.remove=0")
    middle = box.x + box.width / 2, box.y + box.height / 2
    scale = CROP / (CROP_REACH * max(box.width, box.height))
    crop = np.zeros((CROP, CROP, 3), np.uint8)
    _draw(crop, coarse.image, Box(0, 0, size[1], size[0]), middle, scale, cv2.BORDER_REFLECT_101)
    for look in coarse.second:
        is_in = (
            look.box.x <= middle[0] < look.box.x + look.box.width
            and look.box.y <= middle[1] < look.box.y + look.box.height
        )
        if is_in and look.image is not None:
            _draw(crop, look.image, look.box, middle, scale, cv2.BORDER_TRANSPARENT)
    return crop


def _draw(
    crop: np.ndarray,
    pixels: np.ndarray,
    part: Box,
    middle: tuple[float, float],
    scale: float,
    border: int,
) -> None:
    """Draw the pixels of a part of a photo on a crop about `middle`, in place."""
    # OpenCV does not average where it shrinks by a matrix
    height, width = pixels.shape[:2]
    shrunk = (
        max(1, height // max(1, int(height / (scale * part.height)))),
        max(1, width // max(1, int(width / (scale * part.width)))),
    )
    across, down = scale * part.width / shrunk[1], scale * part.height / shrunk[0]
    matrix = np.array(
        [
            [across, 0, CROP / 2 + scale * (part.x - middle[0]) + (across - 1) / 2],
            [0, down, CROP / 2 + scale * (part.y - middle[1]) + (down - 1) / 2],
        ]
    )
    cv2.warpAffine(resize_photo(pixels, shrunk), matrix, (CROP, CROP), crop, borderMode=border)


def photo_features(crop: np.ndarray, view: np.ndarray) -> np.ndarray:
    """Return means of features in and around a component, and their maxima: float32.

    Args:
        crop: see `crop_photo`.
        view: of the same square, `CROP`×`CROP`×3, see `flukeseg.masks.recognition.view_component`.
    """
    image = np.moveaxis(crop.astype(np.float32) / 255, -1, 0)[None]
    try:
        encoder = _idle.pop()
    except IndexError:
        encoder = cv2.dnn.readNetFromONNX(np.frombuffer(_content(), np.uint8))
    encoder.setInput(image)
    # copies: the next photo overwrites them
    stages = [np.array(stage[0]) for stage in encoder.forward(STAGES)]
    _idle.append(encoder)
    found = []
    for stage in stages:
        side = stage.shape[-1]
        component, inside = (_average(view[..., channel], side) for channel in (0, 2))
        for weight in (component, (1 - component) * inside):
            found.append((stage * weight).sum((1, 2)) / (weight.sum() + 1e-3))
    return np.concatenate([*found, stages[-1].max((1, 2))])


def _average(values: np.ndarray, side: int) -> np.ndarray:
    step = CROP // side
    return values.reshape(side, step, side, step).mean((1, 3))


@cache
def _content() -> bytes:
    return (files("flukeseg.masks") / ENCODER).read_bytes()
