"""Outlines of dorsal fins and of the backs that they stand on, seen from the side.

x is to the right, where the rear is, and y down from the water's level.
"""

from __future__ import annotations

import numpy as np

from flukeseg.rendering.noise import line_noise

SUNK = 0.8
"""How far shapes go on below the water's level, so that waves do not show their lower ends."""


def _curve(*points: tuple[float, float], count: int = 40) -> np.ndarray:
    """Points of a quadratic Bézier curve of three points, count×2."""
    t = np.linspace(0, 1, count)[:, None]
    a, b, c = (np.array(point) for point in points)
    return (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c


def _soften(path: np.ndarray, reach: int) -> np.ndarray:
    """Round the corners of an open path N×2 by a mean over 2·reach + 1 points; its ends stay."""
    if reach == 0:
        return path
    kernel = np.ones(2 * reach + 1) / (2 * reach + 1)
    padded = np.pad(path, ((reach, reach), (0, 0)), "edge")
    return np.stack([np.convolve(values, kernel, "valid") for values in padded.T], 1)


def turn(points: np.ndarray, angle: float) -> np.ndarray:
    """Turn points N×2 about the origin by an angle in radians, clockwise on the screen."""
    cos, sin = np.cos(angle), np.sin(angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def back_line(
    length: float, height: float, power: float, middle: float, rear_power: float | None = None
) -> np.ndarray:
    """The upper line of a back from its front to its rear, N×2.

    Its power bends it behind the middle too, unless there is another for the rear.
    """
    t = np.linspace(-1, 1, 161)
    # steeper at the head than at the tail
    bend = np.where(t < middle, (t - middle) / (1 + middle), (t - middle) / (1 - middle))
    powers = np.where(t < middle, power, power if rear_power is None else rear_power)
    return np.stack([t * length / 2, -height * (1 - np.abs(bend) ** powers)], 1)


def close_below(line: np.ndarray) -> np.ndarray:
    """Close a line below the water."""
    return np.concatenate([line, [[line[-1, 0], SUNK], [line[0, 0], SUNK]]])


def draw_fin(
    rng: np.random.Generator, height: float, base: float, lean: float, hook: float
) -> np.ndarray:
    """A dorsal fin on the level y = 0, with its rear to the right, N×2."""
    front = (-base / 2 + rng.uniform(0.2, 0.55) * (lean + base / 2), -height * rng.uniform(0.6, 1))
    lead = _curve((-base / 2, 0.0), front, (lean, -height))
    middle = np.array([(lean + base / 2) / 2, -height / 2])
    inward = middle + hook * np.array([-0.35 * base, 0.3 * height])
    trail = _curve((lean, -height), (float(inward[0]), float(inward[1])), (base / 2, 0.0))
    if rng.uniform() < 0.4:  # nicks
        nick = np.minimum(line_noise(rng, len(trail), rng.uniform(3, 12), 2) + 0.3, 0)
        trail[2:-2, 0] += (0.1 * base * nick)[2:-2]
    return _soften(np.concatenate([lead, trail[1:]]), int(rng.integers(0, 8)))


def put_on_back(fin: np.ndarray, back: np.ndarray, at: float) -> np.ndarray:
    """Put a fin on a back at x, its foot inside."""
    placed = fin + np.array([at, 0])
    placed[:, 1] += np.interp(placed[:, 0], back[:, 0], back[:, 1]) + 0.02
    foot = placed[[-1, 0]] + [0, 0.15]
    return np.concatenate([placed, foot])
