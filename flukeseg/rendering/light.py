"""Light on wet skin."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.rendering.raster import Layer


@dataclass(frozen=True)
class Light:
    """Where light comes from and how much of it reaches the side that is seen."""

    sun: np.ndarray  # unit vector towards the sun, camera coordinates
    direct: float
    ambient: float
    gloss: float  # strength of the sun's mirror image
    wet: float  # share of the sky that skin facing it mirrors
    tint: float  # how much of the sky's colour is in the shade, 0 … 1


def draw_light(rng: np.random.Generator) -> Light:
    """Draw the light: mostly a high sky, at times a sun behind the whale."""
    sun = np.array([rng.normal(0, 0.6), -rng.uniform(0.3, 1), rng.uniform(-0.9, 0.4)])
    backlit = rng.uniform() < 0.15
    return Light(
        (sun / np.linalg.norm(sun)).astype(np.float32),
        float(rng.uniform(0.0, 0.15) if backlit else rng.uniform(0.15, 0.6)),
        float(rng.uniform(0.35, 0.6) if backlit else rng.uniform(0.6, 0.95)),
        float(rng.uniform(0, 0.6) ** 2),
        float(max(rng.uniform(-0.25, 0.5), 0)),
        float(rng.uniform(0, 0.8)),
    )


def lit(colour: np.ndarray, layer: Layer, light: Light, sky: np.ndarray) -> np.ndarray:
    """Shade skin by Lambert's law under a sky, with wet gloss where it mirrors the sky's light."""
    n = layer.normal
    facing = np.clip(n @ light.sun, 0, 1)
    above = np.float32(1) - np.float32(0.25) * n[..., 1]
    shade = np.float32(light.ambient) * above + np.float32(light.direct) * facing
    half = light.sun + np.array([0, 0, -1], np.float32)
    half /= np.linalg.norm(half)
    gloss = np.clip(n @ half, 0, 1) ** 12 * np.float32(light.gloss)
    grazing = (1 - np.clip(-n[..., 2], 0, 1)) ** 3 * np.float32(0.12)
    # skin that faces up mirrors the sky: wet backs are often paler than the sea
    up = np.clip(-n[..., 1], 0, 1) ** 1.5 * np.float32(light.wet)
    sheen = gloss + grazing + up
    tint = 1 + light.tint * (sky / sky.mean() - 1)
    shaded = [
        channel * (shade * hue) + sheen * blue
        for channel, hue, blue in zip(cv2.split(colour), tint, sky, strict=True)
    ]
    return cv2.merge(shaded)
