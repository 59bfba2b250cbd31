"""What an animal is painted into: water, sky, land and light, and the foam around it."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from flukeseg.rendering.backdrop import draw_sky, paint_backdrop
from flukeseg.rendering.blend import blend_over, mix
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.light import Light, draw_light
from flukeseg.rendering.sea import Water, draw_water, paint_sea
from flukeseg.rendering.splash import paint_spray


@dataclass(frozen=True)
class Surroundings:
    """What an animal is painted into: the picture so far, and the colours that affect it."""

    image: np.ndarray
    relief: np.ndarray  # slope of the painted waves
    water: Water
    light: Light
    sky: np.ndarray  # colour that wet skin reflects
    without: Collection[str]


def paint_foam(
    rng: np.random.Generator,
    frame: Frame,
    wide: float,
    around: Surroundings,
    splash: np.ndarray,
    tone: np.ndarray,
) -> None:
    """Paint splash H×W of a brightness H×W, and spray around an animal `wide` frame widths wide."""
    wet = np.flatnonzero(splash.any(1))
    if len(wet):
        band = slice(wet[0], wet[-1] + 1)
        foam = mix(np.zeros(3, np.float32), around.water.foam, tone[band])
        blend_over(around.image[band], foam, splash[band])
    spray = paint_spray(rng, frame, wide)
    if spray.any():
        blend_over(around.image, around.water.foam, spray)


def draw_surroundings(
    tint: np.random.Generator,
    swell: np.random.Generator,
    far: np.random.Generator,
    lamp: np.random.Generator,
    frame: Frame,
    without: Collection[str] = (),
) -> Surroundings:
    """Draw water, sky, land and light, each from a generator of its own."""
    water = draw_water(tint)
    image, relief = paint_sea(swell, frame, water)
    if "waves" in without:
        image, relief = np.full_like(image, water.mean), np.zeros_like(relief)
    sky = draw_sky(tint, water)
    if "backdrop" not in without:
        paint_backdrop(far, frame, sky, image)
    return Surroundings(image, relief, water, draw_light(lamp), sky.low, without)
