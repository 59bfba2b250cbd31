"""A second look at flukes that are small in the frame: where it pays, and when it is believed.

The network sees the box of a fluke small, in an overview that must confirm the first look unless
that was as close, and then close, which places the edge; on what is fluke both count alike. Maps
are H×W float32; boxes are in pixels of the upright photo. The constants were chosen on renderings:
`BAND` on 80, the others on 55.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from flukeseg.images.resizing import resize_map
from flukeseg.masks.cleaning import Cleaned
from flukeseg.masks.geometry import Box, tight_box
from flukeseg.masks.review import confidence

LOOKS = ("auto", "once")
"""The settings of `look=`."""

MARGIN = 0.2
"""Around the box of the first look's fluke, a share of its sides."""

LEAST_MARGIN = 0.02
"""The same as a share of the photo's: what a first look misses of a fluke is near what it finds."""

STEP = 8
"""Boxes start and end at multiples of it: JPEGs are decoded at down to 1/8 of their size."""

SCALE = 4 / 3
"""Sides of the network's input in a second look, in units of the trained size. Edges get better
with it, but at 5/3 and 2 the network misses parts of flukes that are larger than it has seen."""

GAIN = 1.3
"""Least gain of a second look, see `gain`: just what a photo gains of which the fluke fills the
frame, if it has the pixels."""

EXPECTED = 0.6
"""IoU of the first look and an overview, of that which the first expects with the truth."""

CLOSE = 0.9
"""IoU of an overview and a close look."""

LESS_SURE = 0.005
"""What a close look may lack of the confidence of an overview."""

BAND = 6
"""Pixels along a side of a close look that make one of the map on which looks are compared."""


def second_size(trained: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the network's input in a close look, of that of training."""
    return round(SCALE * trained[0]), round(SCALE * trained[1])


def overview_size(second: tuple[int, int]) -> tuple[int, int]:
    """Return (height, width) of the network's input in an overview, of that of a close look."""
    return second[0] // 2, second[1] // 2


def boxes_to_look_at(
    cleaned: Cleaned, photo: tuple[int, int], first: tuple[int, int], second: tuple[int, int]
) -> list[Box]:
    """Return the boxes of flukes that deserve a second look; flukes whose boxes overlap share one.

    Args:
        cleaned: flukes of the first look, h×w.
        photo: (height, width).
        first: (height, width) of the network's input in the first look.
        second: the same in the second look.
    """
    height, width = cleaned.labels.shape
    down, across = photo[0] / height, photo[1] / width
    boxes: list[Box] = []
    for label in range(1, len(cleaned.areas) + 1):
        tight = tight_box((cleaned.labels == label).view(np.uint8))
        if tight is None:
            continue
        x = max(MARGIN * tight.width, LEAST_MARGIN * width)
        y = max(MARGIN * tight.height, LEAST_MARGIN * height)
        box = _aligned(
            (tight.x - x) * across,
            (tight.y - y) * down,
            (tight.x + tight.width + x) * across,
            (tight.y + tight.height + y) * down,
            photo,
        )
        while near := [other for other in boxes if _overlap(box, other)]:
            boxes = [other for other in boxes if other not in near]
            box = _around(box, *near)
        boxes.append(box)
    return [box for box in boxes if gain(box, photo, first, second) >= GAIN]


def gain(
    box: Box, photo: tuple[int, int], first: tuple[int, int], second: tuple[int, int]
) -> float:
    """Return how many times more of the photo's own pixels along a side a second look sees.

    Arguments as in `boxes_to_look_at`. Where a look enlarges, it sees the photo's own pixels.
    """
    factors = [
        min(1, after / part) / min(1, before / whole)
        for after, part, before, whole in zip(
            second, (box.height, box.width), first, photo, strict=True
        )
    ]
    return math.sqrt(factors[0] * factors[1])


def is_confirmed(first: np.ndarray, overview: np.ndarray, threshold: float) -> bool:
    """Tell whether an overview of a box agrees with the first look on what is fluke, and is surer.

    A first look that is unsure, as of pieces of a fluke, may be corrected by more: its confidence
    is the Dice d that it expects of its mask, which is an IoU of d / (2 - d).

    Args:
        first: probabilities of the first look in the box.
        overview: those of the network's, when it sees the box small; of the same size.
        threshold: above it is fluke.
    """
    expected, surer, iou = _compare(first, overview, threshold)
    return surer > expected and iou >= EXPECTED * expected / (2 - expected)


def is_kept(overview: np.ndarray, close: np.ndarray, threshold: float) -> bool:
    """Tell whether a close look at a box says what the overview said, but for the edge.

    What is blurred or grainy at its own scale is like nothing that a network has learnt: there the
    close look loses parts of the fluke, or its confidence.

    Args:
        overview: probabilities, at the size of `close`.
        close: those of the network, when it sees the box large.
        threshold: above it is fluke.
    """
    before, after, iou = _compare(overview, close, threshold)
    return after >= before - LESS_SURE and iou >= CLOSE


def with_edge(overview: np.ndarray, close: np.ndarray) -> np.ndarray:
    """Return what an overview says, with the edge of a close look; of the size of that, 0..1.

    A fluke that is seen close is larger than most that a network has learnt, and foam beside it or
    a shaded lobe may be taken for what it is not. Where both looks agree but for the sharpness of
    the edge, this is the close look. It is built from two bands, as in the pyramids of Burt and
    Adelson 1983: averages over `BAND` pixels from the overview, what is finer from the close look.

    Args:
        overview: probabilities of any size.
        close: those of the close look.
    """
    size = math.ceil(close.shape[0] / BAND), math.ceil(close.shape[1] / BAND)
    change = resize_map(overview, size) - resize_map(close, size)
    return (close + resize_map(change, close.shape)).clip(0, 1)


def _compare(one: np.ndarray, two: np.ndarray, threshold: float) -> tuple[float, float, float]:
    """Return the confidence of each in its mask, and the masks' IoU, which is 0 without fluke."""
    first, second = one > threshold, two > threshold
    union = int(np.count_nonzero(first | second))
    iou = int(np.count_nonzero(first & second)) / max(union, 1)
    return float(confidence(one, first)), float(confidence(two, second)), iou


def cut_map(
    values: np.ndarray, photo: tuple[int, int], box: Box, size: tuple[int, int]
) -> np.ndarray:
    """Return a box of a map h×w of a photo, at (height, width), interpolated linearly."""
    down, across = values.shape[0] / photo[0], values.shape[1] / photo[1]
    y, x = down * box.height / size[0], across * box.width / size[1]
    # from the middle of a pixel to that of another
    matrix = np.array(
        [[x, 0, across * box.x + (x - 1) / 2], [0, y, down * box.y + (y - 1) / 2]], np.float64
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(values, matrix, size[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def lay_over(whole: np.ndarray, values: np.ndarray, box: Box) -> None:
    """Replace a box of a map H×W by a map of it of any size, in place.

    Along its sides both are mixed, so that there is no seam; not where the photo ends.
    """
    part = box.cut(whole)
    change = resize_map(values, part.shape)
    change -= part
    change *= _weights(box.y, box.height, whole.shape[0])[:, None]
    change *= _weights(box.x, box.width, whole.shape[1])
    part += change


def _weights(start: int, length: int, whole: int) -> np.ndarray:
    """Rise from 0 to 1 over a sixteenth of a box at either end, but for the ends of the photo."""
    rise = ((np.arange(length, dtype=np.float32) + np.float32(0.5)) * (16 / length)).clip(max=1)
    weights = np.ones(length, np.float32)
    if start > 0:
        weights = np.minimum(weights, rise)
    if start + length < whole:
        weights = np.minimum(weights, rise[::-1])
    return weights


def _aligned(left: float, top: float, right: float, bottom: float, photo: tuple[int, int]) -> Box:
    """Return the box around these sides at multiples of `STEP`, inside the photo."""
    x, y = (max(0, math.floor(side / STEP) * STEP) for side in (left, top))
    x2, y2 = math.ceil(right / STEP) * STEP, math.ceil(bottom / STEP) * STEP
    return Box(x, y, min(photo[1], x2) - x, min(photo[0], y2) - y)


def _overlap(one: Box, two: Box) -> bool:
    across = one.x < two.x + two.width and two.x < one.x + one.width
    return across and one.y < two.y + two.height and two.y < one.y + one.height


def _around(*boxes: Box) -> Box:
    x, y = min(box.x for box in boxes), min(box.y for box in boxes)
    right = max(box.x + box.width for box in boxes)
    bottom = max(box.y + box.height for box in boxes)
    return Box(x, y, right - x, bottom - y)
