"""Which points of a trailing edge are visible in a picture, and its tips and notch."""

import cv2
import numpy as np

from flukeseg.rendering.whale import EDGE

SEEN_NEAR = 0.015  # of the trailing edge's extent: a tip is seen if its edge is, as near as this


def is_inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Tell which points N×2 lie in a picture of (height, width); returns N bool."""
    return np.logical_and((points >= 0).all(1), (points < size[::-1]).all(1))


def is_visible(path: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tell which points of N×2 lie within two pixels of the mask's outline; returns N bool."""
    outline = cv2.morphologyEx(
        mask,
        cv2.MORPH_GRADIENT,
        np.ones((3, 3), np.uint8),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    near = cv2.dilate(outline, np.ones((3, 3), np.uint8))
    seen = is_inside(path, mask.shape)
    x, y = np.floor(path[seen]).astype(int).T
    seen[seen] = near[y, x] > 0
    return seen


def belongs_to(points: np.ndarray, fluke: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tell which of N×2 points are as near to one component of a mask as to any; NaN is to none."""
    height, width = mask.shape
    x, y = np.nan_to_num(points).clip(0, (width - 1, height - 1)).astype(int).T
    to_fluke, to_any = (
        cv2.distanceTransform(1 - part, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[y, x]
        for part in (fluke, mask)
    )
    return np.isfinite(points[:, 0]) & (to_fluke <= to_any)


def visible_keypoints(path: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return tip, notch and tip of one trailing edge, 3×2; NaN where they are not visible.

    A tip is visible where less than `SEEN_NEAR` of the edge's extent, or two pixels, is hidden at
    its end, be it by water or by the frame, so it may lie so far outside the picture.
    """
    points = np.full((3, 2), np.nan)
    if not seen.any():
        return points
    reach = max(2.0, SEEN_NEAR * float(np.hypot(*np.ptp(path, 0))))
    at = np.flatnonzero(seen)
    for number, tip, last in ((0, path[0], path[at[0]]), (2, path[-1], path[at[-1]])):
        if np.hypot(*(tip - last)) <= reach:
            points[number] = tip
    left, right = at[at < EDGE], at[at >= EDGE - 1]
    if len(left) and len(right) and np.hypot(*(path[left[-1]] - path[right[0]])) <= reach:
        # of lobes that overlap, the notch is where their edges cross
        points[1] = (path[left[-1]] + path[right[0]]) / 2
    return points


def merge_gaps(path: np.ndarray) -> np.ndarray:
    """Keep one row of NaN for a gap of any length, and none at either end."""
    seen = np.isfinite(path[:, 0])
    after_one_seen = np.concatenate([[False], seen[:-1]])
    path = path[seen | after_one_seen]
    return path[:-1] if len(path) and np.isnan(path[-1, 0]) else path
