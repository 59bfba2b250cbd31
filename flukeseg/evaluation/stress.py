"""Photos under conditions of the field, to measure what each condition costs.

Random numbers depend only on (VERSION, condition, key): a photo has the same glare on every
machine, whatever else is evaluated and in whatever order. The mask changes only with the geometry.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from flukeseg.errors import InputError
from flukeseg.images.resizing import resize_mask, resize_photo
from flukeseg.images.warping import LONGEST

VERSION = 1
"""Results can be compared within one version; a change to a transform raises it."""

Pair = tuple[np.ndarray, np.ndarray]
Condition = Callable[[np.ndarray, np.ndarray, np.random.Generator], Pair]

# Light is additive in linear values, not in a photo's levels: sRGB's curve and its inverse, in 16
# bits, which keep the darkest levels distinct.
_LEVEL, _LIGHT = np.arange(256) / 255, np.arange(65536) / 65535
_TO_LIGHT = np.where(_LEVEL <= 0.04045, _LEVEL / 12.92, ((_LEVEL + 0.055) / 1.055) ** 2.4)
_TO_LIGHT = _TO_LIGHT.astype(np.float32)
_TO_LEVEL = np.where(_LIGHT <= 0.0031308, 12.92 * _LIGHT, 1.055 * _LIGHT ** (1 / 2.4) - 0.055)
_TO_LEVEL = np.rint(255 * _TO_LEVEL).astype(np.uint8)


def stress(name: str, photo: np.ndarray, mask: np.ndarray, key: str) -> Pair:
    """Return new versions of a photo H×W×3 uint8 RGB and its mask H×W uint8 0 or 1.

    Args:
        name: one of CONDITIONS.
        photo: sides of 1 to 32,766 pixels.
        mask: may be empty, or full.
        key: the photo's stem; seeds the random numbers, together with the name.

    Raises:
        InputError: there is no such condition, or the photo is too long.
    """
    if name not in CONDITIONS:
        raise InputError(f"there is no condition {name!r}: choose from {', '.join(CONDITIONS)}")
    if max(photo.shape) > LONGEST:
        raise InputError(f"photo {key} has a side of over {LONGEST} pixels: make it smaller")
    # macOS writes é as two characters; stems that are not valid Unicode have surrogates
    text = unicodedata.normalize("NFC", f"{VERSION}/{name}/{key}").encode("utf-8", "surrogatepass")
    seed = int.from_bytes(hashlib.sha256(text).digest(), "big")
    changed = CONDITIONS[name](photo, mask, np.random.default_rng(seed))
    return np.array(changed[0], order="C"), np.array(changed[1], order="C")


def grey(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """Black-and-white film, as older catalogues are: luminance in three channels."""
    return cv2.merge([cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)] * 3), mask


def glare(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """Low sun on wet skin and water: overexposed patches, glitter around them, and a faint veil.

    Three soft patches of 300 flat sparks each, most of them brighter than white, lie around a point
    of the fluke (without one, of the frame). All sizes scale with the fluke's longer side, so that
    part of the fluke is lost, whatever its share of the frame.
    """
    lit = mask if mask.any() else np.ones_like(mask)
    spots = np.flatnonzero(lit)
    here = np.array(divmod(int(spots[rng.integers(spots.size)]), mask.shape[1]))[::-1]
    reach = max(np.ptp(np.flatnonzero(lit.any(axis))) + 1 for axis in (0, 1))

    def patch(x: float, y: float, a: float, b: float) -> np.ndarray:
        down, across = np.arange(mask.shape[0]) - y, np.arange(mask.shape[1]) - x
        return np.outer(np.exp(-0.5 * (down / b) ** 2), np.exp(-0.5 * (across / a) ** 2))

    light = 0.1 * patch(*here, 0.5 * reach, 0.3 * reach)
    sparks = np.zeros(mask.shape, np.uint8)
    for i in range(3):
        middle = here + (i > 0) * reach * rng.normal(0, (0.15, 0.06))  # the first is on the point
        spread = reach * rng.uniform((0.03, 0.015), (0.07, 0.035))
        light += rng.uniform(1, 2) * patch(*middle, *spread)
        for _ in range(300):
            at = middle + spread * rng.normal(0, (1.8, 1.5))
            a = reach * 0.0006 * 10 ** rng.uniform(0, 0.9)
            b = a * rng.uniform(0.15, 0.4)
            x, y, *axes = (round(16 * float(value)) for value in (*at, a, b))
            # OpenCV draws no ellipse smaller than a pixel: it is made darker instead
            level = rng.integers(60, 256) * min(1, np.pi * a * b)
            cv2.ellipse(sparks, (x, y), axes, 0, 0, 360, float(level), -1, cv2.LINE_AA, shift=4)
    light += cv2.GaussianBlur(sparks, (0, 0), 0.3 + 0.0005 * reach) / 100
    return _developed(_TO_LIGHT[photo] + light[..., None].astype(np.float32)), mask


def motion_blur(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """A moving boat and a slow shutter: blurred along a line of 2 % of the width."""
    half = 0.01 * photo.shape[1]
    angle = rng.uniform(0, np.pi)
    ends = int(half) + 1
    y, x = np.mgrid[-ends : ends + 1, -ends : ends + 1]
    along = np.abs(x * np.cos(angle) + y * np.sin(angle))
    across = np.abs(y * np.cos(angle) - x * np.sin(angle))
    line = np.clip(half + 0.5 - along, 0, 1) * np.clip(1 - across, 0, 1)
    # symmetric, so that the fluke stays where its mask is
    return _developed(cv2.filter2D(_TO_LIGHT[photo], -1, line / line.sum())), mask


def jpeg_20(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """A photo sent by a messenger: JPEG of quality 20."""
    _, data = cv2.imencode(".jpg", photo[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 20])
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1], mask


def quarter_size(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """A thumbnail, or a distant fluke: a quarter of each side, by area; at least 1 pixel."""
    size = tuple(max(1, round(side / 4)) for side in mask.shape)
    return resize_photo(photo, size), resize_mask(mask, size)


def tilt_15(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """A tilted camera: rotated by 15° either way around the centre, in a frame of the same size.

    Zoomed until the photo fills the frame (1.35 times at 3:2, 1.74 at 3:1), so that nothing is
    invented: a reflected border would show parts of flukes that do not exist. In return, tips of
    wide flukes leave the frame, as they do at sea. A photo with a side of 1 pixel is not rotated.
    """
    angle = np.deg2rad(15) * rng.choice((-1, 1))
    extent = np.array(photo.shape[1::-1]) - 1.0  # between the middles of the outermost pixels
    if extent.min() < 1:
        return photo, mask
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turn /= (np.abs(turn) @ extent / extent).max()
    middle = extent / 2
    matrix = np.column_stack([turn, middle - turn @ middle])  # from the new frame to the photo

    def warped(image: np.ndarray, interpolation: int) -> np.ndarray:
        flags, border = interpolation | cv2.WARP_INVERSE_MAP, cv2.BORDER_REFLECT_101
        return cv2.warpAffine(image, matrix, mask.shape[::-1], flags=flags, borderMode=border)

    soft = warped(mask.astype(np.float32), cv2.INTER_LINEAR)
    return warped(photo, cv2.INTER_CUBIC), (soft > 0.5).astype(np.uint8)


def cut(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """A fluke partly outside the frame: cropped from one side, through the fluke.

    25 to 35 % of its columns (left, right) or rows (top, bottom) are outside; without a fluke, a
    quarter of the frame. A fluke of one column or row is kept, at the new edge.
    """
    axis, far, share = rng.integers(2), rng.integers(2), rng.uniform(0.25, 0.35)
    held = mask.any(axis=1 - axis)
    if not held.any():
        held, share = np.ones_like(held), 0.25
    # counted from the side that is cropped; the new edge is a line with fluke
    lines = np.flatnonzero(held[::-1] if far else held)
    outside = min(max(1, round(share * lines.size)), lines.size - 1)
    kept = slice(lines[outside], None) if not far else slice(None, held.size - lines[outside])
    where = (kept, slice(None)) if axis == 0 else (slice(None), kept)
    return photo[where], mask[where]


def dark(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """Against the light, or at dusk: 2 to 3 stops underexposed, with sensor noise.

    Standard deviations of the noise, in linear light with white as 1: 0.002 of reading and
    0.02 √light of photons.
    """
    light = _TO_LIGHT[photo] * np.float32(2 ** -rng.uniform(2, 3))
    noise = rng.standard_normal(light.shape, np.float32)
    return _developed(light + noise * np.sqrt(4e-6 + 4e-4 * light)), mask


def text_card(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Pair:
    """A scanned catalogue card: a typed strip, 14 to 20 % of the height, above or below the photo.

    It is added beside the photo, so that it hides no fluke; the mask is 0 there.
    """
    height, width = max(1, round(mask.shape[0] * rng.uniform(0.14, 0.20))), mask.shape[1]
    above, number = rng.integers(2), rng.integers(1000, 10_000)
    day, year = rng.integers(1, 29), rng.integers(1970, 2020)
    month = rng.choice(["JAN", "MAR", "MAY", "JUL", "AUG", "OCT"])
    place = rng.choice(["GULF OF MAINE", "SILVER BANK", "ICY STRAIT", "TONGA", "DISKO BAY"])
    lines = f"NO. {number} MEGAPTERA NOVAEANGLIAE", f"{day:02d} {month} {year} {place}"
    pitch = min(0.26 * height, width / (max(map(len, lines)) + 1))  # equal space for each letter
    ink = Image.new("L", (width, height))
    if pitch >= 2:
        # Pillow's own font: OpenCV 4 and 5 draw theirs differently
        draw, font = ImageDraw.Draw(ink), ImageFont.load_default(1.3 * pitch)
        for line, middle in zip(lines, (0.3, 0.7), strict=True):
            for i, letter in enumerate(line):
                at = pitch * (i + 1), height * middle + pitch * rng.normal(0, 0.02)
                draw.text(at, letter, fill=int(rng.integers(200, 256)), font=font, anchor="mm")
    paper = np.array((236, 229, 208)) + rng.normal(0, 4, 3) + rng.normal(0, 2, (height, width, 1))
    card = paper * (1 - np.asarray(ink)[..., None] / 300)
    card = np.rint(card.clip(0, 255)).astype(np.uint8)
    order = slice(None, None, -1 if above else 1)
    none = np.zeros((height, width), mask.dtype)
    return np.concatenate([photo, card][order]), np.concatenate([mask, none][order])


def _developed(light: np.ndarray) -> np.ndarray:
    """Convert linear light, with white as 1, to sRGB levels uint8."""
    return _TO_LEVEL[(light.clip(0, 1) * 65535 + 0.5).astype(np.uint16)]


_ALL = (grey, glare, motion_blur, jpeg_20, quarter_size, tilt_15, cut, dark, text_card)
CONDITIONS: dict[str, Condition] = {condition.__name__: condition for condition in _ALL}
