"""A finished prediction folder as a stream of photos with their masks."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.photo_search import STATE
from flukeseg.images.reading import photo_size, read_mask
from flukeseg.masks.cleaning import Cleaning, clean
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.journal import require_same_photo
from flukeseg.prediction.kept_masks import hash_file

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PredictedPhoto:
    """A photo that was predicted on.

    Args:
        path: the photo, absolute.
        given: the path as it was given to the prediction.
        relative: the path inside the folder that all photos of the prediction share, with `/`.
        name: of its products, without suffix.
        size: (height, width) of the upright photo.
        orientation: EXIF's, 1 to 8.
        confidence: the Dice to be expected, 0..1.
        mask_path: the mask's file.
        stamp: of the photo when it was predicted on, see `flukeseg.prediction.inputs.stamp`.
        folder: where the user says the photos lie, or None.
        made_from: SHA-256 of the mask that products and columns were made from; None in old ones.
    """

    path: Path
    given: str
    relative: str
    name: str
    size: tuple[int, int]
    orientation: int
    confidence: float
    mask_path: Path
    stamp: list[int] | None = None
    folder: Path | None = None
    made_from: str | None = None

    @property
    def is_followed(self) -> bool:
        """Whether products and columns were made from the mask as it is now, as far as is known."""
        return self.made_from in (None, hash_file(self.mask_path))

    def require_photo(self) -> Path:
        """Return the photo's path, to be read: the journal may be somebody else's.

        Raises:
            InputError: it is not there, or is not the photo that was predicted on.
        """
        if self.folder is None:
            try:
                require_same_photo(str(self.path), self.stamp)
            except InputError as error:
                raise InputError(f"{error}, or give photos= if the photos were moved") from error
            return self.path
        if not self.path.resolve().is_relative_to(self.folder.resolve()):
            raise InputError(f"{self.path} leads out of photos={self.folder}; remove this link")
        (height, width), (own_height, own_width) = photo_size(self.path), self.size
        if (height, width) != self.size:
            raise InputError(
                f"{self.path} is {width} × {height}, the photo that was predicted on {own_width} × "
                f"{own_height}; name the folder of that one"
            )
        return self.path

    def read_mask(self) -> np.ndarray:
        """Read the mask as it lies in the folder now, corrected or not: H×W uint8, 0 or 1.

        Raises:
            InputError: it cannot be read, or is not as large as the photo.
        """
        height, width = self.size
        mask = read_mask(self.mask_path, max_pixels=height * width)
        if mask.shape != self.size:
            raise InputError(
                f"{self.mask_path} is {mask.shape[1]} × {mask.shape[0]}, its photo {width} × "
                f"{height}; predict on the photo again"
            )
        return mask

    @cached_property
    def flukes(self) -> list[np.ndarray]:
        """Masks H×W uint8, 0 or 1, of the flukes, the largest first; specks are none."""
        # the smallest share that cleaning takes: what it kept when the mask was made is kept
        labels, areas, _ = clean(self.read_mask(), Cleaning(0.01, hole_share=0, min_coverage=0))
        return [(labels == i).astype(np.uint8) for i in range(1, len(areas) + 1)]

    def components(self) -> Iterator[np.ndarray]:
        """Return masks H×W uint8, 0 or 1, of what hangs together in the mask, specks too."""
        count, labels = cv2.connectedComponents(self.read_mask(), connectivity=8)
        return ((labels == i).astype(np.uint8) for i in range(1, count))


class Predictions:
    """The photos of a folder that `flukeseg.predict` wrote, sorted by path, one at a time.

    Photos that could not be read are left out. It can be gone through more than once.

    Args:
        folder: the output of the prediction.
        photos: where the folder that all photos share lies now; None is where they were.

    Raises:
        InputError: it is no such folder, or holds no photo with a mask; there is no such `photos`.
    """

    def __init__(self, folder: str | Path, photos: str | Path | None = None) -> None:
        for key, value in (("predictions", folder), ("photos", photos)):
            if not isinstance(value, str | Path | None):
                raise InputError(f"{key}={value} must be one folder")
        self.folder = Path(folder)
        self.photos = None if photos is None else Path(photos).absolute()
        if self.photos is not None and not self.photos.is_dir():
            raise InputError(f"photos={photos} is not a folder; name where the photos lie now")
        if not (self.folder / STATE).is_dir():
            raise InputError(
                f"predictions={folder} is not a folder that flukeseg.predict wrote; name its output"
            )
        predicted = PredictionFolder(self.folder)
        self._rows, self._kept = predicted.rows(), predicted.kept
        self._left_out = frozenset[str]()
        parents = {str(Path(row["key"]).parent) for row in self._rows if "width" in row}
        if not parents:
            raise InputError(f"predictions={folder} holds no masks; predict on some photos first")
        self._root = os.path.commonpath(parents)

    def __iter__(self) -> Iterator[PredictedPhoto]:
        return (self._photo(row) for row in self.rows())

    def leave_out_unusable(self, what: str) -> None:
        """Go on without photos that, or whose masks, are away, or that were replaced since a person
        judged their masks; say that `what` lacks them, and those that could not be read.

        Raises:
            InputError: all are.
        """
        away, replaced = {}, {}
        for photo, row in zip(self, self.rows(), strict=True):
            if not (photo.path.is_file() and photo.mask_path.is_file()):
                away[row["key"]] = photo.path
            elif self._kept.is_outdated(row):
                replaced[row["key"]] = photo.path
        self._left_out = frozenset({*away, *replaced})
        if next(self.rows(), None) is None:
            first = next(iter((away or replaced).values()))
            raise InputError(
                f"no photo of {self.folder} is there any more with its mask (first: {first}); put "
                "them back"
            )
        unread = [row["key"] for row in self._rows if "width" not in row]
        for found, why in (
            ([*away.values()], "photos or their masks are not there"),
            ([*replaced.values()], "photos were replaced since their masks were drawn or approved"),
            (unread, "photos or their corrected masks could not be read"),
        ):
            if found:
                log.warning("%d %s; left out of %s (first: %s)", len(found), why, what, found[0])

    def rows(self) -> Iterator[dict[str, Any]]:
        """Return the photos' lines of the journal, in the same order."""
        return (row for row in self._rows if "width" in row and row["key"] not in self._left_out)

    def _photo(self, row: Mapping[str, Any]) -> PredictedPhoto:
        relative = os.path.relpath(row["key"], self._root).replace(os.sep, "/")
        return PredictedPhoto(
            path=Path(row["key"]) if self.photos is None else self.photos / relative,
            given=row["path"],
            relative=relative,
            name=row["name"],
            size=(row["height"], row["width"]),
            orientation=row["exif_orientation"],
            confidence=row["confidence"],
            mask_path=self.folder / row["mask"],
            stamp=row.get("stamp"),
            folder=self.photos,
            made_from=row.get("made_from_sha256", row.get("mask_sha256")),
        )
