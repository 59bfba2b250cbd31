"""Contact sheets of photos with outlined masks."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np

from flukeseg.atomic_files import atomic_write
from flukeseg.images.encoding import encode_jpeg, encode_png
from flukeseg.images.resizing import resize_photo
from flukeseg.masks.drawing import OUTLINE, draw_outline

T = TypeVar("T")

CAPTION_LINE = 18
"""Height in pixels of a caption's line."""

TRUTH = (0, 255, 0)
"""RGB of a true outline: most colour-blind readers can tell it from a prediction's magenta."""

SHEET_CELL = 384
"""Approximate width in pixels of photos on a sheet: small ones are enlarged for the caption."""


def draw_contours(
    photo: np.ndarray, truth: np.ndarray | None, predicted: np.ndarray | None
) -> np.ndarray:
    """Outline masks on a photo.

    Args:
        photo: H×W×3 uint8 RGB.
        truth: H×W uint8 0 or 1, drawn green; None for none.
        predicted: the same, drawn magenta.

    Returns:
        A new H×W×3 uint8 RGB.
    """
    drawn = photo.copy()
    for mask, colour in ((truth, TRUTH), (predicted, OUTLINE)):
        if mask is not None:
            draw_outline(drawn, mask, colour)
    return drawn


GALLERY_CELL = 256, 160
"""Width and height in pixels of a gallery's cell."""


class Cell(NamedTuple):
    """One photo of a sheet, H×W×3 uint8 RGB, and masks to outline, H×W uint8 0 or 1, or None."""

    caption: str
    photo: np.ndarray
    truth: np.ndarray | None = None
    predicted: np.ndarray | None = None


def draw_sheet(rows: Mapping[str, Sequence[Cell]], path: Path) -> None:
    """Write a sheet of photos with true and predicted outlines, a row for each title.

    Args:
        rows: the photos of each row, by title; all photos have one size.
        path: of the JPEG or PNG file.
    """
    width = next(photo.shape[1] for cells in rows.values() for _, photo, *_ in cells)
    scale = max(1, round(SHEET_CELL / width))
    sheet = []
    for title, cells in rows.items():
        drawn = []
        for caption, *images in cells:
            enlarged = (None if image is None else _enlarge(image, scale) for image in images)
            drawn.append(_captioned(draw_contours(*enlarged), f"{title} {caption}"))
        sheet.append(np.hstack(drawn))
    encode = encode_png if path.suffix.lower() == ".png" else encode_jpeg
    with atomic_write(path) as partial:
        partial.write_bytes(encode(np.vstack(sheet)))


def draw_gallery(cells: Sequence[Cell], columns: int = 6) -> np.ndarray:
    """Arrange photos of any size on white, with captions of one or more lines below.

    Returns:
        H×W×3 uint8 RGB, with as many rows as it takes.
    """
    width, height = GALLERY_CELL
    captions = [caption.split("\n") for caption, *_ in cells]
    below = CAPTION_LINE * max(len(lines) for lines in captions)
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * (height + below), columns * width, 3), 255, np.uint8)
    for number, ((_, photo, *_), lines) in enumerate(zip(cells, captions, strict=True)):
        top, left = number // columns * (height + below), number % columns * width
        scale = min((width - 8) / photo.shape[1], (height - 8) / photo.shape[0])
        fitted = resize_photo(
            photo, (max(1, round(photo.shape[0] * scale)), max(1, round(photo.shape[1] * scale)))
        )
        y, x = top + (height - fitted.shape[0]) // 2, left + (width - fitted.shape[1]) // 2
        sheet[y : y + fitted.shape[0], x : x + fitted.shape[1]] = fitted
        for i, line in enumerate(lines):
            start = top + height + i * CAPTION_LINE
            _write_caption(sheet[start : start + CAPTION_LINE, left : left + width], line, 0)
    return sheet


def draw_galleries(
    rows: Iterable[T], cell: Callable[[T], Cell]
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw galleries until the rows are used up, and yield each with its file name.

    Cells are made in threads.
    """
    rows = iter(rows)
    with ThreadPoolExecutor(2) as threads:
        for number in itertools.count(1):
            sheet = list(itertools.islice(rows, 36))
            if not sheet:
                return
            yield f"{number:04d}.jpg", draw_gallery(list(threads.map(cell, sheet)))


def _enlarge(image: np.ndarray, scale: int) -> np.ndarray:
    # by whole pixels, so that the outline is exactly that of the mask
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)


def _captioned(photo: np.ndarray, caption: str) -> np.ndarray:
    strip = np.zeros((CAPTION_LINE, photo.shape[1], 3), np.uint8)
    _write_caption(strip, caption, 255)
    return np.vstack([strip, photo])


def _write_caption(strip: np.ndarray, caption: str, grey: int) -> None:
    caption = caption.encode(errors="replace").decode()  # OpenCV 5 crashes on other text
    cv2.putText(strip, caption, (3, 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (grey,) * 3, 1, cv2.LINE_AA)
