"""The outline of one fluke to a fraction of a pixel, as a closed curve."""

from __future__ import annotations

import numpy as np
from contourpy import contour_generator

from flukeseg.masks.geometry import tight_box

FRAME_REACH = 0.75  # pixels from the frame within which an outline runs along it
STRIP = 2**22
"""Pixels that outlines are found in at a time: contourpy takes about 32 bytes a pixel."""


def subpixel_outline(
    mask: np.ndarray, probability: np.ndarray | None = None, threshold: float = 0.5
) -> np.ndarray:
    """Return the outer outline of a fluke, clockwise on the screen: N×2 float64 x, y, not closed.

    Marching squares between pixel centres. Where there is a probability the outline runs where it
    crosses the threshold, else halfway between pixels of fluke and of water. Of several components
    the longest outline counts; (0, 2) for an empty mask.

    Args:
        mask: H×W, 0 outside the fluke; made of the probability by this threshold and cleaned.
        probability: H×W float32 in 0..1.
        threshold: what the outline runs along.
    """
    inside = np.not_equal(mask, 0, order="C").view(np.uint8)
    box = tight_box(inside)
    if box is None:
        return np.zeros((0, 2))
    box = box.pad(2, 2, inside.shape)
    inside = box.cut(inside).view(bool)
    value = None if probability is None else box.cut(probability)
    threshold = 0.5 if value is None else threshold
    # pixel centres lie at .5, and around all there is a border of zeros
    columns = np.arange(box.width + 2) + (box.x - 0.5)
    rows = np.arange(box.height + 2) + (box.y - 0.5)
    lines: list[np.ndarray] = []
    step = max(16, STRIP // len(columns))
    for top in range(0, len(rows) - 1, step):
        part = rows[top : top + step + 1]  # its last row is the next one's first
        field = np.zeros((len(part), len(columns)), np.float32)
        own = slice(max(0, top - 1), min(box.height, top - 1 + len(part)))
        field[own.start - top + 1 : own.stop - top + 1, 1:-1] = (
            inside[own]
            if value is None
            # what cleaning filled is inside, what it removed is outside, whatever the network said
            else np.where((value[own] > threshold) == inside[own], value[own], inside[own])
        )
        lines += contour_generator(columns, part, field).lines(threshold)
    lines = join_lines(lines)
    line = max(lines, key=lambda points: abs(signed_area(points)))[:-1]
    height, width = mask.shape
    line = line.clip(0, (width, height))
    line = line[np.any(line != np.roll(line, 1, 0), 1)]
    return line if signed_area(line) > 0 else line[::-1]


def join_lines(lines: list[np.ndarray]) -> list[np.ndarray]:
    """Join lines N×2 x, y that end where another begins; all are closed then.

    Lines that end in a row of pixel centres go on in the other strip of that row, where they begin
    in the same order.
    """
    opened = [line for line in lines if not np.array_equal(line[0], line[-1])]
    starts = sorted(range(len(opened)), key=lambda i: (round(2 * opened[i][0, 1]), opened[i][0, 0]))
    ends = sorted(range(len(opened)), key=lambda i: (round(2 * opened[i][-1, 1]), opened[i][-1, 0]))
    follows = dict(zip(ends, starts, strict=True))
    joined = [line for line in lines if np.array_equal(line[0], line[-1])]
    while follows:
        number, ring = next(iter(follows)), []
        while number in follows:
            ring.append(opened[number][1:])
            number = follows.pop(number)
        closed = np.concatenate(ring)
        # as contourpy has it: its second point is in the first column of the first row
        first = np.lexsort((closed[:, 0], np.floor(closed[:, 1] - 0.5)))[0]
        closed = np.roll(closed, 1 - first, 0)
        joined.append(np.concatenate([closed, closed[:1]]))
    return joined


def signed_area(points: np.ndarray) -> float:
    """Area inside a closed curve N×2 in square pixels, positive if it is clockwise on screen."""
    x, y = points.T
    return float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) / 2)


def arc_length(points: np.ndarray) -> np.ndarray:
    """Way along a closed curve N×2 to each of its points and back to the first: N + 1 values."""
    step = np.roll(points, -1, 0) - points
    return np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])


def points_at(points: np.ndarray, length: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Points of a closed curve N×2 at ways `at` along it, K×2; `length` is its `arc_length`.

    Ways below 0 or above the curve's own length go round again.
    """
    at = np.mod(at, length[-1])
    closed = np.concatenate([points, points[:1]])
    return np.stack([np.interp(at, length, closed[:, axis]) for axis in (0, 1)], -1)


def on_frame(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Which points N×2 lie along the frame of a photo of (height, width)."""
    return np.minimum(points, np.array(size[::-1]) - points).min(1) < FRAME_REACH
