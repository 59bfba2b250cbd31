"""The trailing edge as a part of a fluke's outline, from one tip over the notch to the other."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flukeseg.anatomy.contour import arc_length, on_frame, points_at
from flukeseg.anatomy.outline_network import POINTS, OutlineReading

STEP = 0.5  # pixels between the points of a trailing edge
LIKELY = 0.5  # a place on the outline is trailing edge from this probability on
SHORTEST = 0.01  # of the outline: shorter runs of hidden or visible edge are noise


class TrailingEdge(NamedTuple):
    """A trailing edge from left to right, or from its first to its last visible point.

    `points`: K×2 float64 x, y in pixels, `STEP` apart. `occluded`: K bool, where the outline is the
    edge of something before the trailing edge: water, the frame, another fluke, the other lobe.
    """

    points: np.ndarray
    occluded: np.ndarray

    def parts(self) -> list[np.ndarray]:
        """The visible parts, each a polyline."""
        ends = np.flatnonzero(np.diff(self.occluded)) + 1
        return [
            part
            for part, hidden in zip(
                np.split(self.points, ends), np.split(self.occluded, ends), strict=True
            )
            if len(part) > 1 and not hidden[0]
        ]


NO_EDGE = TrailingEdge(np.zeros((0, 2)), np.zeros(0, bool))


def trace_trailing_edge(
    outline: np.ndarray,
    reading: OutlineReading,
    ends: np.ndarray,
    size: tuple[int, int],
) -> TrailingEdge:
    """Trace the trailing edge along an outline, in the outline's clockwise order.

    Args:
        outline: N×2, closed, clockwise on the screen.
        reading: the network's, for this outline.
        ends: ways of the first and the last tip as shares of the outline's length; NaN for a tip
            that is not visible: there the edge ends where the last of it is visible.
        size: (height, width) of the photo.
    """
    visible = _without_short_runs(reading.trailing >= LIKELY)
    start, end = _extent(visible, ends)
    if not end > start:
        return NO_EDGE
    length = arc_length(outline)
    count = max(2, int(np.ceil((end - start) * length[-1] / STEP)) + 1)
    ways = np.linspace(start, end, count)
    points = points_at(outline, length, ways * length[-1])
    # where it changes between two of the network's points, it says how far from either
    likely = np.where(visible, np.maximum(reading.trailing, LIKELY), reading.trailing)
    likely = np.where(visible, likely, np.minimum(likely, LIKELY - 1e-6))
    likely = np.interp(ways * POINTS, np.arange(2 * POINTS + 1), np.resize(likely, 2 * POINTS + 1))
    return TrailingEdge(points, (likely < LIKELY) | on_frame(points, size))


def _extent(visible: np.ndarray, ends: np.ndarray) -> tuple[float, float]:
    """First and last way of the edge, the last not below the first; both 0 if none is visible."""
    if not visible.any():
        return 0.0, 0.0
    start, end = ends
    if np.isnan(start) or np.isnan(end):
        gap_start, gap_end = _longest_gap(visible, ends)
        if np.isnan(start):
            start = gap_end / POINTS
        if np.isnan(end):
            end = gap_start / POINTS
    return start % 1, start % 1 + (end - start) % 1


def _longest_gap(visible: np.ndarray, ends: np.ndarray) -> tuple[int, int]:
    """Last visible point before the part of the outline that is no edge, and first after it."""
    at = np.flatnonzero(visible)
    for tip in ends[np.isfinite(ends)]:  # an end of the edge, thus of a gap
        at = np.unique(np.append(at, round(tip * POINTS) % POINTS))
    gaps = np.diff(np.append(at, at[0] + POINTS))
    widest = int(gaps.argmax())
    return int(at[widest]), int(at[widest] + gaps[widest])


def _without_short_runs(visible: np.ndarray) -> np.ndarray:
    """Flip runs of a circular bool array that are too short to be meant."""
    visible = visible.copy()
    for value in (False, True):  # first close gaps, then drop specks
        change = np.flatnonzero(visible != np.roll(visible, 1))
        if len(change) < 2:
            return visible
        for first, last in zip(change, np.roll(change, -1), strict=True):
            run = np.arange(first, first + (last - first) % POINTS) % POINTS
            if visible[first] == value and len(run) < SHORTEST * POINTS:
                visible[run] = not value
    return visible
