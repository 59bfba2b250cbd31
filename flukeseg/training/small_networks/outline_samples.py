"""Outlines of rendered flukes and where on them tips, notch and trailing edge lie."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from flukeseg.anatomy.contour import arc_length, on_frame, points_at, subpixel_outline
from flukeseg.anatomy.outline_network import FINE, POINTS, SMOOTHING, features, resample, smooth
from flukeseg.masks.cleaning import largest_component
from flukeseg.rendering import Rendering, render
from flukeseg.rendering.visible_edge import belongs_to

WITHOUT = ("waves", "backdrop", "company", "skin", "light", "camera", "empty")
"""Parts of a rendering that do not change its mask."""
NARROWEST = 60  # pixels
NEAR = 1.6  # pixels between an outline and a trailing edge that it is


@dataclass(frozen=True)
class Sample:
    """An outline at `FINE` equal distances and its truth.

    `curve`: `FINE`×2. `framed`, `trailing`: `FINE` bool. `ways`: of tip, notch and tip in clockwise
    order as shares of the outline's length, NaN where not visible.
    """

    curve: np.ndarray
    framed: np.ndarray
    trailing: np.ndarray
    ways: np.ndarray


def draw_sample(seed: tuple[int, ...]) -> Sample | None:
    """Render one fluke; None if it is too small, or there are two."""
    rng = np.random.default_rng(seed)
    width = int(rng.uniform(256, 560))
    height = int(np.clip(width / rng.uniform(1.3, 3.2), 128, 320))
    picture = render(seed, (height, width), WITHOUT)
    if len(picture.keypoints) != 1:
        return None
    fluke = largest_component(picture.mask)
    if max(cv2.boundingRect(fluke)[2:]) < NARROWEST:
        return None
    return _sample(picture, fluke)


def _sample(picture: Rendering, fluke: np.ndarray) -> Sample:
    curve = resample(subpixel_outline(fluke))
    framed = on_frame(curve, fluke.shape)
    tree = cKDTree(curve)
    points = picture.keypoints[0]
    on_it = belongs_to(points, fluke, picture.mask)
    ways = np.where(on_it, tree.query(np.nan_to_num(points))[1] / FINE, np.nan)
    edge = picture.trailing_edge
    a, b = edge[:-1], edge[1:]
    between = [a + (b - a) * share for share in np.linspace(0, 1, 8)]
    dense = np.concatenate([np.zeros((0, 2)), *between])
    dense = dense[np.isfinite(dense[:, 0])]
    trailing = np.zeros(FINE, bool)
    if len(dense):
        trailing = (cKDTree(dense).query(curve)[0] < NEAR) & ~framed
        # which way round the trailing edge runs from left lobe to right lobe
        at = tree.query(np.nan_to_num(edge))[1]
        step = (np.diff(at) + FINE / 2) % FINE - FINE / 2
        step = step[np.isfinite(a[:, 0]) & np.isfinite(b[:, 0]) & (np.abs(step) < FINE / 10)]
        if np.clip(step, -8, 8).sum() < 0:
            ways = ways[::-1]
    return Sample(curve, framed, trailing, ways)


def described(sample: Sample, rng: np.random.Generator | None) -> tuple[np.ndarray, ...]:
    """Describe a sample to the network, changed at random if there is a generator.

    Returns `POINTS`×8 float32 features, 3 places of tip, notch and tip in points, and `POINTS`
    float32, 1 where the outline is trailing edge.
    """
    curve, framed, trailing, ways = vars(sample).values()
    start = 0.0
    if rng is not None:
        if rng.uniform() < 0.5:  # mirrored, and clockwise again
            curve, framed, trailing = curve[::-1] * [-1, 1], framed[::-1], trailing[::-1]
            ways = ((FINE - 1) / FINE - ways)[::-1] % 1
        curve = _bent(curve, rng)
        start = rng.uniform()
    length = arc_length(curve)
    at = (np.arange(POINTS) / POINTS + start) % 1 * length[-1]
    points = points_at(smooth(curve, SMOOTHING), length, at)
    if rng is not None and rng.uniform() < 0.5:
        points = points + rng.normal(0, rng.uniform(0, 0.0003) * length[-1], points.shape)
    index = (np.searchsorted(length, at, side="right") - 1).clip(0, FINE - 1)
    places = np.interp(ways * FINE, np.arange(FINE + 1), length) / length[-1]
    places = (places - start) % 1 * POINTS
    return features(points, framed[index]), places, trailing[index].astype(np.float32)


def _bent(curve: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smooth as a network's masks are, deform, shear and turn an outline."""
    if rng.uniform() < 0.6:
        curve = smooth(curve, rng.uniform(0, 1) ** 2 * 14)
    if rng.uniform() < 0.5:
        waves = int(rng.integers(3, 40))
        amount = rng.uniform(0, 0.006) * np.hypot(*np.ptp(curve, axis=0))
        spectrum = np.zeros((FINE // 2 + 1, 2), complex)
        real, imaginary = rng.normal(size=(2, waves - 1, 2))
        spectrum[1:waves] = (real + 1j * imaginary) / np.sqrt(np.arange(1, waves))[:, None]
        shift = np.fft.irfft(spectrum, FINE, axis=0)
        curve = curve + shift / shift.std() * amount
    turn = rng.uniform()
    if turn < 0.75:
        angle = rng.normal(0, 0.17)
    else:
        angle = rng.uniform(-2, 2) if turn < 0.97 else rng.uniform(-np.pi, np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    squeeze = np.array([[1, rng.normal(0, 0.1)], [0, np.exp(rng.normal(0, 0.25))]])
    return curve @ (np.array([[cos, -sin], [sin, cos]]) @ squeeze).T
