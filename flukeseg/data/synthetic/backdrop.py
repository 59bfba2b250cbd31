"""What stands beyond and beside the whale: sky, land, boats, birds, other backs and fins."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.data.synthetic.blend import mix, over
from flukeseg.data.synthetic.frame import Frame
from flukeseg.data.synthetic.noise import cloud, line, plane
from flukeseg.data.synthetic.sea import Water
from flukeseg.data.synthetic.splash import LINE, along

# colour of the land at hand, by eye: wooded hills, cliffs, ice, bare slopes, far blue ranges
LANDS = ((0.16, 0.22, 0.14), (0.45, 0.30, 0.22), (0.86, 0.89, 0.92), (0.38, 0.34, 0.26),
         (0.42, 0.50, 0.60))  # fmt: skip


@dataclass(frozen=True)
class Sky:
    """Colours of the sky at the horizon and high up."""

    low: np.ndarray
    high: np.ndarray


def draw_sky(rng: np.random.Generator, water: Water) -> Sky:
    """Draw a sky that suits the sea below it."""
    low = 0.55 + 0.3 * rng.uniform() + 0.35 * (water.crest - water.crest.mean())
    blue = np.array([-0.14, -0.02, 0.1]) * rng.uniform(0, 1.6)
    high = low + blue * rng.uniform(0, 1.2) - rng.uniform(0, 0.15)
    return Sky(np.clip(low, 0, 1).astype(np.float32), np.clip(high, 0, 1).astype(np.float32))


def paint_far(rng: np.random.Generator, frame: Frame, sky: Sky, image: np.ndarray) -> None:
    """Paint sky and land into the image, in place, where they are in the picture."""
    above = -(frame.level[1] + np.float32(frame.horizon)) * np.float32(frame.scale[1])
    if above.max() < -1:
        return
    rise = np.clip(above / np.float32(frame.scale[1] * 0.4), 0, 1)
    if rng.uniform() < 0.6:
        x, y = frame.grid
        puffs = plane(rng, x, y * np.float32(rng.uniform(2, 6)), rng.uniform(0.8, 3), cloud)
        rise = rise - np.float32(rng.uniform(0.05, 0.6)) * puffs
    colour = mix(sky.low, sky.high, rise)
    # waves make the horizon's edge a little soft
    alpha = np.clip(above + 0.5, 0, 1)
    if rng.uniform() < 0.42:
        kind = np.array(LANDS[rng.integers(len(LANDS))], np.float32)
        haze = np.float32(rng.uniform(0.1, 0.9))
        for far in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
            height = rng.uniform(0.01, 0.12)
            cells = rng.uniform(2, 12)
            ridge = (line(rng, LINE, cells, 6) * 0.5 + rng.uniform(0.1, 0.9)) * height
            reach = along(np.maximum(ridge, 0).astype(np.float32), frame.level[0]) * np.float32(
                frame.scale[1]
            )
            body = np.clip(reach - above + 0.5, 0, 1)
            p, q = frame.level
            rock = plane(rng, p, q * np.float32(1.5), rng.uniform(0.1, 0.5), cloud)
            tone = mix(kind * np.float32(0.8), kind * np.float32(1.1), rock)
            veil = np.float32(max(1 - haze - 0.15 * far, 0))
            over(colour, tone, body * veil * (reach > 0.5))
    over(image, colour, alpha)


def _polygon(frame: Frame, points: np.ndarray, image: np.ndarray, colour: np.ndarray) -> None:
    """Fill a polygon given along and across the water's level, from the contact."""
    cos, sin = np.cos(frame.slope), np.sin(frame.slope)
    x = frame.contact[0] + cos * points[:, 0] - sin * points[:, 1]
    y = frame.contact[1] + sin * points[:, 0] + cos * points[:, 1]
    pixels = frame.to_pixels(np.stack([x, y], 1)) - 0.5
    pixels = np.clip(pixels, -2e4, 2e4)
    cv2.fillPoly(image, [np.round(pixels * 16).astype(np.int32)], colour.tolist(), cv2.LINE_AA, 4)


def _fill(frame: Frame, image: np.ndarray, points: np.ndarray, colour: np.ndarray) -> None:
    """Blend an antialiased polygon into a float image."""
    cover = np.zeros(frame.size, np.uint8)
    _polygon(frame, points, cover, np.array([255.0]))
    x, y, w, h = cv2.boundingRect(cover)
    if w and h:
        part = image[y : y + h, x : x + w]
        over(part, colour, cover[y : y + h, x : x + w] / np.float32(255))


def _place(rng: np.random.Generator, frame: Frame, near: float) -> tuple[float, float, float]:
    """A spot on the water inside the picture: along, across, metre there (frame widths)."""
    x = rng.uniform(0.02, 0.98) - frame.contact[0]
    low = 1 / frame.aspect - frame.contact[1]
    high = max(-frame.horizon, -frame.contact[1])
    y = high + (low - high) * rng.uniform(0.0, near)
    metre = frame.metre * max((y + frame.horizon) / frame.horizon, 0.02)
    return float(x), float(y), float(metre)


def paint_boat(rng: np.random.Generator, frame: Frame, image: np.ndarray) -> None:
    """A boat far off: hull, cabin, mast."""
    x, y, metre = _place(rng, frame, 0.25)
    length = float(np.clip(metre * rng.uniform(8, 25), 0.02, 0.22))
    tone = rng.uniform(0.1, 0.95, 3) * 0.4 + rng.uniform(0, 0.6)
    hull = np.array([[-0.5, -0.12], [0.55, -0.16], [0.42, 0.02], [-0.46, 0.02]])
    _fill(frame, image, hull * length + [x, y], tone.astype(np.float32))
    left, wide, high = rng.uniform(-0.4, 0.0), rng.uniform(0.15, 0.5), rng.uniform(0.1, 0.25)
    cabin = np.array(
        [[left, -0.12], [left, -0.12 - high], [left + wide, -0.12 - high], [left + wide, -0.12]]
    )
    _fill(
        frame,
        image,
        cabin * length + [x, y],
        np.clip(tone + rng.uniform(-0.3, 0.4), 0, 1).astype(np.float32),
    )
    if rng.uniform() < 0.5:
        mast = np.array([[0, 0], [0.015, 0], [0.015, -rng.uniform(0.4, 1.1)], [0, -0.4]])
        _fill(frame, image, mast * length + [x, y], tone.astype(np.float32) * 0.6)


def paint_birds(rng: np.random.Generator, frame: Frame, image: np.ndarray) -> None:
    """Gulls on the wing, dark or white."""
    tone = np.float32(rng.choice([0.08, 0.3, 0.95])) * np.ones(3, np.float32)
    for _ in range(int(rng.integers(1, 9))):
        span = float(np.clip(frame.metre * rng.uniform(0.4, 1.4), 0.008, 0.09))
        x = rng.uniform(0, 1) - frame.contact[0]
        y = rng.uniform(0, 0.7) / frame.aspect - frame.contact[1]
        bend, tilt = rng.uniform(-0.1, 0.35), rng.normal(0, 0.25)
        wing = np.array([[-0.5, -bend], [-0.2, -0.12], [0, 0], [0.2, -0.12], [0.5, -bend],
                         [0.2, -0.02], [0, 0.09], [-0.2, -0.02]])  # fmt: skip
        turn = np.array([[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
        _fill(frame, image, wing @ turn * span + [x, y], tone)


def paint_back(rng: np.random.Generator, frame: Frame, image: np.ndarray) -> None:
    """Another animal's back, with or without a fin; it is no fluke and stays out of the mask."""
    x, y, metre = _place(rng, frame, 0.9)
    length = float(np.clip(metre * rng.uniform(1.2, 6), 0.03, 0.7))
    t = np.linspace(-1, 1, 25)
    arch = (1 - t**2) * rng.uniform(0.06, 0.16)
    back = np.stack([t * 0.5, -arch], 1)
    if rng.uniform() < 0.75:
        height, lean, wide = rng.uniform(0.08, 0.3), rng.uniform(0.05, 0.22), rng.uniform(0.08, 0.2)
        s = np.linspace(0, 1, 9)
        rise = np.stack([-wide / 2 + (wide / 2 + lean) * s**1.3, -height * np.sin(s * 1.57)], 1)
        fall = np.stack([wide / 2 + (lean - wide / 2) * s**2.2, -height * s], 1)[::-1]
        fin = np.concatenate([rise, fall]) * rng.choice([-1, 1]) ** np.array([1, 0])
        base = np.interp(fin[:, 0], back[:, 0], back[:, 1])
        fin[:, 1] += base + 0.01
    else:
        fin = None
    tone = (rng.uniform(0.03, 0.3) + rng.normal(0, 0.01, 3)).astype(np.float32)
    for shape in (back, fin):
        if shape is not None:
            _fill(frame, image, shape * length + [x, y], tone)
    foam = np.stack([t * 0.5 * rng.uniform(0.7, 1.3), 0.012 * np.abs(line(rng, 25, 8, 2))], 1)
    low = np.stack([t[::-1] * 0.5, -0.006 * np.abs(line(rng, 25, 8, 2))], 1)
    shade = np.float32(rng.uniform(0.6, 1)) * np.ones(3, np.float32)
    _fill(frame, image, np.concatenate([foam, low]) * length + [x, y], shade)


def paint_company(rng: np.random.Generator, frame: Frame, image: np.ndarray, empty: bool) -> None:
    """Add what else may be in the picture; oftener when there is no fluke to find."""
    gain = 5 if empty else 1
    for paint, chance in ((paint_boat, 0.035), (paint_birds, 0.04), (paint_back, 0.05)):
        if rng.uniform() < chance * gain:
            paint(rng, frame, image)
