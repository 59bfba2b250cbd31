"""Pictures of what is not a fluke, from a seed: fins, backs, breaches, boats and ice at sea."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from flukeseg.rendering.body_kinds import draw_body
from flukeseg.rendering.body_painting import paint_body
from flukeseg.rendering.camera import photograph
from flukeseg.rendering.distractors import paint_distractors
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.layout import FRAMING, draw_frame, move_along_water
from flukeseg.rendering.mount import draw_mount
from flukeseg.rendering.scene import Rendering
from flukeseg.rendering.surroundings import draw_surroundings

COMPANY = (0.7, 0.2, 0.1)
"""Shares of pictures with one body, two and three."""


def render_not_fluke(
    seed: int | Sequence[int],
    size: tuple[int, int] = (192, 384),
    framing: Mapping[str, float] = FRAMING,
) -> Rendering:
    """Render a scene without a fluke, of a seed at a size (height, width).

    Its mask is empty. The same seed and size give the same bytes in every process, and another size
    the same scene, as in `flukeseg.rendering.render`; `framing` is as there.
    """
    cast, crop, tint, swell, far, lamp, wet, lens, near = np.random.default_rng(seed).spawn(9)
    body = draw_body(cast)
    mount = draw_mount(lens)
    frame = draw_frame(crop, body.box, mount, size, framing)
    frame = replace(frame, metre=frame.half_span * body.metre)
    around = draw_surroundings(tint, swell, far, lamp, frame)
    places = [(body, frame)]
    for _ in range(int(cast.choice(3, p=COMPANY))):
        places.append((draw_body(cast), _draw_frame_near(crop, frame)))
    paint_distractors(near, frame, around.image, empty=True)
    for who, where in sorted(places, key=lambda place: place[1].contact[1]):  # the distant first
        paint_body(wet, who, where, around)
    photo, _ = photograph(lens, around.image, mount, frame)
    nowhere = np.zeros((0, 2), np.float32)
    points = np.zeros((0, 3, 2), np.float32)
    return Rendering(photo, np.zeros(size, np.uint8), nowhere, points, ())


def _draw_frame_near(rng: np.random.Generator, frame: Frame) -> Frame:
    """Draw another body's place in the picture, at least as far away as the first."""
    nearness, size, aside = rng.uniform(0.25, 1.0), rng.uniform(0.4, 1.1), rng.uniform(-0.5, 0.5)
    middle = replace(frame, contact=(0.5, frame.contact[1]))
    return move_along_water(middle, aside, nearness, size)
