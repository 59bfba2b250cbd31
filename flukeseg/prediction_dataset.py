"""A finished prediction folder as a torch dataset: photos with their masks, or flukes cut out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypedDict, cast

import numpy as np
import torch
from torch.utils.data import Dataset

from flukeseg.errors import InputError, require_number, require_size
from flukeseg.exchange.predicted_photos import Predictions
from flukeseg.images.reading import MAX_PIXELS, read_mask
from flukeseg.images.resizing import resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.masks.cleaning import Cleaning, clean
from flukeseg.masks.geometry import Box, tight_box
from flukeseg.prediction.journal import read_row_photo


class PredictedSample(TypedDict):
    """`rgbm`: 4×H×W float32 in 0..1, photo and mask. `name`: of the photo's products. `path`: the
    photo. `fluke`: from 1, or 0 for the photo with all of them."""

    rgbm: torch.Tensor
    name: str
    path: str
    fluke: int


class PredictionDataset(Dataset[PredictedSample]):
    """Photos that were predicted on, each with its mask as it is now, corrected or not.

    Photos that are away, or whose masks are, or that were replaced since a person judged theirs,
    are left out, which is logged.

    Args:
        folder: the output of `flukeseg.predict`; no product but the masks is needed.
        size: (height, width) that photos and masks are resized to, each as is right for it; None
            keeps their own.
        margin: None gives each photo; a number each fluke, cut to its box and this share of the
            box's sides on each side, with its own mask.
        transform: from H×W×4 uint8 to the same, such as an augmentation or `MaskDropout`.

    Raises:
        InputError: it is no such folder, no photo is there, or size or margin are out of range; or
            flukes are wanted of a mask that was changed and cannot be read.
    """

    def __init__(
        self,
        folder: str | Path,
        size: tuple[int, int] | None = None,
        margin: float | None = None,
        transform: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.size = None if size is None else require_size("size", size)
        self.margin = None if margin is None else require_number("margin", margin, most=2)
        self.transform = transform
        kept = ("key", "path", "name", "mask", "in_channels", "stamp")
        self.items: list[tuple[dict[str, Any], int]] = []
        predictions = Predictions(folder)
        predictions.leave_out_unusable("the dataset")
        for photo, row in zip(predictions, predictions.rows(), strict=True):
            flukes: Iterable[int] = [0]
            if margin is not None:
                count = row["flukes"] if photo.is_followed else len(photo.flukes)
                flukes = range(1, count + 1)
            self.items += [({k: row[k] for k in kept if k in row}, i) for i in flukes]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> PredictedSample:
        """Return a photo or a fluke.

        Raises:
            InputError: photo or mask cannot be read or are of two sizes, or a fluke is not in the
                mask any more.
        """
        row, fluke = self.items[index]
        photo = read_row_photo(row, MAX_PIXELS)
        mask = read_mask(self.folder / row["mask"])
        if photo.shape[:2] != mask.shape:
            raise InputError(f"{row['mask']} is not of the size of its photo {row['path']}")
        if fluke and self.margin is not None:
            # the smallest share that cleaning takes: what it kept when the mask was made is kept
            labels, areas, _ = clean(mask, Cleaning(0.01, hole_share=0, min_coverage=0))
            if fluke > len(areas):
                raise InputError(
                    f"{row['mask']} has {len(areas)} flukes, not {fluke}; run flukeseg.predict "
                    "again, which follows corrections"
                )
            mask = (labels == fluke).astype(np.uint8)
            box = cast(Box, tight_box(mask)).grow(self.margin, mask.shape)
            photo, mask = box.cut(photo), box.cut(mask)
        rgbm = np.dstack([photo, mask * np.uint8(255)])
        if self.size is not None:
            rgbm = resize_photo(rgbm, self.size)
        if self.transform is not None:
            rgbm = self.transform(rgbm)
        return {"rgbm": to_tensor(rgbm), "name": row["name"], "path": row["path"], "fluke": fluke}
