"""Skin: pigment, scars and barnacles on the flat fluke."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.rendering.blend import blend_over, mix, multiply
from flukeseg.rendering.noise import cloud, grain, plane_noise, smoothstep
from flukeseg.rendering.raster import Layer


@dataclass(frozen=True)
class Skin:
    """One animal's pigment and marks, as parameters of `compute_albedo`."""

    seed: int
    dark: np.ndarray  # RGB
    pale: np.ndarray  # RGB
    level: float  # amount of pale: below -1 none, above 1 nearly everywhere
    outward: float  # increase of pale towards the tips
    backward: float  # increase of pale towards the trailing edge
    ragged: float  # strength of the noise at the border between dark and pale
    soft: float  # width of that border
    border: float  # width of the dark edge, in chords
    fading: float  # how much greyer pale skin gets towards the peduncle, 0 … 1
    cloudiness: float  # relative unevenness of dark skin
    mottle: float  # strength of small spots everywhere
    keel: float  # white along the midline above 1, dark below 0
    lead: float  # how much narrower the dark edge is at the leading edge, in chords
    speckle: float  # single pale spots on dark, dark spots on pale
    film: float  # strength of the orange diatom film
    scars: int
    growth: float  # amount of barnacles at tips and edges
    rills: float  # strength of water running down the peduncle and over the lobes, 0 … 1
    back: float  # brightness of the upper side relative to dark skin of the underside


KINDS = {
    "humpback": {
        "black": 0.27,
        "dark": 0.16,
        "outer": 0.23,
        "white": 0.21,
        "bare": 0.06,
        "grey": 0.07,
    },
    "sperm": {"black": 1.0},
    "blue": {"grey": 1.0},
    "grey": {"grey": 0.75, "dark": 0.25},
    "right": {"black": 0.93, "dark": 0.07},
    "killer": {"white": 0.85, "black": 0.15},  # pale below, dark above
}
"""Shares of the kinds of skin of each species; a humpback's are those of its catalogues.

`bare` is white to the peduncle, with hardly a dark edge: in the sun it is as bright as foam."""

LEVELS = {"black": -4.0, "dark": -1.7, "outer": -0.2, "white": 1.9, "bare": 4.0, "grey": 0.2}
"""Amount of pale of each kind of skin, see `Skin.level`."""

CRUSTED = ("humpback", "grey")
"""Species with barnacles on their flukes."""


def draw_skin(rng: np.random.Generator, species: str) -> Skin:
    """Draw the skin of one animal of a species, a key of `KINDS`."""
    kinds = KINDS[species]
    kind = str(rng.choice(list(kinds), p=list(kinds.values())))
    mottled = species == "grey"
    dark = rng.uniform(0.02, 0.16) + rng.normal(0, 0.012, 3) + np.array([-0.008, 0, 0.012])
    pale = rng.uniform(0.4 if kind == "outer" else 0.6, 0.97) + np.array(
        [0.02, 0.0, -0.02]
    ) * rng.uniform(-1, 2)
    if kind == "grey":
        dark, pale = dark + rng.uniform(0.05, 0.2), pale * rng.uniform(0.5, 0.8)
    bare = kind == "bare"
    return Skin(
        seed=int(rng.integers(2**31)),
        dark=np.clip(dark, 0.01, 1).astype(np.float32),
        pale=np.clip(pale, 0, 1).astype(np.float32),
        level=LEVELS[kind] + rng.normal(0, 0.3),
        outward=float(rng.uniform(0.5, 3.0) if kind in ("outer", "dark") else rng.uniform(-0.3, 1)),
        backward=float(rng.normal(0.1, 0.5)),
        ragged=float(rng.uniform(0.4, 1.3)),
        soft=float(np.exp(rng.uniform(np.log(0.15), np.log(3.0)))),
        border=float(rng.uniform(0.01, 0.09) * (0.3 if bare else 1)),
        fading=float(max(rng.uniform(-0.3, 0.6), 0)),
        cloudiness=float(rng.uniform(0.05, 0.4)),
        mottle=float(max(rng.normal(0.5 if mottled else -0.02, 0.14), 0)),
        keel=float(rng.uniform(-1, 1.5) + (2 if bare else 0)),
        lead=float(rng.uniform(-0.02, 0.09)),
        speckle=float(max(rng.normal(0.3, 0.8), 0)),
        film=float(rng.uniform(0.25, 0.85) if rng.uniform() < 0.14 else 0),
        scars=int(rng.poisson(rng.choice([2, 10, 40], p=[0.4, 0.45, 0.15]))),
        growth=float(max(rng.normal(0.4, 0.4), 0) if species in CRUSTED else 0),
        rills=float(max(rng.uniform(-1.5, 0.9), 0)),
        back=float(rng.uniform(0.9, 1.5)),
    )


def _draw_marks(rng: np.random.Generator, skin: Skin, width: int) -> np.ndarray:
    """Draw scratches, tooth rakes and ring scars on the plane (x −1.2 … 1.2), 0 … 1."""
    k = width / 2.4
    image = np.zeros((width // 2, width), np.uint8)

    def at(point: np.ndarray) -> np.ndarray:
        return np.round((point + np.array([1.2, 0.8])) * k * 16).astype(np.int32)

    for _ in range(skin.scars):
        start = np.array([rng.uniform(-1, 1), rng.uniform(-0.5, 0.3)])
        heading, length = rng.uniform(0, np.pi), rng.exponential(0.1) + 0.03
        tone, thick = int(rng.uniform(30, 200)), max(1, round(rng.uniform(0.003, 0.007) * k))
        if rng.uniform() < 0.25:
            radius = int(rng.uniform(0.006, 0.013) * k * 16)
            cv2.circle(image, at(start).tolist(), radius, tone, thick, cv2.LINE_AA, 4)
            continue
        step = length * np.array([np.cos(heading), np.sin(heading)])
        aside = 0.012 * np.array([-np.sin(heading), np.cos(heading)])
        bow = aside * rng.normal(0, 1)
        for tooth in range(int(rng.choice([1, 1, 1, 1, 1, 1, 4]))):
            slip = step * rng.normal(0, 0.2)
            path = np.stack([start, start + step * 0.5 + bow, start + step]) + aside * tooth + slip
            cv2.polylines(image, [at(path)], False, tone, thick, cv2.LINE_AA, 4)
    return image.astype(np.float32) / 255


def compute_albedo(skin: Skin, layer: Layer, detail: float) -> np.ndarray:
    """Compute the skin colour of every pixel of a layer, rows × `ROW` × 3 float32, 0 … 1.

    `detail` is the number of pixels per half-span; marks finer than a pixel fade out.
    """
    rng = np.random.default_rng(skin.seed)
    x, y = layer.plane[..., 0], layer.plane[..., 1]
    side = np.abs(x)
    coarse = plane_noise(rng, x, y * np.float32(0.6), 1.6, cloud)
    spots = plane_noise(rng, x, y, rng.uniform(0.3, 0.8), grain)
    # streaks radiating from the peduncle out along the lobe
    ray_y = (y + np.float32(0.75)) / (side + np.float32(0.35))
    rays = plane_noise(rng, side * np.float32(0.4), ray_y, 0.7, cloud, turn=0)
    fine = np.float32(np.clip(detail / 60, 0, 1))
    whiteness = (
        np.float32(skin.level)
        + np.float32(skin.outward) * (side - np.float32(0.35))
        + np.float32(skin.backward) * y
        + np.float32(0.45 * skin.ragged) * coarse
        + np.float32(skin.ragged * 0.5) * rays
        + np.float32(skin.mottle) * fine * spots
    )
    share = smoothstep(0.5 + whiteness / np.float32(skin.soft))
    # dark along the edges and around the peduncle
    edge, along = layer.edge, layer.along
    rim = np.minimum(1 - edge, np.minimum(edge + np.float32(skin.lead), (1 - along) * 1.5))
    rim = rim + np.float32(0.3 * skin.border) * (coarse + 1.2 * spots * fine)
    share = share * smoothstep((rim / np.float32(skin.border) - 0.8) * 2.5)
    share = share * smoothstep(
        (side - 0.04 + 0.08 * coarse + 0.04 * spots * fine) * 9 + np.float32(skin.keel)
    )
    freckles = smoothstep((spots + coarse - np.float32(4 - skin.speckle)) * 1.5)
    share = share + freckles * np.float32(min(skin.speckle, 1)) * (0.5 - share)
    share *= layer.ventral
    # pale skin gets greyer towards the peduncle, dark skin is uneven
    shown = share * (1 - np.float32(skin.fading) * smoothstep(1 - side * np.float32(1.4)))
    colour = mix(skin.dark, skin.pale, shown)
    cloudy = np.float32(skin.cloudiness) * (1 - np.float32(0.7) * share)
    gain = np.maximum(1 + cloudy * (coarse + 0.7 * rays + 0.6 * fine * spots), 0.2)
    gain *= 1 + (1 - layer.ventral) * np.float32(skin.back - 1)
    multiply(colour, gain)
    if skin.film:
        film = smoothstep((plane_noise(rng, x, y * np.float32(0.4), 1.1, cloud) - 0.4) * 4)
        orange = np.array([0.62, 0.42, 0.12], np.float32)
        blend_over(colour, orange, film * share * np.float32(skin.film))
    if skin.rills:
        rill = plane_noise(rng, x, y * np.float32(0.12), 0.3, grain, turn=0)
        rill = smoothstep((rill + 0.5 * coarse - (0.8 if layer.peduncle else 1.6)) * 1.2)
        blend_over(colour, np.full(3, 0.8, np.float32), rill * np.float32(skin.rills) * fine)
    if skin.growth and not layer.peduncle:
        bump = plane_noise(rng, x, y, 0.3, grain)
        near_tip = smoothstep((along - 0.72) * 4) + 0.5 * smoothstep(1 - edge * 9)
        crust = smoothstep((bump + near_tip * np.float32(skin.growth) - 1.5) * 2) * near_tip
        blend_over(colour, np.full(3, 0.62, np.float32), np.clip(crust, 0, 1) * fine)
    if skin.scars and not layer.peduncle:
        width = int(np.clip(2.0 * detail, 64, 1600)) // 2 * 2
        marks = _draw_marks(rng, skin, width)
        k = np.float32(width / 2.4)
        seen = cv2.remap(marks, (x + 1.2) * k, (y + 0.8) * k, cv2.INTER_LINEAR)
        seen *= fine * np.float32(0.5)
        blend_over(colour, np.full(3, 0.7, np.float32), seen * (share < 0.5))
        blend_over(colour, np.full(3, 0.15, np.float32), seen * (share >= 0.5))
    return colour
