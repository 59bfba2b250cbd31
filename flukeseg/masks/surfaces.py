"""Where a mask ends, and how far something else is from there: what metrics.py measures with.

Two ways to say where: the *surface* are the mask's outermost pixels (for mask against mask), the
*outline* runs between pixels (for a mask against a curve that is finer than pixels).
"""

from __future__ import annotations

import cv2
import numpy as np

EXACT = 800  # pixels up to which OpenCV's float32 distance, squared, rounds to the right integer
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
    """Distance of each surface pixel of one mask to the other's nearest, and the reverse.

    Masks H×W uint8 0/1. Returns two float64 arrays in pixels, between pixel centres, exact to
    2e-7 of themselves; as long as each surface has pixels, and infinite where the other has none.
    """
    a, b = surface(one), surface(other)
    return _distances(a, b), _distances(b, a)


def _distances(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    at = start > 0
    if not end.any():
        return np.full(np.count_nonzero(at), np.inf)
    distance = cv2.distanceTransform(1 - end, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = distance[at].astype(np.float64)
    # float32 puts some whole distances a hair off, which would count them out of a tolerance
    return np.where(distance < EXACT, np.sqrt(np.rint(distance**2)), distance)


def resampled(curve: np.ndarray) -> np.ndarray:
    """Points at even distances along a curve, whatever the spacing of its own.

    `curve` is K×2, x and y; a row of NaN lifts the pen. Returns N×2 float64: `POINTS` of them, the
    points themselves where the curve has no length, none where it has no points.
    """
    curve = np.asarray(curve, np.float64)
    step = np.diff(curve, axis=0)
    length = np.nan_to_num(np.hypot(step[:, 0], step[:, 1]))
    end = np.cumsum(length)
    if not length.any():
        return curve[np.isfinite(curve).all(1)]
    at = (np.arange(POINTS) + 0.5) / POINTS * end[-1]
    piece = np.searchsorted(end, at, side="right")  # never one without length
    share = 1 - (end[piece] - at) / length[piece]
    return curve[piece] + share[:, None] * step[piece]


def outline_distances(mask: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Distance of points to a mask's outline, which runs between pixels of fluke and of water.

    `mask` is H×W uint8 0/1; `points` N×2, x and y in pixels from the top-left corner, in the frame.
    The frame cuts the fluke off but is no outline of it. Returns N float64 in pixels, exact;
    infinite where the mask has no outline: empty, or all of the frame.
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
    # The outline's pieces are sides of pixels. Upright ones count only straight across, above:
    # their ends are ends of level ones too. No level one can be nearer than `straight` if its
    # column is farther off.
    nearest = straight.copy()
    for some in np.array_split(np.argsort(straight), 8):  # few points must look as far as the worst
        reach = int(min(straight[some].max(initial=0), width)) + 1
        span = min(2 * reach + 1, width)
        first = np.clip(column[some] - reach, 0, width - span)
        columns = first[:, None] + np.arange(span)
        px, py, at = x[some, None], y[some, None], (row[some, None], columns)
        across = np.maximum(np.maximum(columns - px, px - columns - 1), 0)
        upright = np.minimum(py - above[at], below[at] - py)
        square = (across**2 + upright**2).min(1)
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
