"""Distractors that never belong to the mask: boats, birds, other animals' backs and fins."""

import cv2
import numpy as np

from flukeseg.rendering.blend import blend_over
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.noise import line_noise


def _fill_polygon(frame: Frame, image: np.ndarray, points: np.ndarray, colour: np.ndarray) -> None:
    """Fill an antialiased polygon; its points lie along and across the water, from the contact."""
    cos, sin = np.cos(frame.slope), np.sin(frame.slope)
    x = frame.contact[0] + cos * points[:, 0] - sin * points[:, 1]
    y = frame.contact[1] + sin * points[:, 0] + cos * points[:, 1]
    pixels = frame.to_pixels(np.stack([x, y], 1)) - 0.5
    pixels = np.clip(pixels, -2e4, 2e4)  # keeps OpenCV's fixed point from overflowing
    cover = np.zeros(frame.size, np.uint8)
    cv2.fillPoly(cover, [np.round(pixels * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    x, y, w, h = cv2.boundingRect(cover)
    if w and h:
        part = image[y : y + h, x : x + w]
        blend_over(part, colour, cover[y : y + h, x : x + w] / np.float32(255))


def _choose_spot(rng: np.random.Generator, frame: Frame, near: float) -> tuple[float, float, float]:
    """Choose a point on the visible water: along, across, and the length of a metre there.

    All in frame widths; `near` limits how far into the foreground the point may lie, 0 … 1.
    """
    x = rng.uniform(0.02, 0.98) - frame.contact[0]
    low = 1 / frame.aspect - frame.contact[1]
    high = max(-frame.horizon, -frame.contact[1])
    y = high + (low - high) * rng.uniform(0.0, near)
    metre = frame.metre * max((y + frame.horizon) / frame.horizon, 0.02)
    return float(x), float(y), float(metre)


def _paint_boat(rng: np.random.Generator, frame: Frame, image: np.ndarray) -> None:
    """Paint a distant boat: hull, cabin and, half of the time, a mast."""
    x, y, metre = _choose_spot(rng, frame, 0.25)
    length = float(np.clip(metre * rng.uniform(8, 25), 0.02, 0.22))
    tone = rng.uniform(0.1, 0.95, 3) * 0.4 + rng.uniform(0, 0.6)
    hull = np.array([[-0.5, -0.12], [0.55, -0.16], [0.42, 0.02], [-0.46, 0.02]])
    _fill_polygon(frame, image, hull * length + [x, y], tone.astype(np.float32))
    left, wide, high = rng.uniform(-0.4, 0.0), rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.25)
    cabin = np.array(
        [[left, -0.12], [left, -0.12 - high], [left + wide, -0.12 - high], [left + wide, -0.12]]
    )
    other = np.clip(tone + rng.uniform(-0.3, 0.4), 0, 1)
    _fill_polygon(frame, image, cabin * length + [x, y], other.astype(np.float32))
    if rng.uniform() < 0.5:
        mast = np.array([[0, 0], [0.015, 0], [0.015, -rng.uniform(0.4, 1.1)], [0, -0.4]])
        _fill_polygon(frame, image, mast * length + [x, y], tone.astype(np.float32) * 0.6)


def _paint_birds(rng: np.random.Generator, frame: Frame, image: np.ndarray) -> None:
    """Paint one to eight flying gulls, dark or white."""
    tone = np.float32(rng.choice([0.08, 0.3, 0.95])) * np.ones(3, np.float32)
    for _ in range(int(rng.integers(1, 9))):
        span = float(np.clip(frame.metre * rng.uniform(0.4, 1.4), 0.008, 0.09))
        x = rng.uniform(0, 1) - frame.contact[0]
        y = rng.uniform(0, 0.7) / frame.aspect - frame.contact[1]
        bend, tilt = rng.uniform(-0.1, 0.35), rng.normal(0, 0.25)
        wing = np.array([[-0.5, -bend], [-0.2, -0.12], [0, 0], [0.2, -0.12], [0.5, -bend],
                         [0.2, -0.02], [0, 0.09], [-0.2, -0.02]])  # fmt: skip
        turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
        _fill_polygon(frame, image, wing @ turn * span + [x, y], tone)


def _paint_back(rng: np.random.Generator, frame: Frame, image: np.ndarray) -> None:
    """Paint another animal's back, with or without a dorsal fin."""
    x, y, metre = _choose_spot(rng, frame, 0.9)
    length = float(np.clip(metre * rng.uniform(1.2, 6), 0.03, 0.7))
    t = np.linspace(-1, 1, 25)
    arch = (1 - t**2) * rng.uniform(0.06, 0.16)
    back = np.stack([t * 0.5, -arch], 1)
    shapes = [back]
    if rng.uniform() < 0.75:
        height, lean, wide = rng.uniform(0.08, 0.3), rng.uniform(0.05, 0.22), rng.uniform(0.08, 0.2)
        s = np.linspace(0, 1, 9)
        rise = np.stack([-wide / 2 + (wide / 2 + lean) * s**1.3, -height * np.sin(s * 1.57)], 1)
        fall = np.stack([wide / 2 + (lean - wide / 2) * s**2.2, -height * s], 1)[::-1]
        fin = np.concatenate([rise, fall])
        fin[:, 0] *= rng.choice([-1, 1])  # heading left or right
        fin[:, 1] += np.interp(fin[:, 0], back[:, 0], back[:, 1]) + 0.01
        shapes.append(fin)
    tone = (rng.uniform(0.03, 0.3) + rng.normal(0, 0.01, 3)).astype(np.float32)
    for shape in shapes:
        _fill_polygon(frame, image, shape * length + [x, y], tone)
    foam = np.stack([t * 0.5 * rng.uniform(0.7, 1.3), 0.012 * np.abs(line_noise(rng, 25, 8, 2))], 1)
    low = np.stack([t[::-1] * 0.5, -0.006 * np.abs(line_noise(rng, 25, 8, 2))], 1)
    shade = np.float32(rng.uniform(0.6, 1)) * np.ones(3, np.float32)
    _fill_polygon(frame, image, np.concatenate([foam, low]) * length + [x, y], shade)


def paint_distractors(
    rng: np.random.Generator, frame: Frame, image: np.ndarray, empty: bool
) -> None:
    """Paint distractors in place; five times as often in pictures without a fluke."""
    gain = 5 if empty else 1
    for paint, chance in ((_paint_boat, 0.06), (_paint_birds, 0.04), (_paint_back, 0.05)):
        if rng.uniform() < chance * gain:
            paint(rng, frame, image)
