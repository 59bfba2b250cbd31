"""Random fields of any extent: tileable textures, made once per process, sampled at any scale."""

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

Kind = Callable[[int], np.ndarray]  # tile number -> tile
TILE = 256  # side in pixels: fine enough for four octaves, small enough for the CPU cache
TILES = 12  # tiles of each kind; random offset and rotation hide that they repeat


def _spectrum_frequencies() -> tuple[np.ndarray, np.ndarray]:
    """Cycles per tile along x and y, in the order of `np.fft`."""
    cycles = np.fft.fftfreq(TILE, 1 / TILE).astype(np.float32)
    return np.meshgrid(cycles, cycles)


def _standardise(field: np.ndarray) -> np.ndarray:
    return ((field - field.mean()) / field.std()).astype(np.float32)


@cache
def cloud(number: int) -> np.ndarray:
    """Make fractal noise, `TILE` × `TILE` float32, tileable, mean 0, variance 1."""
    rng = np.random.default_rng((1, number))
    fx, fy = _spectrum_frequencies()
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf
    white = np.fft.fft2(rng.standard_normal((TILE, TILE)))
    return _standardise(np.fft.ifft2(white * radius**-1.25).real)


@cache
def grain(number: int) -> np.ndarray:
    """Make band-limited noise (6 to 64 cycles per tile) for speckles, foam and barnacles."""
    rng = np.random.default_rng((2, number))
    fx, fy = _spectrum_frequencies()
    radius = np.hypot(fx, fy)
    band = np.exp(-((np.log2(np.maximum(radius, 1e-3)) - 4.3) ** 2) / 1.2)
    white = np.fft.fft2(rng.standard_normal((TILE, TILE)))
    return _standardise(np.fft.ifft2(white * band / np.maximum(radius, 1)).real)


@cache
def waves(number: int) -> np.ndarray:
    """Make the slope of a wind sea running along y, tileable, mean 0, variance 1.

    A surface with random phases and a broad directional spectrum is displaced towards the crests
    (Tessendorf, "Simulating Ocean Water", SIGGRAPH course notes, 2001): crests become sharp and
    troughs wide.
    """
    rng = np.random.default_rng((3, number))
    fx, fy = _spectrum_frequencies()
    radius = np.maximum(np.hypot(fx, fy), 1e-3)
    spread = np.abs(fy / radius) ** 1.5 + 0.25
    band = np.exp(-((3.5 / radius) ** 4)) * radius**-2.4 * spread
    white = np.fft.fft2(rng.standard_normal((TILE, TILE)))
    height = np.fft.ifft2(white * band)
    pull = [np.fft.ifft2(white * band * -1j * f / radius).real for f in (fx, fy)]
    height, strength = height.real, 5.0 / height.real.std()
    y, x = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    map_x, map_y = (
        (np.mod(at + strength * by * 0.55, TILE)).astype(np.float32)
        for at, by in ((x, pull[0]), (y, pull[1]))
    )
    height = cv2.remap(
        height.astype(np.float32), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    slope = np.roll(height, -1, 0) - np.roll(height, 1, 0)
    return np.clip(_standardise(slope), -3, 3)


def sample_tile(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Sample a repeating tile at x, y (float32 arrays of one shape, in tiles)."""
    return cv2.remap(
        tile,
        (x - np.floor(x)) * np.float32(TILE),
        (y - np.floor(y)) * np.float32(TILE),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )


def pick_tile(rng: np.random.Generator, kind: Kind = cloud) -> np.ndarray:
    """Pick one of the tiles of a kind at random."""
    return kind(int(rng.integers(TILES)))


def plane_noise(
    rng: np.random.Generator,
    x: np.ndarray,
    y: np.ndarray,
    size: float,
    kind: Kind = cloud,
    turn: float | None = None,
) -> np.ndarray:
    """Sample randomly placed noise at x, y; `size` is the side of a tile in units of x, y."""
    if turn is None:
        turn = rng.uniform(0, 2 * np.pi)
    cos, sin = np.float32(np.cos(turn) / size), np.float32(np.sin(turn) / size)
    off = rng.uniform(0, 1, 2).astype(np.float32)
    return sample_tile(pick_tile(rng, kind), cos * x - sin * y + off[0], sin * x + cos * y + off[1])


def line_noise(rng: np.random.Generator, count: int, cells: float, octaves: int = 4) -> np.ndarray:
    """Make 1D fractal noise, about ±1: `count` float32 samples over `cells` coarsest cells."""
    at = np.linspace(0, 1, count, dtype=np.float32)
    total = np.zeros(count)
    for octave in range(octaves):
        knots = int(np.ceil(cells * 2**octave)) + 2
        where = at * np.float32(cells * 2**octave)
        left = np.floor(where)
        where = left + smoothstep(where - left)  # smooths the corners of linear interpolation
        total += np.interp(where, np.arange(knots), rng.standard_normal(knots)) / 2**octave
    return (0.75 * total).astype(np.float32)


def smoothstep(x: np.ndarray) -> np.ndarray:
    """Hermite interpolation from 0 at x ≤ 0 to 1 at x ≥ 1."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
