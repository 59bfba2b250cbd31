"""A click that corrects a region of a mask along the photo's edges."""

from __future__ import annotations

import cv2
import numpy as np

LONGEST = 320  # pixels a side that GrabCut sees; a larger region is made smaller for it
ROUNDS = 3
SURE = 0.2  # the outermost share of a region, which keeps what it has


def follow_edge(
    photo: np.ndarray, mask: np.ndarray, centre: tuple[float, float], radius: float, more: bool
) -> np.ndarray:
    """Add or remove what looks like the place of a click, up to the nearest edges.

    GrabCut (Rother et al. 2004) as OpenCV has it: colours inside and outside of the mask are
    modelled, and the border moves to where cutting costs least. Only pixels that hang together
    with the click change, and none the other way.

    Args:
        photo: H×W×3 uint8 RGB of the region around the click.
        mask: H×W uint8, 0 or 255, of the region.
        centre: x, y of the click in the region, in pixels.
        radius: around the click, in pixels, that certainly belongs to what was clicked on.
        more: the click is on a missing part of the fluke; else on what is no fluke.

    Returns:
        The region's new mask, H×W uint8, 0 or 255.
    """
    scale = min(1.0, LONGEST / max(mask.shape))
    height, width = (max(1, round(side * scale)) for side in mask.shape)
    small = cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)
    before = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST) > 0
    click = np.zeros((height, width), np.uint8)
    x, y = (round(float(value) * scale) for value in centre)
    cv2.circle(click, (x, y), max(1, round(radius * scale)), 1, -1)

    labels = np.where(before, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    # what already is as the click says stays so: a click for more takes nothing away
    labels[before if more else ~before] = cv2.GC_FGD if more else cv2.GC_BGD
    border = np.ones((height, width), bool)
    across, down = round(width * SURE / 2), round(height * SURE / 2)
    border[down : height - down, across : width - across] = False
    labels[border] = np.where(before, cv2.GC_FGD, cv2.GC_BGD)[border]
    labels[click > 0] = cv2.GC_FGD if more else cv2.GC_BGD
    is_fluke = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
    if is_fluke.all() or not is_fluke.any():  # there is no second colour to tell it from
        found = click > 0
    else:
        cv2.grabCut(
            cv2.cvtColor(small, cv2.COLOR_RGB2BGR), labels, None, np.zeros((1, 65)),
            np.zeros((1, 65)), ROUNDS, cv2.GC_INIT_WITH_MASK,
        )  # fmt: skip
        is_fluke = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        found = (is_fluke if more else ~is_fluke) & (before != more)
        found |= click > 0
    _, parts = cv2.connectedComponents(found.astype(np.uint8), connectivity=4)
    at_click = parts == parts[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    large = cv2.resize(
        at_click.astype(np.float32), mask.shape[::-1], interpolation=cv2.INTER_LINEAR
    )
    return np.where(large > 0.5, np.uint8(255 if more else 0), mask)
