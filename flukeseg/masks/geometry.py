"""Boxes and outlines of masks, in pixels of the upright photo, origin at its top-left corner."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


class Box(NamedTuple):
    """A box in whole pixels: columns x to x + width - 1 and rows y to y + height - 1."""

    x: int
    y: int
    width: int
    height: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Return this part of an H×W or H×W×C array, as a view."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]

    def grow(self, margin: float, size: tuple[int, int]) -> Box:
        """Return the box enlarged on each side by `margin` of its sides, inside (height, width)."""
        return self.pad(round(margin * self.width), round(margin * self.height), size)

    def pad(self, across: int, down: int, size: tuple[int, int]) -> Box:
        """Return the box enlarged on each side by so many pixels, inside (height, width)."""
        left, top = max(0, self.x - across), max(0, self.y - down)
        right = min(size[1], self.x + self.width + across)
        bottom = min(size[0], self.y + self.height + down)
        return Box(left, top, right - left, bottom - top)


class RotatedBox(NamedTuple):
    """The smallest rectangle at any angle around a mask's pixels.

    `x`, `y`: its centre; `width`: the longer side; `angle`: of that side, in degrees, -90 < angle ≤
    90, positive where its right end is lower, as the y axis points down.
    """

    x: float
    y: float
    width: float
    height: float
    angle: float


def tight_box(mask: np.ndarray) -> Box | None:
    """Return the bounding box of a mask or labels H×W uint8; None where it is empty."""
    box = Box(*cv2.boundingRect(mask))
    return box if box.width else None


def rotated_box(mask: np.ndarray) -> RotatedBox | None:
    """Return the smallest rotated rectangle of a mask H×W uint8; None where it is empty."""
    box = tight_box(mask)
    if box is None:
        return None
    # the ends of the rows determine the convex hull; pixels count with their corners
    part = box.cut(mask) > 0
    rows = np.flatnonzero(part.any(1))
    left = part[rows].argmax(1)
    right = box.width - part[rows, ::-1].argmax(1)
    corners = [(x, y) for x in (left, right) for y in (rows, rows + 1)]
    points = np.concatenate([np.stack(corner, 1) for corner in corners]).astype(np.float32)
    (x, y), (width, height), angle = cv2.minAreaRect(points)
    if width < height:
        width, height, angle = height, width, angle + 90
    angle = 90 - (90 - angle) % 180
    return RotatedBox(x + box.x, y + box.y, width, height, angle)


def outlines(mask: np.ndarray, holes: bool = True) -> list[np.ndarray]:
    """Return the closed outlines of a mask H×W uint8, of holes too, each K×2 int32 x, y.

    They run through the outermost pixels, in whole columns and rows.
    """
    mode = cv2.RETR_LIST if holes else cv2.RETR_EXTERNAL
    lines, _ = cv2.findContours(mask, mode, cv2.CHAIN_APPROX_NONE)
    return [line[:, 0] for line in lines]


def touches_frame(mask: np.ndarray) -> int:
    """Count the pixels of a mask or labels H×W along the frame's most occupied side."""
    return max(np.count_nonzero(side) for side in (mask[0], mask[-1], mask[:, 0], mask[:, -1]))
