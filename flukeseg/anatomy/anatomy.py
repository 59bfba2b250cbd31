"""Tips, notch and trailing edge of one fluke, found on its outline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flukeseg.anatomy.contour import arc_length, on_frame, points_at, subpixel_outline
from flukeseg.anatomy.outline_network import POINTS, OutlineReading, read_outline
from flukeseg.anatomy.trailing_edge import NO_EDGE, TrailingEdge, trace_trailing_edge

SURE = 0.7
"""Certainty from which a point is given."""
TIPS_APART = 0.15  # of the fluke's extent: tips closer than this are corners of something else
NEARBY = 0.005  # of the outline: how far the network's places are from corners
SIDES = 0.025  # of the outline: from how far on either side a corner is seen as one
SMALLEST = 40  # pixels: outlines of smaller flukes show no corners

EMPTY = "the mask is empty"
SMALL = f"the fluke is smaller than {SMALLEST} pixels"
UNCLEAR = "not clear on the outline"
CUT = "cut off by the photo's frame"
HIDDEN = "hidden by water, another fluke or the other lobe"


class Keypoint(NamedTuple):
    """A point of a fluke: x, y in pixels of the upright photo from its top-left corner.

    `quality`: how likely the point is where it is said to be, 0..1. Where that is not known, x and
    y are NaN and `reason` says why; else it is empty.
    """

    x: float
    y: float
    quality: float
    reason: str = ""

    @property
    def known(self) -> bool:
        """Whether there is a point."""
        return not self.reason

    @property
    def xy(self) -> np.ndarray:
        """x, y as an array."""
        return np.array([self.x, self.y])


@dataclass(frozen=True)
class Anatomy:
    """What the outline of one fluke shows.

    `left_tip`, `notch`, `right_tip`: left and right as seen in the photo. `edge`: the trailing edge
    from left to right. `trailing_edge_up`: whether it is the upper side of the fluke; None where
    neither a tip nor an edge is known. `outline`: N×2 float64 x, y, closed, clockwise on screen.
    """

    left_tip: Keypoint
    notch: Keypoint
    right_tip: Keypoint
    edge: TrailingEdge
    trailing_edge_up: bool | None
    outline: np.ndarray

    @property
    def keypoints(self) -> dict[str, Keypoint]:
        """The three points by name."""
        return {"left_tip": self.left_tip, "notch": self.notch, "right_tip": self.right_tip}


def find_anatomy(
    mask: np.ndarray, probability: np.ndarray | None = None, threshold: float = 0.5
) -> Anatomy:
    """Find tips, notch and trailing edge of one fluke.

    The tip is the corner where leading and trailing edge meet, the notch where the trailing edges
    of both lobes meet. A point that the outline does not show is NaN, with a reason.

    Args:
        mask: H×W, not 0 where the fluke is; of several components the largest counts.
        probability: H×W float32 in 0..1 that the mask was made of, for a finer outline.
        threshold: by which it was made of it.
    """
    outline = subpixel_outline(mask, probability, threshold)
    if not len(outline):
        return _nothing(outline, EMPTY)
    if np.ptp(outline, 0).max() < SMALLEST:
        return _nothing(outline, SMALL)
    reading = read_outline(outline, mask.shape)
    length = arc_length(outline)
    turns = zip(reading.ways, (False, True, False), strict=True)
    ways = np.array([_sharpest(outline, length, way, inward) for way, inward in turns])
    places = points_at(outline, length, ways * length[-1])
    near = length[-1] / POINTS  # the network's points are this far from each other
    framed = outline[on_frame(outline, mask.shape)]
    cut = np.array([_near(place, framed, near) > near / 2 for place in places])
    known = _consistent(reading)
    apart = np.hypot(*(places[2] - places[0])) / np.ptp(outline, 0).max()
    if known[[0, 2]].all() and apart < TIPS_APART:
        known[[0, 2]] = False
    ends = np.where(known, ways, np.nan)[[0, 2]]
    edge = trace_trailing_edge(outline, reading, ends, mask.shape)
    if len(edge.points):
        for tip, end in ((0, 0), (2, -1)):
            cut[tip] |= _near(edge.points[end], framed, 2 * near) > 0
    cut[1] = False
    first, notch, last = (
        Keypoint(*map(float, place), float(quality))
        if is_known
        else Keypoint(np.nan, np.nan, float(quality), _reason(is_cut, hidden))
        for place, quality, is_known, is_cut, hidden in zip(
            places, reading.certainty, known, cut, reading.hidden, strict=True
        )
    )
    up = _runs_to_the_right(first, notch, last, edge)
    if up is False:
        # clockwise is from right to left along a lower side
        first, last = last, first
        edge = TrailingEdge(edge.points[::-1], edge.occluded[::-1])
    return Anatomy(first, notch, last, edge, up, outline)


def _sharpest(outline: np.ndarray, length: np.ndarray, way: float, inward: bool) -> float:
    """Move a place to the nearby point of the outline that stands out most.

    It is the farthest, outwards or inwards, from the line between two points on either side.
    """
    around = way + np.linspace(-NEARBY, NEARBY, 101)
    start, end = points_at(outline, length, (way + np.array([-SIDES, SIDES])) * length[-1])
    across, down = end - start
    off = (points_at(outline, length, around * length[-1]) - start) @ np.array([-down, across])
    return float(around[(off if inward else -off).argmax()] % 1)


def _consistent(reading: OutlineReading) -> np.ndarray:
    """Which of tip, notch and tip are sure, and in the order in which they must follow."""
    known = reading.certainty >= SURE
    first, notch, last = reading.ways
    if known.all() and (notch - first) % 1 > (last - first) % 1:
        known[reading.certainty.argmin()] = False
    return known


def _near(point: np.ndarray, others: np.ndarray, distance: float) -> int:
    """How many of N×2 others, about a pixel from each other, lie within a distance of a point."""
    return int(np.count_nonzero(np.hypot(*(others - point).T) < distance))


def _reason(is_cut: bool, hidden: float) -> str:
    if is_cut:
        return CUT
    return HIDDEN if hidden > 0.5 else UNCLEAR


def _runs_to_the_right(
    first: Keypoint, notch: Keypoint, last: Keypoint, edge: TrailingEdge
) -> bool | None:
    """Whether the clockwise trailing edge runs from left to right, thus along an upper side."""
    known = [point.xy for point in (first, notch, last) if point.known]
    if len(known) < 2 and len(edge.points):
        middle = known if notch.known else []
        known = [*(known if first.known else edge.points[:1]), *middle]
        known.append(last.xy if last.known else edge.points[-1])
    begin, end = (known[0], known[-1]) if known else (None, None)
    if begin is None or begin[0] == end[0]:
        return None
    return bool(begin[0] < end[0])


def _nothing(outline: np.ndarray, reason: str) -> Anatomy:
    point = Keypoint(np.nan, np.nan, 0.0, reason)
    return Anatomy(point, point, point, NO_EDGE, None, outline)
