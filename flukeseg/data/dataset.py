"""Samples for the loaders: decoded once, augmented on each visit, reproducible one by one."""

from __future__ import annotations

from typing import Protocol, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from flukeseg.data.augmentation import Augmentation
from flukeseg.data.pseudo_labels import UNKNOWN
from flukeseg.data.splits import SplitPhoto
from flukeseg.data.start_size import StartSize
from flukeseg.images.tensors import to_tensor


class Sample(TypedDict):
    """One photo: image 3×H×W float32 in 0..1, mask 1×H×W float32 0 or 1, and its name.

    An image of `rgbm` is 4×H×W. Unknown pixels of pseudo-labels are 0.5.
    """

    image: torch.Tensor
    mask: torch.Tensor
    name: str


class PhotoSet(Protocol):
    """Photos and masks by number and epoch."""

    def __len__(self) -> int:
        """Return the number of photos in an epoch."""

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Return name, photo H×W×3 uint8 RGB and mask H×W uint8 (0, 1 or `UNKNOWN`).

        They are of the source's own size, or of another (height, width) if one is given.
        """

    def split(self, use: str, source: str = "") -> list[SplitPhoto]:
        """Return the photos that come from files, as the record of a run's split holds them."""


class FlukeDataset(Dataset[Sample]):
    """Samples of a source, augmented where an augmentation is given.

    Every sample is seeded by (seed, epoch, index). So no two workers, ranks or epochs repeat each
    other, and a sample does not depend on the number of workers or on where a run was interrupted.

    Args:
        source: photos and masks.
        augmentation: for training; None for validation.
        seed: of the run.
        start: other sizes for some epochs.
    """

    def __init__(
        self,
        source: PhotoSet,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        start: StartSize | None = None,
    ) -> None:
        self.source, self.augmentation, self.seed, self.start = source, augmentation, seed, start

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """Return a sample by index, or by (epoch, index) as `EpochSampler` gives it."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return self.sample(epoch, index, self.start.at(epoch) if self.start else None)

    def sample(self, epoch: int, index: int, size: tuple[int, int] | None) -> Sample:
        """Return the sample of an epoch and index, at the source's size or at another."""
        name, photo, mask = self.source.get(index, epoch, size)
        if self.augmentation is not None:
            photo, mask = self.augmentation(photo, mask, (self.seed, epoch, index))
        return {
            "image": to_tensor(photo),
            "mask": torch.from_numpy(np.where(mask == UNKNOWN, 0.5, mask).astype(np.float32))[None],
            "name": name,
        }
