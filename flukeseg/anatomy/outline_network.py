"""Where on an outline the tips, the notch and the trailing edge lie: a small network's answer.

The network reads the outline alone, as a closed curve of `POINTS` points at equal distances:
residual blocks that look at three points, ever farther apart, and at the mean of all; most of them
at a quarter of the points. Its weights are fitted to rendered flukes by
`flukeseg.training.small_networks.outlines`, and NumPy computes it.
"""

from __future__ import annotations

import itertools
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from flukeseg.anatomy.contour import arc_length, on_frame, points_at

POINTS = 256  # along the outline
FINE = 2048  # points in which the outline is smoothed before `POINTS` of them are taken
SMOOTHING = 2.2  # of those: less detail than the network's points can follow
TURNS = (2, 5, 12)  # points to either side between which the outline's turning is measured
FIRST = (1, 2)  # how far apart the three points of each block are
COARSE = (1, 2, 4, 8, 16, 1, 4, 16, 2, 8)  # likewise, in means of `POOL` points
LAST = (1, 2, 4)
POOL = 4
STEM_REACH = 2  # points to either side that the first layer reads
NEAR = 4  # points to either side of a peak that belong to it
WEIGHTS = "outline_network.npz"


class OutlineReading(NamedTuple):
    """What the network says of an outline.

    `ways`: of tip, notch and tip in the outline's clockwise order, as shares of its length, 0..1;
    `certainty`: how likely each is where it is said to be, 0..1; `hidden`: how likely it is nowhere
    on the outline; `trailing`: `POINTS` values 0..1, how likely the outline is trailing edge there.
    """

    ways: np.ndarray
    certainty: np.ndarray
    hidden: np.ndarray
    trailing: np.ndarray


def resample(outline: np.ndarray) -> np.ndarray:
    """Points of a closed curve N×2 at `FINE` equal ways."""
    length = arc_length(outline)
    return points_at(outline, length, np.arange(FINE) / FINE * length[-1])


def smooth(curve: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth a closed curve N×2 of equal steps by a Gaussian, its sigma in steps."""
    frequency = np.fft.rfftfreq(len(curve))
    gain = np.exp(-2 * (np.pi * frequency * sigma) ** 2)[:, None]
    return np.fft.irfft(np.fft.rfft(curve, axis=0) * gain, len(curve), axis=0)


def features(points: np.ndarray, framed: np.ndarray) -> np.ndarray:
    """Describe the points of a closed curve to the network: K×8 float32.

    Place within the outline's box, direction, turning at three scales, and whether the photo's
    frame cuts the fluke there.

    Args:
        points: K×2 at equal ways.
        framed: K bool.
    """
    low, high = points.min(0), points.max(0)
    place = (points - (low + high) / 2) / np.hypot(*(high - low)) * 4
    direction = np.roll(points, -1, 0) - np.roll(points, 1, 0)
    direction /= np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
    turning = []
    for reach in TURNS:
        (ax, ay), (bx, by) = (
            (points - np.roll(points, reach, 0)).T,
            (np.roll(points, -reach, 0) - points).T,
        )
        turning.append(np.arctan2(ax * by - ay * bx, ax * bx + ay * by) / 1.5)
    return np.column_stack([place, direction, *turning, framed]).astype(np.float32)


def read_outline(outline: np.ndarray, size: tuple[int, int]) -> OutlineReading:
    """Ask the network where the parts of a closed outline lie, and its mirror image likewise.

    Args:
        outline: N×2 x, y, clockwise on the screen.
        size: (height, width) of the photo, whose frame may cut the fluke.
    """
    fine = resample(outline)
    every = FINE // POINTS
    points, framed = smooth(fine, SMOOTHING)[::every], on_frame(fine, size)[::every]
    heat, trailing = _forward(features(points, framed))
    # mirrored it runs the other way round, from the same first point
    back = -np.arange(POINTS)
    mirrored, mirrored_trailing = _forward(features(points[back] * [-1, 1], framed[back]))
    heat = heat + mirrored[np.r_[back, POINTS]][:, ::-1]
    trailing = trailing + mirrored_trailing[back]
    likely = np.exp((heat - heat.max(0)) / 2)
    likely /= likely.sum(0)
    ways, certainty = np.array([_peak(values) for values in likely[:-1].T]).T
    return OutlineReading(ways, certainty, likely[-1], 1 / (1 + np.exp(-trailing / 2)))


def _peak(likely: np.ndarray) -> tuple[float, float]:
    """Way and certainty of the likeliest place, from the probabilities of `POINTS` places."""
    reach = np.arange(-NEAR, NEAR + 1)
    at = np.arange(POINTS)[:, None] + reach
    around = likely[at % POINTS]
    best = int(around.sum(1).argmax())
    certainty = float(around[best].sum())
    way = (around[best] @ at[best] / max(certainty, 1e-9)) / POINTS
    return way % 1, min(certainty, 1.0)


@cache
def _weights() -> dict[str, np.ndarray]:
    with (files("flukeseg.anatomy") / WEIGHTS).open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays}


def _forward(described: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits: (`POINTS` + 1)×3 for tip, notch, tip, the last row for nowhere; `POINTS` trailing."""
    w = _weights()

    def linear(name: str, values: np.ndarray) -> np.ndarray:
        return values @ w[f"{name}.weight"].T + w.get(f"{name}.bias", np.float32(0))

    def block(number: int, x: np.ndarray, step: int) -> np.ndarray:
        around = np.concatenate([np.roll(x, step, 0), x, np.roll(x, -step, 0)], 1)
        mixed = linear(f"near.{number}", around) + linear(f"all.{number}", x.mean(0))
        return x + linear(f"out.{number}", np.maximum(mixed, 0))

    number = itertools.count()
    reach = range(STEM_REACH, -STEM_REACH - 1, -1)
    x = linear("stem", np.concatenate([np.roll(described, k, 0) for k in reach], 1))
    for step in FIRST:
        x = block(next(number), x, step)
    coarse = x.reshape(POINTS // POOL, POOL, -1).mean(1)
    for step in COARSE:
        coarse = block(next(number), coarse, step)
    x = x + np.repeat(coarse, POOL, 0)
    for step in LAST:
        x = block(next(number), x, step)
    point = linear("head", np.maximum(x, 0))
    coarse = np.maximum(coarse, 0)
    pooled = np.concatenate([coarse.mean(0), coarse.max(0)])
    nowhere = linear("nowhere.2", np.maximum(linear("nowhere.0", pooled), 0))
    return np.concatenate([point[:, :3], nowhere[None]]), point[:, 3]
