"""Draws one of the kinds of shapes that are no fluke: fins, backs, breaches, limbs, boats, ice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from flukeseg.rendering.bodies import Body, make_body
from flukeseg.rendering.dorsal_fins import SUNK, back_line, close_below, draw_fin, put_on_back, turn
from flukeseg.rendering.finned_bodies import draw_dolphin, draw_killer_whale, draw_surfacing
from flukeseg.rendering.noise import line_noise


def draw_body(rng: np.random.Generator) -> Body:
    """Draw a shape of a kind, heading left or right."""
    kinds, shares = zip(*KINDS, strict=True)
    draw = kinds[int(rng.choice(len(kinds), p=shares))]
    body = draw(rng)
    way = np.array([rng.choice([-1.0, 1.0]), 1.0])
    x0, y0, x1, y1 = body.box
    left, right = sorted((way[0] * x0, way[0] * x1))
    return replace(
        body,
        parts=tuple(part * way for part in body.parts),
        box=np.array([left, y0, right, y1]),
        patches=tuple((patch * way, tone) for patch, tone in body.patches),
    )


def _draw_back(rng: np.random.Generator) -> Body:
    """A whale's rolling back: with a ridge of knuckles or a small fin, or smooth."""
    height = rng.uniform(0.12, 1.0)
    back = back_line(2.0, height, rng.uniform(1.4, 3), rng.uniform(-0.5, 0.5))
    rear = np.clip((back[:, 0] + 0.2) / 0.6, 0, 1)
    if rng.uniform() < 0.6:
        knuckles = np.abs(np.sin(back[:, 0] * rng.uniform(8, 25))) * rear * (1 - rear * 0.5)
        back[:, 1] -= rng.uniform(0.01, 0.06) * knuckles
    parts = [close_below(back)]
    if rng.uniform() < 0.7:
        size = rng.uniform(0.06, 0.3)
        fin = draw_fin(rng, size, size * rng.uniform(1.2, 3), size * rng.uniform(0.1, 0.9), 0.6)
        parts.append(put_on_back(fin, back, rng.uniform(-0.3, 0.6)))
    pitch = rng.normal(0, 0.12)
    parts = [turn(part, pitch) for part in parts]
    top = min(part[:, 1].min() for part in parts)
    return Body(tuple(parts), np.array([-1.0, top, 1.0, 0.05]), 2 / rng.uniform(2, 7))


def _limb(
    rng: np.random.Generator, length: float, width: float, angle: float, bend: float, power: float
) -> tuple[np.ndarray, np.ndarray]:
    """A tapered limb from below the water up at an angle; its outline, and that of one half."""
    s = np.linspace(-SUNK, length, 80)
    heading = angle + bend * (s / length) ** 2
    step = np.gradient(s)
    axis = np.stack([np.cumsum(np.cos(heading) * step), -np.cumsum(np.sin(heading) * step)], 1)
    axis -= axis[np.abs(s).argmin()]
    half = width * (1 - np.clip(s / length, 0, 1) ** power) ** 0.6
    half = half * (1 + rng.uniform(0, 0.08) * line_noise(rng, 80, 8, 2))
    across = np.stack([np.sin(heading), np.cos(heading)], 1) * half[:, None]
    return np.concatenate([axis + across, (axis - across)[::-1]]), np.concatenate(
        [axis + across, (axis + 0.15 * across)[::-1]]
    )


def _draw_breach(rng: np.random.Generator) -> Body:
    """A body that breaches, or a head that looks out: mostly a pale belly, sometimes a fin."""
    length, width = rng.uniform(0.7, 2.2), rng.uniform(0.28, 0.55)
    angle = rng.uniform(0.35, 1.6)
    body, belly = _limb(rng, length, width, angle, rng.normal(0, 0.5), rng.uniform(1.5, 5))
    parts, patches = [body], []
    if rng.uniform() < 0.75:
        patches.append((belly, rng.uniform(0.4, 0.95)))
    if length > 1.2 and rng.uniform() < 0.6:
        arm, _ = _limb(rng, rng.uniform(0.5, 1.1), 0.14, angle + rng.uniform(0.8, 2.2), 0.3, 2)
        parts.append(arm + 0.55 * length * np.array([np.cos(angle), -np.sin(angle)]))
    return make_body(parts, rng.uniform(0.1, 0.3), patches)


def _draw_pectoral_fins(rng: np.random.Generator) -> Body:
    """One long fin that is raised, or both of a whale on its back."""
    count = 1 if rng.uniform() < 0.75 else 2
    parts = []
    for number in range(count):
        angle = rng.uniform(0.4, 1.7) if count == 1 else (0.9, 2.2)[number] + rng.normal(0, 0.25)
        limb, _ = _limb(
            rng, rng.uniform(1.1, 2), rng.uniform(0.13, 0.28), angle, rng.normal(0, 0.5), 2.5
        )
        parts.append(limb + np.array([rng.uniform(0, 0.9) * number, 0]))
    pale = rng.uniform() < 0.5
    tone = np.full(3, rng.uniform(0.5, 0.9) if pale else rng.uniform(0.03, 0.3), np.float32)
    return make_body(parts, rng.uniform(0.2, 0.5), [], tone)


def _draw_boat(rng: np.random.Generator) -> Body:
    """A boat near by: hull, cabin or people, and sometimes a mast."""
    sheer, high = rng.uniform(0, 0.15), rng.uniform(0.15, 0.45)
    hull = np.array([[-1, -high], [0.2, -high - sheer / 3], [1.1, -high - sheer], [0.8, 0.3],
                     [-0.95, 0.3]])  # fmt: skip
    parts = [hull]
    for _ in range(int(rng.integers(0, 5))):
        left, wide = rng.uniform(-0.9, 0.3), rng.uniform(0.08, 0.6)
        roof = -high - rng.uniform(0.15, 0.6)
        slant = rng.uniform(0, 0.15)
        parts.append(np.array([[left, -high], [left + slant, roof], [left + wide, roof],
                               [left + wide + slant, -high]]))  # fmt: skip
    if rng.uniform() < 0.3:
        x, top = rng.uniform(-0.4, 0.4), -rng.uniform(1, 2.2)
        parts.append(np.array([[x, -high], [x, top], [x + 0.03, top], [x + 0.03, -high]]))
    base = rng.uniform(0, 0.7)
    colours = [(base + rng.uniform(0, 0.3, 3)).astype(np.float32) for _ in parts]
    return make_body(parts, 2 / rng.uniform(4, 15), [], colours=colours)


def _draw_ice(rng: np.random.Generator) -> Body:
    """A floe or a small berg: blocks that are whiter above than at the water."""
    blue = np.array([-0.12, -0.02, 0.04]) * rng.uniform(0, 1.5)
    tone = rng.uniform(0.6, 1.0) + blue
    parts, colours = [], []
    for _ in range(int(rng.integers(1, 5))):
        middle, half = rng.uniform(-0.7, 0.7), rng.uniform(0.2, 0.8)
        height = half * rng.uniform(0.05, 0.6)
        x = np.linspace(-half, half, 40)
        top = height * np.clip(0.7 + 0.5 * line_noise(rng, 40, rng.uniform(1, 4), 2), 0.05, 2)
        top *= np.clip((half - np.abs(x)) / (rng.uniform(0.02, 0.5) * half), 0, 1)
        for step, share in enumerate((1.0, rng.uniform(0.2, 0.7))):
            face = np.stack([middle + x, -top * share - 0.02 * step * line_noise(rng, 40, 9)], 1)
            parts.append(close_below(face))
            colour = tone + (2 * blue - rng.uniform(0, 0.18)) * step
            colours.append(np.clip(colour, 0, 1).astype(np.float32))
    return make_body(parts, 2 / rng.uniform(1, 15), [], colours=colours)


KINDS: tuple[tuple[Callable[[np.random.Generator], Body], float], ...] = (
    (draw_dolphin, 0.25),
    (draw_killer_whale, 0.17),
    (draw_surfacing, 0.21),
    (_draw_back, 0.13),
    (_draw_breach, 0.09),
    (_draw_pectoral_fins, 0.07),
    (_draw_boat, 0.05),
    (_draw_ice, 0.03),
)
"""Functions that draw a kind of shape, and the share of each."""
