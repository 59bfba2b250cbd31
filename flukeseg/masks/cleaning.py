"""A thresholded mask -> its flukes: islands removed, holes filled, each fluke labelled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from flukeseg.errors import require_number
from flukeseg.masks.geometry import tight_box

MAX_FLUKES = 255
"""Of a photo, as labels have 8 bits."""


@dataclass(frozen=True)
class Cleaning:
    """Which parts of a mask are kept.

    Args:
        island_share: components below this share of the largest one's area are removed; larger
            ones are separate flukes. 0.01 to 1.
        hole_share: holes up to this share of the flukes' area are filled; 0 fills none.
        min_coverage: if the rest covers less than this share of the photo, there is no fluke.

    Raises:
        InputError: a share is out of range.
    """

    island_share: float = 0.1
    hole_share: float = 0.05
    min_coverage: float = 0.0005

    def __post_init__(self) -> None:
        for name, least in (("island_share", 0.01), ("hole_share", 0.0), ("min_coverage", 0.0)):
            require_number(f"cleaning.{name}", getattr(self, name), least)


COMPONENTS = Cleaning(island_share=0.01, hole_share=0, min_coverage=0)
"""For masks that are not to be cleaned: their components, all but specks, are their flukes."""


class Cleaned(NamedTuple):
    """Flukes of a photo.

    `labels`: H×W uint8, 0 where there is none, 1 for the largest fluke, 2 for the next, …
    `areas`: their pixels, in that order. `removed`: pixels of removed islands.
    """

    labels: np.ndarray
    areas: tuple[int, ...]
    removed: int


def clean(mask: np.ndarray, cleaning: Cleaning) -> Cleaned:
    """Fill the holes of a mask, remove islands and label the flukes.

    Pixels that touch at a side or a corner belong to one component. An empty mask has no flukes.

    Args:
        mask: H×W uint8, 0 or 1.
        cleaning: which parts are kept.
    """
    shape, size = mask.shape, mask.size
    box = tight_box(mask)
    if box is None:
        return Cleaned(np.zeros(shape, np.uint8), (), 0)
    part = _filled(box.cut(mask), cleaning.hole_share)
    _, components, stats, _ = cv2.connectedComponentsWithStats(part, connectivity=8)
    del mask, part  # of a photo of 100 megapixels each takes 100 MB
    labels = np.zeros(shape, np.uint8)
    areas = stats[:, cv2.CC_STAT_AREA].astype(np.int64)
    areas[0] = 0  # the background
    # of two equal ones the upper first, then the left
    left, top = stats[:, cv2.CC_STAT_LEFT], stats[:, cv2.CC_STAT_TOP]
    order = np.lexsort((left, top, -areas))
    kept = order[areas[order] >= max(1.0, cleaning.island_share * areas.max())][:MAX_FLUKES]
    total = int(areas[kept].sum())
    if total < cleaning.min_coverage * size:
        return Cleaned(labels, (), int(areas.sum()))
    new_label = np.zeros(len(areas), np.uint8)
    new_label[kept] = np.arange(1, len(kept) + 1)
    for rows in row_strips(len(components)):
        box.cut(labels)[rows] = new_label[components[rows]]
    return Cleaned(labels, tuple(int(area) for area in areas[kept]), int(areas.sum()) - total)


def largest_component(mask: np.ndarray) -> np.ndarray:
    """Return the largest component of a mask; both are H×W uint8, 0 or 1."""
    return (clean(mask, COMPONENTS).labels == 1).astype(np.uint8)


def _filled(mask: np.ndarray, share: float) -> np.ndarray:
    """Fill holes up to a share of the mask's area. Holes are 4-connected."""
    height, width = mask.shape
    ground = np.ones((height + 2, width + 2), np.uint8)
    np.equal(mask, 0, out=ground[1:-1, 1:-1].view(bool))
    cv2.floodFill(ground, None, (0, 0), 0, flags=4)  # the outside
    ground = ground[1:-1, 1:-1]
    box = tight_box(ground)
    if box is None:
        return mask
    _, holes, stats, _ = cv2.connectedComponentsWithStats(box.cut(ground), connectivity=4)
    fill = stats[:, cv2.CC_STAT_AREA] <= share * np.count_nonzero(mask)
    fill[0] = False
    filled = mask.copy()
    part = box.cut(filled)
    for rows in row_strips(box.height):
        part[rows] |= fill[holes[rows]].view(np.uint8)
    return filled


def row_strips(height: int) -> Iterator[slice]:
    """Give so many rows in parts: of a photo of 100 megapixels each copy is 100 MB or more."""
    return (slice(start, start + 256) for start in range(0, height, 256))
