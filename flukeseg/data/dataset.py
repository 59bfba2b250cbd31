"""Samples for the loaders: decoded once, augmented on each visit, reproducible one by one."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from flukeseg.data.augmentation import Augmentation
from flukeseg.data.photos import resize_photo
from flukeseg.data.synthetic import render
from flukeseg.data.taught import UNKNOWN, resize_taught
from flukeseg.data.tensors import to_tensor
from flukeseg.errors import pair_of_sides, whole


class Sample(TypedDict):
    """One photo: image 3×H×W float32 in 0..1, mask 1×H×W float32 0 or 1, and its name.

    Of masks that a teacher made, unknown pixels are 0.5.
    """

    image: torch.Tensor
    mask: torch.Tensor
    name: str


class Source(Protocol):
    """Where photos come from, by number and epoch."""

    def __len__(self) -> int:
        """Return the number of photos in an epoch."""

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Return name, photo H×W×3 uint8 RGB and mask H×W uint8 (0, 1 or `UNKNOWN`).

        They are of the source's own size, or of another (height, width) if one is given.
        """


@dataclass(frozen=True)
class Start:
    """A smaller size for the first epochs: most is learnt there, at a fraction of the time.

    Args:
        size: (height, width).
        epochs: how many.

    Raises:
        InputError: either is none.
    """

    size: tuple[int, int]
    epochs: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", pair_of_sides("data.start.size", self.size))
        whole("data.start.epochs", self.epochs)

    def at(self, epoch: int) -> tuple[int, int] | None:
        """Return the size of an epoch; None is the final one."""
        return self.size if epoch < self.epochs else None


class CachedPhotos:
    """Photos and masks in memory, as tensors: workers share these rather than copy them.

    Args:
        names: N names.
        photos: N×H×W×3 uint8 RGB.
        masks: N×H×W uint8, 0, 1 or `UNKNOWN`.
    """

    def __init__(self, names: list[str], photos: np.ndarray, masks: np.ndarray) -> None:
        self.names = names
        self.photos = torch.from_numpy(np.ascontiguousarray(photos))
        self.masks = torch.from_numpy(np.ascontiguousarray(masks))

    @classmethod
    def stacked(cls, items: Sequence[tuple[str, np.ndarray, np.ndarray]]) -> CachedPhotos:
        """Of names, photos and masks, all of one size."""
        names, photos, masks = zip(*items, strict=True)
        return cls(list(names), np.stack(photos), np.stack(masks))

    @classmethod
    def joined(cls, several: Sequence[CachedPhotos]) -> CachedPhotos:
        """All photos of several, in order."""
        return cls(
            [name for one in several for name in one.names],
            np.concatenate([one.photos.numpy() for one in several]),
            np.concatenate([one.masks.numpy() for one in several]),
        )

    def __len__(self) -> int:
        return len(self.names)

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Return the photo of this number, the same in every epoch."""
        photo, mask = self.photos[index].numpy(), self.masks[index].numpy()
        if size is not None:
            photo, mask = resize_photo(photo, size), resize_taught(mask, size)
        return self.names[index], photo, mask


def seed_of(seed: int, *place: int) -> int:
    """Return a seed for one of the parts, steps or processes that share a run's seed."""
    return int(np.random.SeedSequence((seed, *place)).generate_state(1)[0])


class RenderedFlukes:
    """Flukes rendered on the fly, new ones in every epoch.

    Args:
        count: photos in an epoch.
        size: (height, width).
        seed: first part of each picture's seed; equal seeds give equal pictures.
        without: parts that are left out, see `render`.
    """

    def __init__(
        self, count: int, size: tuple[int, int], seed: int, without: Collection[str] = ()
    ) -> None:
        self.count, self.size, self.seed, self.without = count, size, seed, without

    def __len__(self) -> int:
        return self.count

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Render the fluke of this number and epoch."""
        picture = render((self.seed, epoch, index), size or self.size, self.without)
        return f"rendered_{self.seed}_{epoch}_{index}", picture.image, picture.mask

    def cached(self) -> CachedPhotos:
        """Render the first epoch once and keep it: for validation, the same at every turn."""
        return CachedPhotos.stacked([self.get(i, epoch=0) for i in range(self.count)])


class FlukeDataset(Dataset[Sample]):
    """Samples of a source, augmented where an augmentation is given.

    Its randomness is seeded anew for every sample from (seed, epoch, index). So no two
    workers, ranks or epochs repeat each other, and a picture does not depend on how many workers
    there are or on where a run was interrupted.

    Args:
        source: photos and masks.
        augmentation: for training; None for validation.
        seed: of the run.
        start: a smaller size for the first epochs.
    """

    def __init__(
        self,
        source: Source,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        start: Start | None = None,
    ) -> None:
        self.source, self.augmentation, self.seed, self.start = source, augmentation, seed, start

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, key: int | tuple[int, int]) -> Sample:
        """Return a sample by index, or by (epoch, index) as `EpochSampler` gives it."""
        epoch, index = key if isinstance(key, tuple) else (0, key)
        return self.sample(epoch, index, self.start.at(epoch) if self.start else None)

    def sample(self, epoch: int, index: int, size: tuple[int, int] | None) -> Sample:
        """Return the sample of an epoch and index, at another size than the source's if given."""
        name, photo, mask = self.source.get(index, epoch, size)
        if self.augmentation is not None:
            photo, mask = self.augmentation(photo, mask, (self.seed, epoch, index))
        return {
            "image": to_tensor(photo),
            "mask": torch.from_numpy(np.where(mask == UNKNOWN, 0.5, mask).astype(np.float32))[None],
            "name": name,
        }


class EpochSampler(Sampler[tuple[int, int]]):
    """Every index once, shuffled by (seed, epoch), each with its epoch.

    The epoch travels with the index, so that workers that live on through the epochs know it.
    Lightning calls `set_epoch` before each epoch, after a resume too.

    Several processes share each batch of what a single one would see, so that they learn from the
    same batches in the same order. All must come to the same number: only the last batch, where it
    does not divide, is filled up with photos of its own.

    Args:
        length: number of samples.
        seed: of the run.
        batch_size: of one process.
        rank: which process this is.
        ranks: how many there are.
    """

    def __init__(
        self, length: int, seed: int, batch_size: int = 1, rank: int = 0, ranks: int = 1
    ) -> None:
        self.length, self.seed, self.epoch = length, seed, 0
        self.batch_size, self.rank, self.ranks = batch_size, rank, ranks

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size * self.ranks)
        return whole * self.batch_size + math.ceil(rest / self.ranks)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        for start in range(0, self.length, self.batch_size * self.ranks):
            batch = order[start : start + self.batch_size * self.ranks]
            share = math.ceil(len(batch) / self.ranks)
            own = np.resize(batch, share * self.ranks)[self.rank * share :][:share]
            yield from ((self.epoch, int(index)) for index in own)
