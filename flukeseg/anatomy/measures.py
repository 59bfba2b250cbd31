"""Lengths and angles of a fluke, from its anatomy, and how it is seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flukeseg.anatomy.anatomy import Anatomy, Keypoint

STEEP = 45.0  # degrees: a line between the tips that is steeper is a tilted fluke
FLAT = 0.1  # of the span: lobes lower than this are seen nearly along their plane


@dataclass(frozen=True)
class Measures:
    """Of one fluke, as it appears in the photo; lengths in pixels, NaN where points are missing.

    `span`: between the tips. `angle`: of the line from left to right tip in degrees, -90 to 90,
    positive where the right tip is lower. `notch_depth`: distance of the notch from that line, or
    from its extension, positive towards the leading edge. `left_lobe_height`,
    `right_lobe_height`: width of the lobe across the line from tip to notch, halfway between them.
    `view`: "trailing edge up" or "trailing edge down"; "tilted" where the line between the tips is
    steeper than 45 degrees; "foreshortened" where the lobes are lower than a tenth of the span;
    "one lobe" where one tip is missing; "unclear" where both are.
    """

    span: float
    angle: float
    notch_depth: float
    left_lobe_height: float
    right_lobe_height: float
    view: str


def measure(anatomy: Anatomy) -> Measures:
    """Measure a fluke."""
    left, notch, right = anatomy.keypoints.values()
    across, down = right.xy - left.xy
    span = float(np.hypot(across, down))
    depth = np.nan
    if span > 0:
        # positive below the line
        aside, below = notch.xy - left.xy
        depth = float((across * below - down * aside) / span)
        if anatomy.trailing_edge_up is False:
            depth = -depth
    heights = [_lobe_height(anatomy.outline, tip, notch) for tip in (left, right)]
    angle = float(np.degrees(np.arctan2(down, across)))
    angle = 90 - (90 - angle) % 180
    return Measures(span, angle, depth, *heights, _view(anatomy, span, angle, heights))


def _lobe_height(outline: np.ndarray, tip: Keypoint, notch: Keypoint) -> float:
    """Width of the lobe across the line from tip to notch, where it is halfway."""
    if not (tip.known and notch.known):
        return np.nan
    along = notch.xy - tip.xy
    length = np.hypot(*along)
    if not length > 0:
        return np.nan
    along = along / length
    relative = outline - (tip.xy + notch.xy) / 2
    forward = relative @ along
    sideways = relative @ np.array([-along[1], along[0]])
    # where the outline crosses the line across the lobe
    after = np.roll(forward, -1)
    crossing = (forward < 0) != (after < 0)
    share = forward[crossing] / (forward - after)[crossing]
    crossings = sideways[crossing] + share * (np.roll(sideways, -1) - sideways)[crossing]
    inside = np.sort(crossings)
    # of the stretches inside the outline the one nearest to the line counts
    starts, ends = inside[0::2], inside[1::2]
    if not len(ends):
        return np.nan
    nearest = int(np.minimum(np.abs(starts[: len(ends)]), np.abs(ends)).argmin())
    return float(ends[nearest] - starts[nearest])


def _view(anatomy: Anatomy, span: float, angle: float, heights: list[float]) -> str:
    known = anatomy.left_tip.known + anatomy.right_tip.known
    if known < 2:
        return ("unclear", "one lobe")[known]
    if np.mean(heights) < FLAT * span:
        return "foreshortened"
    if abs(angle) > STEEP:
        return "tilted"
    return "trailing edge up" if anatomy.trailing_edge_up else "trailing edge down"
