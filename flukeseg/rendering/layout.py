"""Layout of the picture: the crop around a whale, and the position of a second one."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flukeseg.rendering.frame import Frame
from flukeseg.rendering.mount import Mount

FRAMING = {"tight": 0.68, "medium": 0.21, "distant": 0.11, "enlarged": 0.0}
"""Usual shares of the crops: the fluke is most of their width, 35 to 80 % or 9 to 35 % of it, or it
was that small and the crop is cut out around it, as a second look does: then it is most of the
width again, and all that lens and file did to the photograph is enlarged."""

MOST_ENLARGED = 6.0
"""A fluke of a ninth of a photograph's width, over two thirds of the frame."""


def draw_frame(
    rng: np.random.Generator,
    box: np.ndarray,
    mount: Mount,
    size: tuple[int, int],
    framing: Mapping[str, float] = FRAMING,
) -> Frame:
    """Draw the crop: tight around a box or wider, sometimes cutting it off.

    Args:
        rng: draws it.
        box: x0, y0, x1, y1 of the fluke in half-spans, as `Whale.box`.
        mount: whose borders it is in.
        size: (height, width) in pixels.
        framing: shares of the kinds of `FRAMING`, of a sum of 1.
    """
    _, above, _, below = mount.margins
    x0, y0, x1, y1 = box
    wide, tall = max(x1 - x0, 0.2), max(y1 - y0, 0.05)
    kind = rng.choice([*FRAMING], p=[framing.get(kind, 0.0) for kind in FRAMING])
    if kind in ("tight", "enlarged"):
        share = rng.uniform(0.82, 1.04) if kind == "tight" else rng.uniform(0.45, 0.95)
        scale = share / wide
        fill = rng.uniform(0.55, 1.0)
        aspect = float(np.clip(fill / (tall * scale), 1.2, 4.2))
        left = (1 - share) / 2 + rng.normal(0, 0.025)
        room = 1 / aspect - tall * scale
        top = room * rng.uniform(0.05, 0.7) if room > 0 else 0.0
    else:
        share = rng.uniform(0.35, 0.8) if kind == "medium" else np.exp(rng.uniform(-2.4, -1.05))
        scale = share / wide
        aspect = float(rng.choice([1.33, 1.5, 1.78, 2.3, 3.0], p=[0.2, 0.4, 0.2, 0.12, 0.08]))
        left = rng.uniform(0.02, 0.98 - share)
        room = 1 / aspect - tall * scale
        top = room * rng.uniform(0.1, 0.85) if room > 0 else room * 0.3
    if rng.uniform() < 0.1:
        left += rng.choice([-1, 1]) * share * rng.uniform(0.1, 0.45)
    elif rng.uniform() < 0.06:
        top -= tall * scale * rng.uniform(0.05, 0.4)
    # a caption takes up part of the height
    aspect *= 1 - above - below
    top += above / aspect
    middle = (x0 + x1) / 2
    contact = (left + (middle - x0) * scale, top + tall * scale)
    chance = {"tight": 0.1, "medium": 0.4, "distant": 0.65, "enlarged": 0.4}[str(kind)]
    if rng.uniform() < chance:
        horizon = max(contact[1] * rng.uniform(0.15, 0.95), 0.02)
    else:
        horizon = contact[1] + rng.uniform(0.1, 2.0)
    slope = rng.normal(0, 0.015) if rng.uniform() < 0.7 else rng.normal(0, 0.22)
    metre = scale / rng.uniform(1.6, 2.6)  # half-span in metres
    grazing = np.exp(rng.uniform(np.log(0.2), np.log(0.6)))
    enlargement = MOST_ENLARGED ** rng.uniform() if kind == "enlarged" else 1.0
    return Frame(
        size, aspect, (float(contact[0]), float(contact[1])), float(horizon), float(slope),
        float(metre), float(grazing), float(scale), float(enlargement),
    )  # fmt: skip


def draw_frame_beside(rng: np.random.Generator, frame: Frame) -> Frame:
    """Draw a second whale's position: the same frame with its contact moved along the water."""
    aside = rng.choice([-1, 1]) * rng.uniform(1.0, 2.6) * frame.half_span
    return move_along_water(frame, aside, rng.uniform(0.6, 1.15))


def draw_frame_behind(rng: np.random.Generator, frame: Frame, metre: float) -> Frame:
    """Draw the place of something farther away, of which a metre is `metre` units.

    About as large as it would be there, though never too small to be seen.
    """
    nearness = rng.uniform(0.3, 1.0)
    unit = frame.metre / metre * np.exp(rng.uniform(-0.5, 0.9))
    unit = max(unit, 0.02 / nearness)
    aside = rng.choice([-1, 1]) * rng.uniform(0.1, 1.5) * frame.half_span
    return move_along_water(frame, aside, nearness, unit / frame.half_span)


def move_along_water(frame: Frame, aside: float, nearness: float, size: float = 1) -> Frame:
    """Move a frame's contact along the water.

    Args:
        frame: to be moved.
        aside: frame widths to the right, along the horizon.
        nearness: of the new place, 1 for the old one.
        size: of what is there, in units of the frame's half-span.
    """
    down = (nearness - 1) * min(frame.horizon, frame.half_span)
    nearness = 1 + down / frame.horizon
    cos, sin = np.cos(frame.slope), np.sin(frame.slope)
    x, y = frame.contact
    return replace(
        frame,
        contact=(float(x + cos * aside - sin * down), float(y + sin * aside + cos * down)),
        horizon=float(frame.horizon + down),
        metre=float(frame.metre * nearness),
        half_span=float(frame.half_span * nearness * size),
    )
