"""What surrounds a photo in a catalogue: cards, captions, white corners, text stamps."""

from dataclasses import dataclass

import cv2
import numpy as np

from flukeseg.rendering.blend import blend_over

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN)
LETTERS = np.array(list("ABCDEFGHIJKLMNOPRSTUVW0123456789abcdeghilnorstu-/#.  "))


@dataclass(frozen=True)
class Mount:
    """Margins (left, top, right, bottom, as shares of the frame) and what is added to the photo."""

    margins: tuple[float, float, float, float]
    caption: bool
    corners: bool  # the photo was rotated to level the horizon; its corners are white
    stamp: bool
    paper: float


BARE = Mount((0.0, 0.0, 0.0, 0.0), caption=False, corners=False, stamp=False, paper=1.0)


def draw_mount(rng: np.random.Generator) -> Mount:
    """Draw a mount; most photos have none."""
    margins = [0.0, 0.0, 0.0, 0.0]
    caption = False
    kind = rng.uniform()
    if kind < 0.035:  # a typewritten card below the photo
        margins[3], caption = rng.uniform(0.12, 0.4), True
    elif kind < 0.10:  # a narrow caption
        margins[3], caption = rng.uniform(0.06, 0.13), True
    elif kind < 0.13:  # a border on some sides
        margins = list(rng.uniform(0, 0.05, 4) * rng.integers(0, 2, 4))
    return Mount(
        tuple(float(m) for m in margins),
        caption,
        bool(rng.uniform() < 0.3),
        bool(rng.uniform() < 0.08),
        float(rng.uniform(0.88, 1)),
    )


def _random_text(rng: np.random.Generator) -> str:
    return "".join(rng.choice(LETTERS, int(rng.integers(6, 26))))


def _write_text(
    image: np.ndarray, text: str, x: float, y: float, height: float, ink: float, font: int
) -> None:
    """Write text at x, y (lower left), `height` high; all are shares of the frame's size."""
    rows, columns = image.shape[:2]
    scale = height * rows / cv2.getTextSize("A", font, 1.0, 1)[0][1]
    thick = max(1, round(height * rows / 12))
    at = (int(x * columns), int(y * rows))
    cover = np.zeros((rows, columns), np.uint8)
    cv2.putText(cover, text, at, font, scale, 255, thick, cv2.LINE_AA)
    blend_over(image, np.full(3, ink, np.float32), cover / np.float32(255))


def paint_mount(
    rng: np.random.Generator, mount: Mount, slope: float, aspect: float, image: np.ndarray
) -> np.ndarray | None:
    """Paint the mount over a photo in place; return 1 where the photo is visible (None: all)."""
    height, width = image.shape[:2]
    kept = np.full((height, width), 1, np.uint8)
    left, top, right, bottom = mount.margins
    if mount.corners and 0.04 < abs(slope) < 0.5:
        cos, sin = np.cos(slope), np.sin(slope)
        # the rotated photo, in frame widths, large enough that only corners are missing
        grow = rng.uniform(0.82, 1.04)
        half = np.array([0.5, 0.5 / aspect]) * grow + 0.3 * abs(sin) * np.array([1 / aspect, 1]) / 2
        box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
        box = box @ np.array([[cos, sin], [-sin, cos]]) + [0.5, 0.5 / aspect]
        pixels = box * [width, height * aspect]
        kept[:] = 0
        cv2.fillPoly(kept, [np.round(pixels).astype(np.int32)], 1)
    kept[: round(top * height)] = 0
    kept[height - round(bottom * height) :] = 0
    kept[:, : round(left * width)] = 0
    kept[:, width - round(right * width) :] = 0
    covers_nothing = bool(kept.all())
    if not covers_nothing:
        image[kept == 0] = mount.paper
    font = FONTS[rng.integers(len(FONTS))]
    if mount.caption:
        lines = int(rng.integers(1, 5)) if bottom > 0.12 else 1
        letter = min(bottom / lines * rng.uniform(0.3, 0.55), 0.05)
        ink = rng.uniform(0, 0.55) * mount.paper
        for row in range(lines):
            y = 1 - bottom + (row + 0.8) * bottom / lines
            _write_text(image, _random_text(rng), rng.uniform(0.01, 0.25), y, letter, ink, font)
            if rng.uniform() < 0.4:
                _write_text(image, _random_text(rng), rng.uniform(0.5, 0.8), y, letter, ink, font)
        if rng.uniform() < 0.4:
            y = height - round(bottom * height)
            cv2.line(image, (0, y), (width, y), (ink, ink, ink), 1, cv2.LINE_AA)
    if mount.stamp:
        ink = float(rng.choice([0.05, 0.95]))
        x, y = rng.choice([0.02, 0.62]), rng.choice([0.06, 0.97])
        _write_text(
            image, _random_text(rng), float(x), float(y), rng.uniform(0.02, 0.05), ink, font
        )
    return None if covers_nothing else kept
