"""Looks at photos twice: at the whole to find the flukes, then closely at the box about them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import pytorch_lightning as pl
from torch import Tensor

from flukeseg.data.photo_files import PhotoBatch, enough
from flukeseg.data.photos import resize_photo
from flukeseg.data.tensors import to_tensor
from flukeseg.masks.cleaning import Cleaning, clean
from flukeseg.masks.geometry import Box, tight_box
from flukeseg.masks.prediction import Look
from flukeseg.model.tta import Averaged, View

FIRST = 2 / 3
"""Sides of the first look, of those of the second: enough to find flukes, at half the work."""

MARGIN = 0.2
"""Of the box's sides, about it: a fluke's surroundings tell what is fluke."""

_ALL = Cleaning(hole_share=0, min_coverage=0)


class Module(Protocol):
    """What looks: a module of torch, or an exported file that a runtime computes."""

    size: tuple[int, int]
    views: tuple[View, ...]

    def predict_step(self, batch: dict[str, Tensor], batch_index: int = 0) -> Averaged:
        """Return the averaged views of a batch's `image`, N×3×H×W RGB in 0..1."""


class Looker(pl.LightningModule):
    """Finds flukes, and looks at them as closely as the photo allows.

    A small fluke in a wide frame has few pixels at the network's size; in the second look it has
    as many as one that fills the frame. Where the first finds nothing there is no second.

    Args:
        module: see `Module`.
        views: of each look.
        size: (height, width) that the network sees; None is what it learnt at.
        zoom: whether there is a second look; else the first is of `size`, and all.
    """

    def __init__(
        self,
        module: Module,
        views: tuple[View, ...],
        size: tuple[int, int] | None = None,
        zoom: bool = False,
    ) -> None:
        super().__init__()
        module.views = views
        self.module, self.size, self.zoom = module, size or module.size, zoom
        first = tuple(max(1, round(FIRST * side / 32)) * 32 for side in self.size)
        self.first_size = first if zoom else self.size
        self.enough = enough(self.first_size, zoom)

    def predict_step(self, batch: PhotoBatch, batch_index: int = 0) -> list[list[Look]]:
        """Look at a batch of photos.

        Args:
            batch: `image` at `first_size`; with `zoom`, `photos` at up to `LARGEST` pixels a side.
            batch_index: not used.

        Returns:
            For each photo one look, or two.
        """
        first = self._look(batch["image"])
        if not self.zoom:
            return [[look] for look in first]
        photos = batch["photos"]
        boxes = [
            box_of(look.probability, photo.shape[:2])
            for look, photo in zip(first, photos, strict=False)
        ]
        if not any(boxes):
            return [[look] for look in first]
        # as many as in the batch: how a library adds up depends on a batch's size
        crops = np.zeros((len(first), *self.size, 3), np.uint8)
        for crop, photo, box in zip(crops, photos, boxes, strict=False):
            if box:
                crop[:] = resize_photo(box.cut(photo), self.size)
        second = self._look(to_tensor(crops).to(batch["image"].device))
        boxes += [None] * (len(first) - len(boxes))
        return [
            [one, two._replace(part=share(box, photos[i].shape[:2]))] if box else [one]
            for i, (one, two, box) in enumerate(zip(first, second, boxes, strict=True))
        ]

    def _look(self, image: Tensor) -> list[Look]:
        averaged = self.module.predict_step({"image": image})
        probability, spread, disagreement = (values.cpu().numpy() for values in averaged)
        return [
            Look(probability[i, 0], spread[i, 0], float(disagreement[i]))
            for i in range(len(probability))
        ]


def box_of(probability: np.ndarray, size: tuple[int, int]) -> Box | None:
    """Return the box about the flukes of a first look, with a margin, in a photo of a size.

    Islands below a tenth of the largest fluke are none.
    """
    box = tight_box(clean((probability > 0.5).astype(np.uint8), _ALL).labels)
    if box is None:
        return None
    down, across = size[0] / probability.shape[0], size[1] / probability.shape[1]
    left, top = int(box.x * across), int(box.y * down)
    right = min(size[1], int(np.ceil((box.x + box.width) * across)))
    bottom = min(size[0], int(np.ceil((box.y + box.height) * down)))
    return Box(left, top, max(1, right - left), max(1, bottom - top)).grow(MARGIN, size)


def share(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return a box as shares of a photo's size: left, top, right, bottom."""
    height, width = size
    return (
        box.x / width,
        box.y / height,
        (box.x + box.width) / width,
        (box.y + box.height) / height,
    )
