"""A mask as run lengths in text and as outlines, and back; exact both ways.

What comes back is somebody else's: everything is checked before it is allocated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

MOST_CROSSINGS = 50_000_000
"""Of an outline with rows of pixels; a drawn one has thousands."""


class Outline(NamedTuple):
    """A closed outline, K×2 x, y, of a component or of a hole in one."""

    points: np.ndarray
    is_hole: bool


def compress_runs(counts: Sequence[int]) -> str:
    """Write COCO's run lengths as text: LEB128-like, 5 bits a letter from `0` on.

    From the fourth on a count is written as its difference from the one before last. As
    `rleToString` of pycocotools.
    """
    text = []
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            text.append(chr(48 + bits + 32 * more))
    return "".join(text)


def expand_runs(text: str) -> list[int]:
    """Read what `compress_runs` writes.

    Raises:
        ValueError: it is something else.
    """
    counts: list[int] = []
    value = shift = 0
    for letter in text:
        bits = ord(letter) - 48
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError("its run lengths are damaged")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            if bits & 16:
                value -= 1 << shift
            counts.append(value + counts[-2] if len(counts) > 2 else value)
            value = shift = 0
    if shift:
        raise ValueError("its run lengths are cut short")
    return counts


def mask_of_runs(counts: Sequence[int], size: tuple[int, int]) -> np.ndarray:
    """Return the mask H×W uint8, 0 or 1, of run lengths down the columns, first those of 0.

    Args:
        counts: of pixels.
        size: (height, width).

    Raises:
        ValueError: they are not whole numbers that fill the size.
    """
    height, width = size
    lengths = np.array(counts, np.int64)
    if any(type(count) is not int for count in counts) or (lengths < 0).any():
        raise ValueError("its run lengths are no whole numbers")
    if lengths.max(initial=0) > height * width or lengths.sum() != height * width:
        raise ValueError(f"its run lengths do not fill {width} × {height} pixels")
    values = np.arange(len(lengths), dtype=np.uint8) & 1
    return np.repeat(values, lengths).reshape((height, width), order="F")


def centre_outlines(mask: np.ndarray) -> list[Outline]:
    """Trace a mask H×W uint8 through the centres of its outermost pixels, int32 x, y.

    What fills outlines pixel centre by pixel centre, the outline itself included, as
    `cv2.fillPoly`, Pillow and skimage do, gets the mask again.
    """
    return _trace(mask, cv2.CHAIN_APPROX_SIMPLE)


def edge_outlines(mask: np.ndarray) -> list[Outline]:
    """Trace a mask H×W uint8 along its pixels' edges, int32 x, y from 0 to width and height.

    What fills outlines as areas, as pycocotools does, gets the mask again.
    """
    # in the mask at twice the size a pixel's left edge is at an even place, its right at an odd one
    twice = cv2.resize(mask, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    outlines = []
    for points, is_hole in _trace(twice, cv2.CHAIN_APPROX_NONE):
        corners = (points + 1) // 2
        corners = corners[(corners != np.roll(corners, 1, axis=0)).any(axis=1)]
        before, after = corners - np.roll(corners, 1, 0), np.roll(corners, -1, 0) - corners
        turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
        backs = (before * after).sum(axis=1) < 0
        outlines.append(Outline(corners[turns | backs], is_hole))
    return outlines


def paint_centres(outlines: Iterable[Outline], size: tuple[int, int]) -> np.ndarray:
    """Return the mask H×W uint8, 0 or 1, of outlines as `centre_outlines` gives them.

    Larger outlines are painted first, so that a hole is in what it lies in, and an island in a hole
    is above it. Points that lie between pixels go to the nearest.

    Raises:
        ValueError: a point is no number or far outside.
    """
    mask = np.zeros(size, np.uint8)
    for points, is_hole in _largest_first(outlines, size):
        whole = np.floor(points + 0.5).astype(np.int32)
        cv2.fillPoly(mask, [whole], int(not is_hole))
        if is_hole:  # its outline runs through the pixels around it
            cv2.polylines(mask, [whole], True, 1)
    return mask


def paint_edges(outlines: Iterable[Outline], size: tuple[int, int]) -> np.ndarray:
    """Return the mask H×W uint8, 0 or 1, of outlines as `edge_outlines` gives them, or drawn ones.

    A pixel is inside where its centre is; an outline that crosses itself is filled even-odd.
    Otherwise as `paint_centres`.

    Raises:
        ValueError: as `paint_centres`, or an outline is absurdly long.
    """
    mask = np.zeros(size, np.uint8)
    for points, is_hole in _largest_first(outlines, size):
        mask[_inside(points, size)] = not is_hole
    return mask


def _trace(mask: np.ndarray, approximation: int) -> list[Outline]:
    lines, hierarchy = cv2.findContours(mask, cv2.RETR_CCOMP, approximation)
    if not lines:
        return []
    parents = hierarchy[0][:, 3]
    return [Outline(line[:, 0], parent >= 0) for line, parent in zip(lines, parents, strict=True)]


def _largest_first(outlines: Iterable[Outline], size: tuple[int, int]) -> list[Outline]:
    checked = []
    for outline in outlines:
        points = np.array(outline.points, np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
            raise ValueError("an outline is no list of points x, y")
        if not (np.abs(points) <= 10 * max(size)).all():  # NaN is not either
            raise ValueError("an outline lies outside of the photo")
        checked.append(Outline(points, outline.is_hole))
    return sorted(checked, key=lambda outline: -_area(outline.points))


def _area(points: np.ndarray) -> float:
    x, y = points.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


def _inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return H×W bool of the pixels whose centre is inside, even-odd."""
    height, width = size
    ends = np.roll(points, -1, axis=0)
    down = (points[:, 1] <= ends[:, 1])[:, None]
    (x0, y0), (x1, y1) = np.where(down, points, ends).T, np.where(down, ends, points).T
    first, last = (np.ceil(y - 0.5).clip(0, height).astype(np.int64) for y in (y0, y1))
    count = last - first
    if count.sum() > MOST_CROSSINGS:
        raise ValueError("an outline is too long")
    edge = np.repeat(np.arange(len(points)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count - first, count)
    run = (row + 0.5 - y0[edge]) / (y1 - y0)[edge]
    x = x0[edge] + run * (x1 - x0)[edge]
    column = np.ceil(x - 0.5).clip(0, width).astype(np.int64)
    crossings = np.zeros((height, width + 1), np.uint8)
    np.bitwise_xor.at(crossings, (row, column), 1)
    return np.bitwise_xor.accumulate(crossings, axis=1)[:, :width] > 0
