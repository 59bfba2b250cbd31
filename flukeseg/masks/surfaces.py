"""Distances from a mask's surface or outline, for metrics.py.

The *surface* is the mask's outermost pixels (to compare two masks); the *outline* runs between
pixels (to compare a mask with a curve that is finer than pixels).
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy.spatial import KDTree

POINTS = 1000  # on a curve; with ten times as many, means differ by less than 0.01 pixels

_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))


def eroded(mask: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Erode a mask H×W uint8 0/1; beyond the frame there is no mask."""
    return cv2.erode(mask, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0)


def surface(mask: np.ndarray) -> np.ndarray:
    """Mark the pixels of a mask with one of their four neighbours outside it or the frame.

    Takes and returns H×W uint8 0/1.
    """
    return mask - eroded(mask, _CROSS)


def surface_distances(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance from each surface pixel of one mask to the other's nearest, and the reverse.

    Masks are H×W uint8 0/1. Returns two float64 arrays in pixels, between pixel centres, exact; as
    many values as the surface has pixels, infinite where the other surface has none.
    """
    a, b = (np.argwhere(surface(mask)) for mask in (one, other))
    if not len(a) or not len(b):
        return np.full(len(a), np.inf), np.full(len(b), np.inf)
    # a tree of surface pixels: a distance transform would measure every pixel of the photo
    return KDTree(b).query(a)[0], KDTree(a).query(b)[0]


def resampled(curve: np.ndarray) -> np.ndarray:
    """Resample a curve at even distances, whatever the spacing of its points.

    `curve` is K×2, x and y; a row of NaN interrupts it. Returns N×2 float64: `POINTS` points, the
    given points where the curve has no length, none where it has no points.
    """
    curve = np.asarray(curve, np.float64)
    step = np.diff(curve, axis=0)
    length = np.nan_to_num(np.hypot(step[:, 0], step[:, 1]))
    end = np.cumsum(length)
    if not length.any():
        return curve[np.isfinite(curve).all(1)]
    at = (np.arange(POINTS) + 0.5) / POINTS * end[-1]
    piece = np.searchsorted(end, at, side="right")  # never a piece of no length
    share = 1 - (end[piece] - at) / length[piece]
    return curve[piece] + share[:, None] * step[piece]


def outline_distances(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of points to a mask's outline, which runs between pixels inside and outside it.

    `mask` is H×W uint8 0/1; `points` N×2, x and y in pixels from the top-left corner, in the frame.
    The frame is not part of the outline. Returns N float64 in pixels, exact; infinite where the
    mask has no outline: empty, or the entire frame.
    """
    x, y = points.T
    width = mask.shape[1]
    column = np.minimum(x.astype(int), width - 1)
    row = np.minimum(y.astype(int), mask.shape[0] - 1)
    above, below = _steps(mask)
    left, right = _steps(np.ascontiguousarray(mask.T))
    straight = np.minimum(
        np.minimum(y - above[row, column], below[row, column] - y),
        np.minimum(x - left[column, row], right[column, row] - x),
    )
    # The outline consists of pixel sides. Vertical sides matter only straight across, above: their
    # ends are also ends of horizontal ones. No horizontal side is nearer than `straight` if its
    # column is farther away than that.
    nearest = straight.copy()
    for some in np.array_split(np.argsort(straight), 8):  # else all search as far as the farthest
        reach = int(min(straight[some].max(initial=0), width)) + 1
        span = min(2 * reach + 1, width)
        first = np.clip(column[some] - reach, 0, width - span)
        columns = first[:, None] + np.arange(span)
        px, py, at = x[some, None], y[some, None], (row[some, None], columns)
        across = np.maximum(np.maximum(columns - px, px - columns - 1), 0)
        vertical = np.minimum(py - above[at], below[at] - py)
        square = (across**2 + vertical**2).min(1)
        nearest[some] = np.minimum(nearest[some], np.sqrt(square))
    return nearest


def _steps(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each pixel, y of the nearest change of the mask in its column: above it, and below it.

    Infinite where there is none.
    """
    at = np.arange(1, len(mask), dtype=np.float32)[:, None]
    step = mask[1:] != mask[:-1]
    above = np.full(mask.shape, -np.inf, np.float32)
    below = np.full(mask.shape, np.inf, np.float32)
    np.copyto(above[1:], at, where=step)
    np.copyto(below[:-1], at, where=step)
    # row by row: `accumulate` is four times as slow
    for down in range(1, len(mask)):
        np.maximum(above[down], above[down - 1], out=above[down])
        up = -1 - down
        np.minimum(below[up], below[up + 1], out=below[up])
    return above, below
