"""Background above the horizon: sky, clouds and land."""

from dataclasses import dataclass

import numpy as np

from flukeseg.rendering.blend import blend_over, mix
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.noise import cloud, line_noise, plane_noise
from flukeseg.rendering.sea import Water
from flukeseg.rendering.splash import LINE, spread_along

# Land colours, sRGB 0 … 1, chosen by eye: forest, dark rock, cliff, ice, bare slope, distant range.
LANDS = (
    (0.16, 0.22, 0.14),
    (0.10, 0.11, 0.10),
    (0.45, 0.30, 0.22),
    (0.86, 0.89, 0.92),
    (0.38, 0.34, 0.26),
    (0.42, 0.50, 0.60),
)


@dataclass(frozen=True)
class Sky:
    """Sky colours at the horizon (low) and at the zenith (high), RGB."""

    low: np.ndarray
    high: np.ndarray


def draw_sky(rng: np.random.Generator, water: Water) -> Sky:
    """Draw a sky whose colours match the sea below it."""
    low = 0.55 + 0.3 * rng.uniform() + 0.35 * (water.crest - water.crest.mean())
    blue = np.array([-0.14, -0.02, 0.1]) * rng.uniform(0, 1.6)
    high = low + blue * rng.uniform(0, 1.2) - rng.uniform(0, 0.15)
    return Sky(np.clip(low, 0, 1).astype(np.float32), np.clip(high, 0, 1).astype(np.float32))


def paint_backdrop(rng: np.random.Generator, frame: Frame, sky: Sky, image: np.ndarray) -> None:
    """Paint sky and land above the horizon, in place; nothing where the frame ends below it."""
    above = -(frame.level[1] + np.float32(frame.horizon)) * np.float32(frame.scale[1])
    if above.max() < -1:
        return
    rise = np.clip(above / np.float32(frame.scale[1] * 0.4), 0, 1)
    if rng.uniform() < 0.6:
        x, y = frame.grid
        puffs = plane_noise(rng, x, y * np.float32(rng.uniform(2, 6)), rng.uniform(0.8, 3), cloud)
        rise = rise - np.float32(rng.uniform(0.05, 0.6)) * puffs
    colour = mix(sky.low, sky.high, rise)
    # waves soften the horizon by about a pixel
    alpha = np.clip(above + 0.5, 0, 1)
    if rng.uniform() < 0.55:
        kind = np.array(LANDS[rng.integers(len(LANDS))], np.float32)
        haze = np.float32(rng.uniform(0.0, 0.9))
        for far in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
            height = rng.choice([0.03, 0.09, 0.22]) * rng.uniform(0.4, 1.4)
            cells = rng.uniform(2, 12)
            ridge = (line_noise(rng, LINE, cells, 6) * 0.5 + rng.uniform(0.1, 0.9)) * height
            reach = spread_along(
                np.maximum(ridge, 0).astype(np.float32), frame.level[0]
            ) * np.float32(frame.scale[1])
            body = np.clip(reach - above + 0.5, 0, 1)
            p, q = frame.level
            # texture of rock and forest: large blotches with finer ones in them
            rock = plane_noise(rng, p, q * np.float32(1.5), rng.uniform(0.15, 0.6), cloud)
            wood = plane_noise(rng, p, q, rng.uniform(0.05, 0.15), cloud)
            rock = np.float32(rng.uniform(0.2, 0.6)) * rock + np.float32(0.25) * wood
            tone = mix(kind * np.float32(0.7), kind * np.float32(1.2), rock + 0.5)
            veil = np.float32(max(1 - haze - 0.15 * far, 0))
            blend_over(colour, tone, body * veil * (reach > 0.5))
    blend_over(image, colour, alpha)
