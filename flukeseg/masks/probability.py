"""What networks see of one photo: probabilities of its pixels, in one look or two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flukeseg.images.resizing import resize_map
from flukeseg.masks.geometry import Box


class PhotoProbability(NamedTuple):
    """Probabilities of one photo, at the network's size.

    `probability`: h×w float32 in 0..1. `spread`: h×w float32 in 0..0.5, the standard deviation
    between views, and `disagreement`, 0..1, between their masks; both NaN after a single view.
    `second`: second looks at parts of the photo, which do not overlap. `image`: the pixels that the
    network saw, h×w×3 uint8 RGB, or None.
    """

    probability: np.ndarray
    spread: np.ndarray
    disagreement: float
    second: tuple[SecondLook, ...] = ()
    image: np.ndarray | None = None


class SecondLook(NamedTuple):
    """A second look at a box of the upright photo; the others as in `PhotoProbability`.

    `believed`: whether it counts, see `flukeseg.masks.second_look`. `image` may be smaller.
    """

    box: Box
    probability: np.ndarray
    spread: np.ndarray
    disagreement: float
    believed: bool
    image: np.ndarray | None = None


def average_looks(first: PhotoProbability, other: PhotoProbability) -> PhotoProbability:
    """Return the mean of two looks at all of a photo, at the size of the first.

    The spread is the standard deviation between all their views. The disagreement is the larger of
    that between the two masks, one minus the mean Dice with the mask of the mean, and that between
    views of a look, the mean over both.

    Args:
        first: whose second looks and pixels stay.
        other: at another size; as many views.
    """
    size = first.probability.shape
    each = np.stack([first.probability, resize_map(other.probability, size)])
    mean = each.mean(0)
    # a single view has no spread of its own
    within = np.nan_to_num(np.stack([first.spread, resize_map(other.spread, size)]))
    spread = np.sqrt((within**2 + (each - mean) ** 2).mean(0))
    masks, mask = each > 0.5, mean > 0.5
    total = masks.sum((1, 2)) + mask.sum()
    dice = np.where(total > 0, 2 * (masks & mask).sum((1, 2)) / np.maximum(total, 1), 1.0)
    views = np.nan_to_num([first.disagreement, other.disagreement])
    disagreement = max(float(1 - dice.mean()), float(views.mean()))
    return first._replace(probability=mean, spread=spread, disagreement=disagreement)
