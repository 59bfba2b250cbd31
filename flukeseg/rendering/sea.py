"""Open water: its colours, waves at several scales in perspective, foam streaks and glint."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.rendering.blend import blend_over
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.noise import (
    cloud,
    grain,
    pick_tile,
    plane_noise,
    sample_tile,
    smoothstep,
    waves,
)

# name: weight, then trough, mean and crest colour, sRGB 0 … 1; chosen by eye to cover the seas in
# fluke catalogues. "pale" and "white" are overexposed film.
PALETTES = {
    "blue": (16, (0.03, 0.12, 0.30), (0.09, 0.27, 0.52), (0.42, 0.62, 0.82)),
    "vivid": (4, (0.02, 0.20, 0.52), (0.10, 0.40, 0.78), (0.45, 0.72, 0.95)),
    "navy": (11, (0.03, 0.06, 0.13), (0.10, 0.16, 0.27), (0.34, 0.42, 0.53)),
    "steel": (15, (0.20, 0.25, 0.30), (0.40, 0.45, 0.50), (0.70, 0.73, 0.76)),
    "green": (6, (0.12, 0.20, 0.19), (0.30, 0.39, 0.37), (0.62, 0.68, 0.65)),
    "teal": (5, (0.01, 0.25, 0.32), (0.10, 0.46, 0.53), (0.55, 0.80, 0.82)),
    "brown": (2, (0.24, 0.15, 0.06), (0.42, 0.29, 0.15), (0.66, 0.53, 0.37)),
    "lilac": (4, (0.27, 0.35, 0.50), (0.47, 0.56, 0.72), (0.76, 0.83, 0.92)),
    "silver": (6, (0.05, 0.06, 0.07), (0.22, 0.24, 0.25), (0.78, 0.80, 0.81)),
    "pale": (12, (0.52, 0.54, 0.56), (0.80, 0.82, 0.83), (0.97, 0.98, 0.98)),
    "white": (9, (0.60, 0.60, 0.60), (0.97, 0.97, 0.97), (1.0, 1.0, 1.0)),
}


@dataclass(frozen=True)
class Water:
    """Colours of the water and its foam, RGB, which the rest of the picture is matched to."""

    trough: np.ndarray
    mean: np.ndarray
    crest: np.ndarray
    foam: np.ndarray


def draw_water(rng: np.random.Generator) -> Water:
    """Draw the colours of the water."""
    weights = np.array([p[0] for p in PALETTES.values()], float)
    _, *colours = list(PALETTES.values())[rng.choice(len(weights), p=weights / weights.sum())]
    shift = np.exp(rng.normal(0, 0.035, 3) + rng.normal(0, 0.12))
    trough, mean, crest = (np.clip(np.array(c) * shift, 0, 1).astype(np.float32) for c in colours)
    foam = np.clip(0.93 + 0.25 * (crest - crest.mean()) + rng.normal(0, 0.04), 0.7, 1)
    return Water(trough, mean, crest, foam.astype(np.float32))


def paint_sea(
    rng: np.random.Generator, frame: Frame, water: Water
) -> tuple[np.ndarray, np.ndarray]:
    """Paint water over the entire frame; return its colour H×W×3 and the slope of its waves H×W."""
    across, away = frame.ground
    wind = rng.normal(0, 0.45)
    rough = rng.uniform(0.25, 1.15)
    relief = np.zeros(frame.size, np.float32)
    # side of the tile in metres and weight, from long swell to ripples
    for side, weight in ((60, 0.45), (19, 0.8), (6.3, 0.9), (2.1, 0.75), (0.7, 0.5)):
        side *= rng.uniform(0.8, 1.25)
        # waves too small for a pixel fade out; a tile's mean wavelength is an eighth of its side
        shown = np.clip(1.25 - frame.footprint * np.float32(6 / side), 0, 1)
        turn, share = wind + rng.normal(0, 0.25), weight * rng.uniform(0.6, 1.3)
        off, tile = rng.uniform(0, 1, 2).astype(np.float32), pick_tile(rng, waves)
        # waves much longer than the picture is wide are not recognisable as waves
        if not shown.any() or side * frame.metre > 10:
            continue
        cos, sin = np.float32(np.cos(turn) / side), np.float32(np.sin(turn) / side)
        shape = sample_tile(
            tile, cos * across - sin * away + off[0], sin * across + cos * away + off[1]
        )
        relief += shape * shown * np.float32(share)
    gust = plane_noise(rng, across, away * np.float32(0.5), rng.uniform(20, 90), cloud)
    tone = relief * np.float32(0.26 * rough) + gust * np.float32(rng.uniform(0.02, 0.12))
    # distant water reflects the sky near the horizon
    tone += np.clip(1 - frame.nearness, -1, 1) * np.float32(rng.uniform(-0.05, 0.35))
    tone = np.tanh(tone + np.float32(rng.normal(0, 0.1)))
    up, down = np.maximum(tone, 0), np.maximum(-tone, 0)
    colour = cv2.merge(
        [
            mean + up * (crest - mean) + down * (trough - mean)
            for mean, crest, trough in zip(water.mean, water.crest, water.trough, strict=True)
        ]
    )
    if rng.uniform() < 0.45:
        blend_over(colour, water.foam, _draw_foam_streaks(rng, frame))
    if rng.uniform() < 0.15:
        glint = smoothstep((relief - np.float32(rng.uniform(1.2, 2.4))) * 1.2)
        blend_over(colour, np.ones(3, np.float32), glint * np.float32(rng.uniform(0.4, 1)))
    return colour, relief


def _draw_foam_streaks(rng: np.random.Generator, frame: Frame) -> np.ndarray:
    """Draw lacy foam that drifts in patches, 0 … 1."""
    across, away = frame.ground
    patch = plane_noise(rng, across, away, rng.uniform(8, 40), cloud)
    lace = plane_noise(rng, across, away * np.float32(0.7), rng.uniform(2, 6), grain)
    torn = plane_noise(rng, across, away, rng.uniform(3, 8), cloud)
    foam = smoothstep((patch + 0.5 * torn - np.float32(rng.uniform(0.9, 2.2))) * 1.2)
    foam *= smoothstep(0.8 + 0.5 * torn - np.abs(lace) * 1.2)
    return foam * np.float32(rng.uniform(0.4, 1)) * np.clip(1.4 - frame.footprint * 3, 0, 1)
