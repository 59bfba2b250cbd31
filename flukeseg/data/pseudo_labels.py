"""Pseudo-labels: masks that a teacher network made, some of whose pixels are unknown.

A mask file has four greys, so that any viewer shows it: 0 not fluke, 64 likely not, 192 likely
fluke, 255 fluke. The two in the middle are unknown, and excluded from the loss.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from flukeseg.csv_cells import unescape_rows
from flukeseg.errors import InputError
from flukeseg.images.reading import MAX_PIXELS, read_mask_levels, read_photo
from flukeseg.images.resizing import resize_mask, resize_photo

UNKNOWN = 2
"""Value of unknown pixels in a mask of 0 and 1."""

COLUMNS = ("photo", "mask", "use")
"""Columns of a list of labels: `use` is train, val or the reason why it is not used."""


def levels_of(probability: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Return the greys of a mask file, H×W uint8, of probabilities and unknown pixels H×W."""
    fluke = probability > 0.5
    sure = np.where(fluke, np.uint8(255), np.uint8(0))
    return np.where(unknown, np.where(fluke, np.uint8(192), np.uint8(64)), sure)


@dataclass(frozen=True)
class Label:
    """One row of a list: a photo, its mask file, and whether it is for validation."""

    photo: Path
    mask: Path
    validates: bool


def read_labels(path: str | Path) -> list[Label]:
    """Read the rows of a `labels.csv` that are to train or to validate on.

    Raises:
        InputError: the file cannot be read, or is not a list of labels.
    """
    try:
        path = Path(path)
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            rows = csv.DictReader(file, strict=True)
            rows = [row for row in unescape_rows(rows) if row["use"] in ("train", "val")]
        for row in rows:  # the list may be somebody else's, and name any file
            if not (path.parent / row["mask"]).resolve().is_relative_to(path.parent.resolve()):
                raise ValueError(f"{row['mask']} is outside its folder")
        return [
            Label(Path(row["photo"]), path.parent / row["mask"], row["use"] == "val")
            for row in rows
        ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} is not a list of labels ({reason}); give the labels.csv of a round of "
            "flukeseg.selftrain"
        ) from error


def load_label(
    label: Label, size: tuple[int, int], max_pixels: int = MAX_PIXELS
) -> tuple[str, np.ndarray, np.ndarray]:
    """Read a photo and its mask, of at most `max_pixels` pixels, at a size.

    Returns:
        Name, photo H×W×3 uint8 RGB, mask H×W uint8: 0, 1 or `UNKNOWN`; for validation the
        likelier of 0 and 1.

    Raises:
        InputError: a file cannot be read, or the mask is of another size than its photo.
    """
    photo = read_photo(label.photo, max_pixels)
    levels = read_mask_levels(label.mask, threshold=63, max_pixels=max_pixels)
    if photo.shape[:2] != levels.shape:
        raise InputError(f"{label.mask} does not have the size of its photo {label.photo}")
    mask = (levels > 127).astype(np.uint8)
    if not label.validates:
        mask[(levels > 31) & (levels < 224)] = UNKNOWN
    return label.photo.name, resize_photo(photo, size), resize_labels(mask, size)


def resize_labels(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an H×W mask of 0, 1 and `UNKNOWN`; a quarter of unknown area makes a pixel unknown."""
    small = resize_mask(mask == 1, size)
    if (mask == UNKNOWN).any():
        shown = cv2.resize(
            (mask == UNKNOWN).astype(np.float32), size[::-1], interpolation=cv2.INTER_AREA
        )
        small[shown > 0.25] = UNKNOWN
    return small
