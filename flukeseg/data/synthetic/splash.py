"""Water that the whale throws about: the line where it meets the sea, splash, spray, drips."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.data.synthetic.frame import Frame
from flukeseg.data.synthetic.noise import cloud, grain, line, plane, smoothstep

LINE = 2048  # samples along the water's level, over SPAN
SPAN = 3.0  # frame widths, enough for any slope of the sea


@dataclass(frozen=True)
class Wake:
    """Heights over the sea's level, in frame widths, along it from −SPAN/2 to SPAN/2."""

    line: np.ndarray  # the waterline: crests in front of the whale
    throw: np.ndarray  # how high splash stands
    foam: np.ndarray  # how far foam reaches towards the viewer


def along(table: np.ndarray, frame: Frame) -> np.ndarray:
    """Spread a table along the water's level over the picture."""
    at = (frame.level[0] / np.float32(SPAN) + np.float32(0.5)) * np.float32(LINE - 1)
    at = np.clip(at, 0, LINE - 1)
    return cv2.remap(table[None], at, np.zeros_like(at), cv2.INTER_LINEAR)


def draw_wake(rng: np.random.Generator, width: float, stock: float) -> Wake:
    """Draw the wake of a whale whose body is `width` wide at the water, its stock `stock`."""
    at = np.linspace(-SPAN / 2, SPAN / 2, LINE, dtype=np.float32)
    cells = SPAN / max(width, 0.02) * 2.5
    wave = line(rng, LINE, min(cells, 400), 4) * np.float32(width * rng.uniform(0.01, 0.05))
    off = rng.normal(0, 0.15) * width
    near = np.exp(-(np.abs((at - off) / (width * rng.uniform(0.35, 0.75))) ** 3))
    burst = np.abs(line(rng, LINE, min(cells * 2, 400), 4))
    strength = rng.choice([0.0, 0.04, 0.12, 0.3], p=[0.2, 0.4, 0.28, 0.12])
    throw = near * burst * np.float32(width * strength * rng.uniform(0.5, 1.5))
    wide = np.exp(-(np.abs((at - off) / (width * rng.uniform(0.5, 1.2))) ** 3))
    foam = wide * np.abs(line(rng, LINE, min(cells, 400), 3))
    foam = foam * np.float32(width * rng.choice([0.0, 0.05, 0.25], p=[0.25, 0.45, 0.3]))
    return Wake(*(a.astype(np.float32) for a in (wave, throw, foam)))


def paint_splash(
    rng: np.random.Generator, frame: Frame, wake: Wake, width: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return water's cover over the whale, splash's cover, and splash's brightness, 0 … 1."""
    p, q = frame.level
    height = along(wake.line, frame) - q
    pixel = np.float32(1 / frame.scale[1])
    water = np.clip(0.5 - height / pixel, 0, 1)
    unit = np.float32(max(width, 0.01))
    lumps = plane(rng, p, q, unit * np.float32(0.9), cloud)
    drops = plane(rng, p, q, unit * np.float32(rng.uniform(0.25, 0.5)), grain)
    top = along(wake.throw, frame)
    low = along(wake.foam, frame)
    body = top * (np.float32(0.8) + np.float32(0.35) * lumps)
    over = (body - height) / np.maximum(top, 1e-4)
    splash = smoothstep(over * np.float32(1.6) + drops * np.float32(0.35)) * (height > -top * 0.3)
    splash *= np.clip(top / (2 * pixel), 0, 1)
    # foam lying on the water in front
    lace = 1.1 - np.abs(drops) - np.float32(0.5) * lumps
    lying = smoothstep(lace - 1.2 * np.maximum(-height, 0) / np.maximum(low, 1e-4)) * (height <= pixel)
    lying *= np.clip(low / (2 * pixel), 0, 1)
    cover = np.maximum(splash, lying)
    tone = np.clip(0.9 + 0.12 * lumps + 0.08 * drops, 0.4, 1.05)
    return water, cover, tone


def paint_spray(rng: np.random.Generator, frame: Frame, wake: Wake, width: float) -> np.ndarray:
    """Single drops in the air, 0 … 1."""
    image = np.zeros(frame.size, np.uint8)
    count = int(rng.choice([0, 25, 120, 350], p=[0.35, 0.35, 0.2, 0.1]))
    sx, sy = frame.scale
    cos, sin = np.cos(frame.slope), np.sin(frame.slope)
    p = rng.normal(0, 0.35, count) * width
    q = -rng.exponential(0.12, count) * width * rng.uniform(0.5, 2)
    radius = rng.uniform(0.0008, 0.0035, count) * np.sqrt(width)
    x = (frame.contact[0] + cos * p - sin * q) * sx
    y = (frame.contact[1] + sin * p + cos * q) * sy
    tone = rng.integers(90, 256, count)
    for k in range(count):
        size = (max(int(radius[k] * sx * 16), 6), max(int(radius[k] * sy * 16), 6))
        at = (int(np.clip(x[k], -99, 9999) * 16), int(np.clip(y[k], -99, 9999) * 16))
        cv2.ellipse(image, at, size, 0, 0, 360, int(tone[k]), -1, cv2.LINE_AA, 4)
    return image.astype(np.float32) / 255
