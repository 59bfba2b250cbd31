"""Water around the whale: waterline, splash, foam, spray, falling water and reflection."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.rendering.blend import blend_over
from flukeseg.rendering.frame import Frame
from flukeseg.rendering.noise import (
    cloud,
    grain,
    line_noise,
    pick_tile,
    plane_noise,
    sample_tile,
    smoothstep,
)

LINE = 1024  # samples along the water's level, over SPAN
SPAN = 3.0  # frame widths, enough for any tilt of the horizon
CALM = 0.12  # share of animals whose reflection is as high as they are, as on a calm sea


@dataclass(frozen=True)
class Wake:
    """Profiles along the water's level, `LINE` samples from −SPAN/2 to SPAN/2, in frame widths."""

    line: np.ndarray  # height of the waterline in front of the whale
    throw: np.ndarray  # height of the splash
    foam: np.ndarray  # extent of the foam towards the viewer


def spread_along(table: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Look up a profile at pixels whose positions along the water's level are given."""
    at = (level / np.float32(SPAN) + np.float32(0.5)) * np.float32(LINE - 1)
    at = np.clip(at, 0, LINE - 1)
    return cv2.remap(table[None], at, np.zeros_like(at), cv2.INTER_LINEAR)


def draw_wake(rng: np.random.Generator, width: float) -> Wake:
    """Draw the wake of a whale that is `width` frame widths wide at the waterline."""
    at = np.linspace(-SPAN / 2, SPAN / 2, LINE, dtype=np.float32)
    cells = min(SPAN / max(width, 0.02) * 2, 400)
    wave = line_noise(rng, LINE, cells, 5) * np.float32(width * rng.uniform(0.008, 0.045))
    off = rng.normal(0, 0.12) * width
    near = np.exp(-(np.abs((at - off) / (width * rng.uniform(0.3, 0.7))) ** 3))
    burst = np.abs(line_noise(rng, LINE, cells * 1.5, 4)) + 0.15
    strength = rng.choice([0.0, 0.025, 0.06, 0.13], p=[0.15, 0.55, 0.22, 0.08])
    throw = near * burst * np.float32(width * strength * rng.uniform(0.5, 1.5))
    wide = np.exp(-(np.abs((at - off) / (width * rng.uniform(0.5, 1.4))) ** 3))
    foam = wide * (np.abs(line_noise(rng, LINE, cells, 3)) + 0.1)
    foam = foam * np.float32(width * rng.choice([0.0, 0.06, 0.3], p=[0.13, 0.5, 0.37]))
    return Wake(*(a.astype(np.float32) for a in (wave, throw, foam)))


def paint_splash(
    rng: np.random.Generator, frame: Frame, wake: Wake, relief: np.ndarray, width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Compute coverage by water, by splash, by splash without single drops; splash brightness.

    All H×W, 0 … 1 (brightness up to 1.05). The third is what cuts the whale's mask.
    """
    p, q = frame.level
    height = spread_along(wake.line, p) - q
    # the painted waves, without ripples, move the waterline on the skin
    swell = cv2.blur(
        relief, (2 * int(0.01 * frame.size[1]) + 1, 2 * int(0.005 * frame.size[1]) + 1)
    )
    height += swell * np.float32(width * rng.uniform(0, 0.02))
    pixel = np.float32(1 / frame.scale[1])
    water = np.clip(0.5 - height / pixel, 0, 1)
    splash, solid = np.zeros(frame.size, np.float32), np.zeros(frame.size, np.float32)
    tone = np.full(frame.size, 0.92, np.float32)
    # only rows that splash or foam can reach
    near = (height < 4 * wake.throw.max() + 3 * pixel) & (height > -3 * wake.foam.max() - 3 * pixel)
    rows = np.flatnonzero(near.any(1))
    if not len(rows):
        return water, splash, solid, tone
    band = slice(rows[0], rows[-1] + 1)
    p, q, height = p[band], q[band], height[band]
    across, away = (g[band] for g in frame.ground)

    unit = np.float32(max(width, 0.01))
    lumps = plane_noise(rng, p, q, unit * np.float32(rng.uniform(0.4, 0.8)), cloud)
    drops = plane_noise(rng, p, q, unit * np.float32(rng.uniform(0.2, 0.45)), grain)
    top = spread_along(wake.throw, p)
    body = top * (np.float32(0.8) + np.float32(0.4) * lumps)
    soft = np.float32(0.25) * top + np.float32(0.008) * unit + pixel
    # splash also hangs below the waterline, with a ragged lower edge
    foot = smoothstep((height + top * (1 + np.float32(0.6) * lumps)) / (0.6 * top + pixel))
    present = np.clip(top / (2 * pixel), 0, 1) * foot
    solid[band] = smoothstep((body - height) / soft) * present
    thrown = smoothstep((body - height + np.float32(0.4) * drops * soft) / soft)
    # breaks up into drops above its top
    fringe = smoothstep(drops * 1.5 - 1.2 - 1.2 * np.maximum(height - body, 0) / (top + pixel))
    thrown = np.maximum(thrown, fringe * np.clip(top * 12 / unit, 0, 1)) * present
    # foam on the water in front of the whale, in perspective like the water
    low = spread_along(wake.foam, p)
    lace = plane_noise(rng, across, away, max(2.2 * width / frame.metre, 0.3), cloud)
    fizz = plane_noise(rng, across, away, max(0.7 * width / frame.metre, 0.1), grain)
    depth = np.maximum(-height, 0) / np.maximum(low, pixel)
    lying = smoothstep(0.75 + 0.55 * lace + 0.3 * fizz - 0.9 * depth) * (height <= pixel)
    lying *= np.clip(low / (2 * pixel), 0, 1)
    # drops and bubbles are smaller than a pixel, so edges are soft
    splash[band] = cv2.GaussianBlur(
        np.maximum(thrown, lying * np.float32(0.9)), (0, 0), max(0.0016 * frame.size[1], 0.3)
    )
    tone[band] = np.clip(0.9 + 0.1 * lumps + 0.05 * drops, 0.5, 1.05)
    return water, splash, solid, tone


def paint_spray(rng: np.random.Generator, frame: Frame, width: float) -> np.ndarray:
    """Paint single drops in the air around the whale: coverage, 0 … 1."""
    image = np.zeros(frame.size, np.uint8)
    count = int(rng.choice([0, 15, 60, 200], p=[0.45, 0.3, 0.17, 0.08]))
    sx, sy = frame.scale
    cos, sin = np.cos(frame.slope), np.sin(frame.slope)
    centre = rng.normal(0, 0.25, 4)[rng.integers(0, 4, count)]
    p = (centre + rng.normal(0, 0.1, count)) * width
    q = -rng.exponential(0.08, count) * width * rng.uniform(0.5, 2)
    radius = rng.exponential(0.0007, count) * np.sqrt(width)
    x = np.clip((frame.contact[0] + cos * p - sin * q) * sx, -99, 1e4)
    y = np.clip((frame.contact[1] + sin * p + cos * q) * sy, -99, 1e4)
    # a drop smaller than a pixel is a fainter pixel
    size = np.maximum(radius * sx, 0.35)
    tone = rng.uniform(110, 255, count) * np.minimum(radius * sx / 0.35, 1)
    # 4 fractional bits
    points = np.round(np.stack([x, y], 1) * 16).astype(np.int32).tolist()
    for at, r, shade in zip(points, np.round(size * 16).astype(int).tolist(), tone, strict=True):
        cv2.circle(image, at, r, int(shade), -1, cv2.LINE_AA, 4)
    return image.astype(np.float32) / 255


def paint_curtain(
    rng: np.random.Generator, frame: Frame, edge: np.ndarray, width: float
) -> np.ndarray:
    """Paint water that falls from a trailing edge (N×2 pixels) to the sea: coverage, 0 … 1."""
    columns = frame.size[1]
    cover = np.zeros(frame.size, np.float32)
    if len(edge) < 8:
        return cover
    # in every column, water falls from the lowest point of the edge
    begin = np.full(columns, np.inf, np.float32)
    order = np.argsort(edge[:, 1])
    column = np.clip(edge[order, 0].astype(int), 0, columns - 1)
    begin[column] = edge[order, 1]
    known = np.isfinite(begin)
    first, last = np.flatnonzero(known)[[0, -1]]
    xs = np.arange(first, last + 1)
    start = np.interp(xs, np.flatnonzero(known), begin[known]).astype(np.float32)
    x, y = (g[:, first : last + 1] for g in frame.grid)
    fall = (y * np.float32(frame.scale[1]) - start) / np.float32(frame.scale[1])
    # from a fluke just lifted, a sheet that reaches the sea; later, short separate strands
    sheet = rng.uniform() < 0.5
    fine = np.float32(width * (rng.uniform(0.08, 0.3) if sheet else rng.uniform(0.25, 0.6)))
    streak = sample_tile(pick_tile(rng, grain), x / fine, y / (fine * (20 if sheet else 9)))
    flow = sample_tile(
        pick_tile(rng, cloud), x / np.float32(width * 0.9), y / np.float32(width * 5)
    )
    if sheet:
        height = np.maximum(np.float32(frame.contact[1]) - start / np.float32(frame.scale[1]), 0)
        drop = (height + np.float32(0.02 * width)) * np.float32(rng.uniform(1, 2))
        body = rng.uniform(0.2, 0.9) + 0.5 * flow + 0.5 * streak
    else:
        drop = np.float32(width * rng.uniform(0.08, 0.35)) * np.exp(0.6 * flow)
        body = rng.uniform(-0.6, 0.5) + 0.6 * flow + 0.75 * streak
    fade = np.clip(1 - fall / drop, 0, 1)
    cover[:, first : last + 1] = smoothstep(body * fade + 0.2 * fade) * fade * (fall > 0)
    return cover * np.float32(rng.uniform(0.5, 0.95))


def paint_reflection(
    rng: np.random.Generator,
    frame: Frame,
    wake: Wake,
    relief: np.ndarray,
    image: np.ndarray,
    alpha: np.ndarray,
    width: float,
) -> None:
    """Paint the reflection of the whale (`image` where `alpha` is 1) on the water, in place."""
    depth = frame.level[1] - spread_along(wake.line, frame.level[0])
    calm = rng.uniform() < CALM
    reach = rng.uniform(0.6, 2.5) if calm else rng.uniform(0.04, 0.3)
    fade = np.exp(-np.maximum(depth, 0) / np.float32(width * reach))
    rows = np.flatnonzero(((depth > 0) & (fade > 0.02)).any(1))
    if not len(rows):
        return
    band = slice(rows[0], rows[-1] + 1)
    depth, fade, relief = depth[band], fade[band], relief[band]
    # a rough sea stretches and breaks up the reflection
    back = depth * np.float32(rng.uniform(2.0, 2.2 if calm else 2.6))
    broken = rng.uniform(0.02, 0.2) if calm else rng.uniform(0.1, 0.5)
    back += relief * (np.maximum(depth, 0) + np.float32(0.01)) * np.float32(broken)
    sx, sy = frame.scale
    sin, cos = np.float32(np.sin(frame.slope)), np.float32(np.cos(frame.slope))
    x, y = (g[band] for g in frame.grid)
    map_x = (x + back * sin) * np.float32(sx) - np.float32(0.5)
    map_y = (y - back * cos) * np.float32(sy) - np.float32(0.5)
    seen = cv2.remap(alpha, map_x, map_y, cv2.INTER_LINEAR)
    weight = seen * fade * (depth > 0) * np.float32(rng.uniform(0.5 if calm else 0.1, 0.85))
    blend_over(image[band], cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR), weight)
