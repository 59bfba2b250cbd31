"""What networks see of one photo: probabilities of its pixels, in one look or two."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flukeseg.masks.geometry import Box


class PhotoProbability(NamedTuple):
    """Probabilities of one photo, at the network's size.

    `probability`: h×w float32 in 0..1, the network's. `spread`: h×w float32 in 0..0.5, the standard
    deviation between views, and `disagreement`, 0..1, between their masks; both NaN after a single
    view. `second`: second looks at parts of the photo, which do not overlap. `image`: the pixels
    that the network saw, h×w×3 uint8 RGB, or None. `refined`: the probabilities that make a mask,
    of any size, see `flukeseg.masks.refinement`; None where they are those of the network.
    """

    probability: np.ndarray
    spread: np.ndarray
    disagreement: float
    second: tuple[SecondLook, ...] = ()
    image: np.ndarray | None = None
    refined: np.ndarray | None = None


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
    refined: np.ndarray | None = None
