"""Light on wet skin: diffuse shading, gloss and reflected sky."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.rendering.raster import Layer


@dataclass(frozen=True)
class Light:
    """Direction of the sun and strength of each kind of light."""

    sun: np.ndarray  # unit vector towards the sun, camera coordinates
    direct: float
    ambient: float
    gloss: float  # strength of the sun's specular highlight
    wet: float  # share of the sky that upward-facing skin reflects
    tint: float  # how strongly the sky's colour tints diffuse light, 0 … 1


def draw_light(rng: np.random.Generator) -> Light:
    """Draw the light: mostly from above, sometimes from behind the whale."""
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


def shade_skin(colour: np.ndarray, layer: Layer, light: Light, sky: np.ndarray) -> np.ndarray:
    """Shade a layer's skin colour: Lambert's law, Blinn-Phong gloss, sky reflected by wet skin."""
    n = layer.normal
    facing = np.clip(n @ light.sun, 0, 1)
    above = np.float32(1) - np.float32(0.25) * n[..., 1]
    shade = np.float32(light.ambient) * above + np.float32(light.direct) * facing
    half = light.sun + np.array([0, 0, -1], np.float32)
    half /= np.linalg.norm(half)
    gloss = np.clip(n @ half, 0, 1) ** 12 * np.float32(light.gloss)
    grazing = (1 - np.clip(-n[..., 2], 0, 1)) ** 3 * np.float32(0.12)
    # wet skin that faces up reflects the sky: backs are often brighter than the sea
    up = np.clip(-n[..., 1], 0, 1) ** 1.5 * np.float32(light.wet)
    sheen = gloss + grazing + up
    tint = 1 + light.tint * (sky / sky.mean() - 1)
    shaded = [
        channel * (shade * hue) + sheen * blue
        for channel, hue, blue in zip(cv2.split(colour), tint, sky, strict=True)
    ]
    return cv2.merge(shaded)
