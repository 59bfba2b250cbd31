"""How far the points of one individual spread in the aligned frame, held in many poses."""

from __future__ import annotations

import numpy as np

from flukeseg.anatomy.alignment import SIZE, align
from flukeseg.anatomy.anatomy import find_anatomy
from flukeseg.errors import InputError
from flukeseg.masks.geometry import tight_box
from flukeseg.rendering.layout import draw_frame
from flukeseg.rendering.mount import BARE
from flukeseg.rendering.outline import Outline, draw_outline
from flukeseg.rendering.visible_edge import is_inside
from flukeseg.rendering.whale import TIP_NOTCH_TIP, build_layers, draw_whale, trace_trailing_edge

POSES = 20
PHOTO = 400, 800  # height, width


def print_spread(individuals: int, seed: int) -> None:
    """Print the spread of true tips and notch over poses, before and after aligning."""
    spreads = [_spread(np.random.default_rng((seed, number))) for number in range(individuals)]
    for name, columns in {"tips": [0, 2], "notch": [1]}.items():
        values = np.mean([spread[:, columns].mean(1) for spread in spreads], 0)
        print(f"{name:6} box {values[0]:6.2f} %  tips {values[1]:6.2f} %  notch {values[2]:6.2f} %")


def _spread(rng: np.random.Generator) -> np.ndarray:
    """Of one individual: 3×3, by frame (its box, aligned by tips, by the notch too) and point.

    Root mean square distance from the mean place, in % of the aligned width; by the notch, of those
    poses in which it is off the line between the tips.
    """
    outline = draw_outline(rng)
    places = []
    while len(places) < POSES:
        frames = _frames(rng, outline)
        if frames is not None:
            places.append(frames)
    off = np.array(places) - np.nanmean(places, 0)
    return np.sqrt(np.nanmean((off**2).sum(-1), 0)) / SIZE[1] * 100


def _frames(rng: np.random.Generator, outline: Outline) -> np.ndarray | None:
    """True tips and notch in each frame, 3×3×2; None if not all points are seen and found."""
    whale = draw_whale(rng, outline)
    frame = draw_frame(rng, whale.box, BARE, PHOTO)
    coverage = np.zeros(frame.size, np.float32).ravel()
    for layer in build_layers(whale, frame):
        coverage[layer.at] = np.maximum(coverage[layer.at], layer.alpha)
    above = frame.level[1] < 0
    mask = ((coverage.reshape(frame.size) > 0.5) & above).astype(np.uint8)
    truth = trace_trailing_edge(whale, frame)[list(TIP_NOTCH_TIP)].astype(float)
    if truth[0, 0] > truth[2, 0]:
        truth = truth[::-1]
    anatomy = find_anatomy(mask)
    tips = anatomy.left_tip, anatomy.right_tip
    if not (is_inside(truth, frame.size).all() and all(p.known for p in (*tips, anatomy.notch))):
        return None
    box = tight_box(mask)
    scale = np.array(SIZE[::-1]) / [box.width, box.height]
    boxed = (truth - [box.x, box.y]) * scale
    if not anatomy.trailing_edge_up:
        boxed, truth = np.array(SIZE[::-1]) - boxed[::-1], truth[::-1]
    points = [point.xy for point in tips]
    by_tips = align(*points, trailing_edge_up=anatomy.trailing_edge_up)
    try:
        by_notch = align(*points, anatomy.notch.xy, anatomy.trailing_edge_up).to_aligned(truth)
    except InputError:  # the notch lies on the line between the tips
        by_notch = np.full((3, 2), np.nan)
    return np.array([boxed, by_tips.to_aligned(truth), by_notch])
