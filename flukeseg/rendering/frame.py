"""The picture's frame: coordinates of the scene, independent of the number of pixels.

Lengths are in frame widths, x to the right and y down from the top-left corner. A photograph of
any aspect is squeezed into the requested size, as training images are.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Frame:
    """Size of the picture, and position and perspective of the sea in it."""

    size: tuple[int, int]  # height, width in pixels
    aspect: float  # width over height of the photograph before it is resized
    contact: tuple[float, float]  # where the whale meets the water
    horizon: float  # distance of the horizon above the contact, perpendicular to the water
    slope: float  # tilt of the horizon, radians
    metre: float  # frame widths per metre at the contact
    grazing: float  # foreshortening of the sea there: vertical over horizontal scale
    half_span: float  # frame widths that half the fluke's span would cover there, seen head-on
    enlargement: float = 1.0  # width of the photograph that it is cut out of, in frame widths

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels per frame width, along x and along y."""
        return float(self.size[1]), float(self.size[0] * self.aspect)

    @cached_property
    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """x and y of every pixel's centre, H×W float32."""
        sx, sy = self.scale
        x = (np.arange(self.size[1], dtype=np.float32) + 0.5) / np.float32(sx)
        y = (np.arange(self.size[0], dtype=np.float32) + 0.5) / np.float32(sy)
        return np.broadcast_to(x, self.size), np.broadcast_to(y[:, None], self.size)

    @cached_property
    def level(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance of every pixel from the contact, along the water's level and down from it."""
        x, y = self.grid
        cos, sin = np.float32(np.cos(self.slope)), np.float32(np.sin(self.slope))
        x, y = x - np.float32(self.contact[0]), y - np.float32(self.contact[1])
        return cos * x + sin * y, cos * y - sin * x

    @cached_property
    def nearness(self) -> np.ndarray:
        """Scale of the sea at a pixel relative to the contact; 0.02 at and above the horizon."""
        down = self.level[1]
        return np.maximum((down + np.float32(self.horizon)) / np.float32(self.horizon), 0.02)

    @cached_property
    def ground(self) -> tuple[np.ndarray, np.ndarray]:
        """Metres on the sea's surface: along the level and towards the viewer.

        Distance on a plane in perspective grows as 1/nearness. Waves hide what lies behind them,
        so the distant sea looks less foreshortened, hence the smaller exponent below.
        """
        along = self.level[0]
        across = along / (self.nearness * np.float32(self.metre))
        k = np.float32(0.45)
        away = (self.nearness**-k - 1) / k
        return across, -away * np.float32(self.horizon / (self.metre * self.grazing))

    @cached_property
    def footprint(self) -> np.ndarray:
        """Metres of sea that one pixel covers, towards the viewer."""
        step = 1 / (self.metre * self.grazing * self.scale[1])
        return np.float32(step) * self.nearness ** np.float32(-1.45)

    def to_pixels(self, points: np.ndarray) -> np.ndarray:
        """Convert N×2 points from frame widths to continuous pixel coordinates."""
        return points * np.array(self.scale)
