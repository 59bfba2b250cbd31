"""One individual's fluke: its flat outline and the raggedness of its edges.

Plane coordinates: x across (half the span is about 1), y along the body towards the trailing edge,
the notch near the origin, the peduncle at negative y.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from flukeseg.rendering.noise import line_noise

ALONG = 34  # cells from root to tip: they err by less than half a pixel at a width of 3000
ACROSS = 6  # cells from leading to trailing edge
FINE = 768  # samples of the raggedness along an edge


@dataclass(frozen=True)
class Lobe:
    """One half of a fluke as a grid: rows from leading to trailing edge, columns root to tip."""

    sheet: np.ndarray  # (ACROSS + 1) × (ALONG + 1) × 2 float32, plane coordinates, x ≥ 0
    trailing_cut: np.ndarray  # FINE float32: depth missing at the trailing edge, in chords
    leading_cut: np.ndarray  # FINE float32: depth missing at the leading edge, in chords


@dataclass(frozen=True)
class Outline:
    """A complete fluke: two slightly different lobes and the peduncle that carries them."""

    species: str  # a key of `SPECIES`
    left: Lobe
    right: Lobe
    root: float  # distance from the notch to where the leading edges meet the peduncle
    peduncle: float  # half-width of the peduncle there


SPECIES = {
    "humpback": 0.72, "sperm": 0.1, "blue": 0.04, "grey": 0.05, "right": 0.05, "killer": 0.04,
}  # fmt: skip
"""Share of each species in the pictures; `right` stands for bowhead whales too."""

# depth of the teeth along an edge in half-spans: values and their shares
ROUGHNESS = {
    "humpback": ((0.002, 0.008, 0.016), (0.15, 0.45, 0.4)),
    "sperm": ((0.0008, 0.0016), (0.5, 0.5)),
    "blue": ((0.0005,), (1,)),
    "grey": ((0.001, 0.004), (0.6, 0.4)),
    "right": ((0.0005,), (1,)),
    "killer": ((0.0005, 0.002), (0.8, 0.2)),
}
NICKS = {"sperm": 1.5, "grey": 0.8}
"""Mean number of bites along an edge; of the others it follows from the roughness."""

# shape ranges (low, high) in half-spans
SHAPES = {
    # root chord, tip height over the notch, power of the rise, bulge of the trailing edge,
    # notch depth, notch width, leading edge: first and second handle (x, y), tip rounding
    "humpback": {
        "root": (0.5, 0.78), "tip": (-0.02, 0.42), "power": (1.0, 2.4), "bulge": (-0.01, 0.14),
        "notch": (0.02, 0.17), "notch_width": (0.025, 0.14), "fillet": (0.25, 0.6),
        "belly": (0.0, 0.2), "shoulder": (0.92, 1.16), "sweep": (0.2, 0.55), "round": (0.02, 0.16),
        "hollow": (0.1, 0.4), "hollow_width": (0.06, 0.24), "hook": (-0.01, 0.06),
    },
    "sperm": {
        "root": (0.5, 0.66), "tip": (-0.06, 0.12), "power": (0.9, 1.2), "bulge": (0.0, 0.06),
        "notch": (0.05, 0.16), "notch_width": (0.02, 0.05), "fillet": (0.2, 0.4),
        "belly": (0.05, 0.2), "shoulder": (0.78, 1.0), "sweep": (0.15, 0.35), "round": (0.04, 0.2),
        "hollow": (0.1, 0.25), "hollow_width": (0.06, 0.15), "hook": (-0.01, 0.01),
    },
    "blue": {
        "root": (0.36, 0.5), "tip": (-0.02, 0.2), "power": (1.0, 1.6), "bulge": (-0.01, 0.03),
        "notch": (0.01, 0.05), "notch_width": (0.03, 0.08), "fillet": (0.2, 0.4),
        "belly": (0.05, 0.2), "shoulder": (0.85, 1.0), "sweep": (0.12, 0.3), "round": (0.01, 0.05),
        "hollow": (0.1, 0.25), "hollow_width": (0.06, 0.15), "hook": (-0.01, 0.01),
    },
    # convex lobes and a deep notch
    "grey": {
        "root": (0.5, 0.72), "tip": (-0.05, 0.2), "power": (1.2, 2.2), "bulge": (0.05, 0.15),
        "notch": (0.06, 0.17), "notch_width": (0.03, 0.09), "fillet": (0.25, 0.55),
        "belly": (0.0, 0.15), "shoulder": (0.9, 1.12), "sweep": (0.2, 0.5), "round": (0.03, 0.15),
        "hollow": (0.1, 0.35), "hollow_width": (0.06, 0.2), "hook": (-0.01, 0.03),
    },
    # wide, smooth and pointed, a concave trailing edge
    "right": {
        "root": (0.38, 0.55), "tip": (0.08, 0.36), "power": (1.2, 2.2), "bulge": (0.01, 0.09),
        "notch": (0.05, 0.14), "notch_width": (0.025, 0.07), "fillet": (0.25, 0.5),
        "belly": (0.05, 0.2), "shoulder": (0.84, 1.04), "sweep": (0.15, 0.38),
        "round": (0.01, 0.05), "hollow": (0.1, 0.3), "hollow_width": (0.06, 0.18),
        "hook": (-0.01, 0.02),
    },
    "killer": {
        "root": (0.42, 0.62), "tip": (0.0, 0.24), "power": (1.0, 1.8), "bulge": (0.02, 0.1),
        "notch": (0.02, 0.1), "notch_width": (0.02, 0.06), "fillet": (0.2, 0.45),
        "belly": (0.0, 0.15), "shoulder": (0.86, 1.06), "sweep": (0.15, 0.4), "round": (0.02, 0.1),
        "hollow": (0.1, 0.3), "hollow_width": (0.06, 0.18), "hook": (-0.01, 0.02),
    },
}  # fmt: skip


def _evaluate_bezier(points: np.ndarray, at: np.ndarray) -> np.ndarray:
    a, b, c, d = points
    t = at[:, None]
    return (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d


def _build_sheet(shape: dict[str, float], peduncle: float) -> np.ndarray:
    """Build the smooth lobe between its two edges, from the midline (x = 0) to the tip."""
    # cells get shorter towards the tip, where the outline curves most
    at = 1 - (1 - np.linspace(0, 1, ALONG - 1)) ** 1.35
    tip = np.array([1.0, shape["tip"]])
    handles = [
        [peduncle, -shape["root"]],
        [peduncle + shape["fillet"], -shape["root"] + shape["belly"]],
        [shape["shoulder"], shape["tip"] - shape["sweep"]],
        tip,
    ]
    leading = _evaluate_bezier(np.array(handles), at)
    # the leading edge meets the peduncle in a concave curve
    hollow = np.exp(-(leading[:, 0] - peduncle) / shape["hollow_width"])
    leading[:, 1] -= shape["hollow"] * (hollow - hollow[-1])
    x = at
    # two more columns fill the gap between the peduncle's side and the midline
    bridge = peduncle * np.array([0.0, 0.5])
    leading = np.vstack([np.stack([bridge, np.full(2, leading[0, 1])], 1), leading])
    x = np.r_[0.0, 0.35 * x[1], 0.7 * x[1], x[1:]]
    rise = shape["tip"] * x ** shape["power"] + shape["bulge"] * np.sin(np.pi * x**0.8)
    fall = shape["notch"] * np.exp(-((x / shape["notch_width"]) ** 1.2))
    # the tip hooks back: a hollow just inside it
    hook = shape["hook"] * np.exp(-(((x - 0.87) / 0.08) ** 2))
    trailing = np.stack([x, rise - fall - hook], 1)
    # round the tip: beyond `begin` the chord narrows like an ellipse, not like a wedge
    at = np.r_[0.0, 0.0, at]
    begin = 1 - shape["round"]
    middle, half = (leading + trailing) / 2, (trailing - leading) / 2
    first = int(np.searchsorted(at, begin))
    ellipse = np.sqrt(np.clip(1 - ((at - begin) / shape["round"]) ** 2, 0, 1))
    wedge = np.maximum((1 - at) / shape["round"], 1e-6)
    length = np.linalg.norm(half, axis=1, keepdims=True)
    wanted = np.minimum(length[:, 0] * ellipse / wedge, length[first - 1] * ellipse)[:, None]
    half[first:] *= (wanted / np.maximum(length, 1e-9))[first:]
    v = np.linspace(-1, 1, ACROSS + 1)[:, None, None]
    return (middle + v * half).astype(np.float32)


def _draw_raggedness(rng: np.random.Generator, strength: float, nicks: float) -> np.ndarray:
    """Draw the depth of teeth and bites along an edge, in half-spans, from notch to tip."""
    u = np.linspace(0, 1, FINE, dtype=np.float32)
    teeth = np.abs(line_noise(rng, FINE, rng.uniform(9, 24), 2)) + 0.5 * np.abs(
        line_noise(rng, FINE, 60, 2)
    )
    swell = 0.5 + 0.5 * np.abs(line_noise(rng, FINE, 3, 1))
    cut = strength * teeth * swell * np.clip(u * 8, 0.1, 1)
    for _ in range(rng.poisson(nicks)):
        depth, width, where = rng.uniform(0.01, 0.06), rng.uniform(0.006, 0.03), rng.uniform(0, 1)
        bite = np.clip(1 - np.abs((u - where) / width) ** rng.uniform(1, 2.5), 0, 1)
        cut = np.maximum(cut, depth * bite)
    return cut


def _draw_lobe(
    rng: np.random.Generator, shape: dict[str, float], peduncle: float, rough: float, nicks: float
) -> Lobe:
    sheet = _build_sheet(shape, peduncle)
    chord = np.linalg.norm(sheet[-1] - sheet[0], axis=1)
    chord = np.interp(np.linspace(0, ALONG, FINE), np.arange(ALONG + 1), chord)
    # the tip is thin: no more than a third of the chord may be missing
    chord = np.maximum(chord, 1e-3)
    trailing = np.minimum(_draw_raggedness(rng, rough, nicks) / chord, 0.33)
    leading = np.minimum(0.35 * _draw_raggedness(rng, rough * 0.8, nicks) / chord, 0.15)
    return Lobe(sheet, trailing.astype(np.float32), leading.astype(np.float32))


def draw_species(rng: np.random.Generator, species: Mapping[str, float] = SPECIES) -> str:
    """Draw a species by its share; they add up to 1."""
    return str(rng.choice(list(species), p=list(species.values())))


def draw_outline(rng: np.random.Generator, species: Mapping[str, float] = SPECIES) -> Outline:
    """Draw one individual's fluke, of a species by its share; they add up to 1."""
    kind = draw_species(rng, species)
    shape = {name: rng.uniform(*span) for name, span in SHAPES[kind].items()}
    values, parts = ROUGHNESS[kind]
    rough = rng.choice(values, p=parts) * rng.uniform(0.7, 1.4)
    nicks = NICKS.get(kind, 1.2 if rough > 0.003 else 0.3)
    peduncle = rng.uniform(0.08, 0.16)
    sides = []
    for _ in range(2):
        # the two lobes of one animal differ by a few hundredths of the half-span
        own = {
            k: v + rng.normal(0, 0.012) * (k in ("tip", "sweep", "shoulder", "belly"))
            for k, v in shape.items()
        }
        sides.append(_draw_lobe(rng, own, peduncle, float(rough), nicks))
    return Outline(kind, sides[0], sides[1], shape["root"], peduncle)
