"""A shape that rises from the water and is no fluke: its outlines, patches and box.

Points are x to the right and y down from a place on the water's level. A unit is about half the
width of what is cropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Body:
    """One shape.

    `parts`: polygons N×2, which are one where they overlap. `patches`: polygons of another tone of
    0..1, and that tone. `box`: x0, y0, x1, y1 of what a photographer aims at. `metre`: how many
    units a metre is. `tone`: of the skin, None for that of a whale. `colours`: of each part,
    painted flat; none for what has skin.
    """

    parts: tuple[np.ndarray, ...]
    box: np.ndarray
    metre: float
    tone: np.ndarray | None = None
    patches: tuple[tuple[np.ndarray, float], ...] = ()
    colours: tuple[np.ndarray, ...] = ()

    @property
    def is_skin(self) -> bool:
        """Whether it is an animal's."""
        return not self.colours


def make_body(
    parts: list[np.ndarray],
    metre: float,
    patches: list[tuple[np.ndarray, float]],
    tone: np.ndarray | None = None,
    colours: Sequence[np.ndarray] = (),
) -> Body:
    """Make a body of parts, its box around what is above the water."""
    shown = np.concatenate(parts)
    shown = shown[shown[:, 1] < 0]
    box = np.array([shown[:, 0].min(), shown[:, 1].min(), shown[:, 0].max(), 0.05])
    return Body(tuple(parts), box, metre, tone, tuple(patches), tuple(colours))


def ellipse(across: float, down: float) -> np.ndarray:
    """Points of an ellipse about the origin, 30×2, of these half axes."""
    t = np.linspace(0, 2 * np.pi, 30)
    return np.stack([across * np.cos(t), down * np.sin(t)], 1)
