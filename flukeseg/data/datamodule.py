"""Loaders over a training and a validation set, in one process or several."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from flukeseg.data.augmentation import Augmentation
from flukeseg.data.cache import CachedPhotos
from flukeseg.data.dataset import FlukeDataset, PhotoSet, Sample
from flukeseg.data.loading import WatchedLoader
from flukeseg.data.pairs import cached, load_pairs
from flukeseg.data.sampling import EpochSampler
from flukeseg.data.splits import SplitPhoto
from flukeseg.data.start_size import StartSize
from flukeseg.data.workers import loading_processes, one_thread, workers_that_fit
from flukeseg.errors import InputError, require_int, require_size
from flukeseg.images.reading import MASK_THRESHOLD

log = logging.getLogger(__name__)


class FlukeDataModule(pl.LightningDataModule):
    """Loaders over a training, a validation and a test set; a subclass sets these up.

    Attributes:
        split: after `setup`, the photos that were read from files to train and to validate on.
        first_epoch: the one that training starts with, in a resumed run.

    Args:
        size: (height, width) of what the network sees.
        batch_size: photos a batch, of each device; the last, smaller batch is kept.
        total_batch_size: photos a batch of all devices together, in place of `batch_size`.
        num_workers: loading processes; None is half the processors, at most 8.
        seed: of the split, the order and the augmentation.
        mask_threshold: grey above it is fluke.
        in_channels: 3 for photos; 4 for photos with a mask as fourth channel, see `load_pairs`,
            which a subclass without `takes_masks` refuses.
        augmentation: of the training photos, or None.
        start: other sizes for some epochs of training.
        test_root: folder of pairs, read as `FolderDataModule` reads its own, for a figure at the
            end on photos that choose nothing.
    """

    takes_masks: ClassVar[bool] = False
    """Whether its photos may have a fourth channel."""

    val_count_key: ClassVar[str] = "data.val_count"
    """The option that says how many photos validate, for errors."""

    def __init__(
        self,
        size: tuple[int, int] = (192, 384),
        batch_size: int = 16,
        total_batch_size: int | None = None,
        num_workers: int | None = None,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        start: StartSize | None = None,
        test_root: str | Path | None = None,
        mask_threshold: int = MASK_THRESHOLD,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.size = require_size("data.size", size)
        self.batch_size = require_int("data.batch_size", batch_size)
        if total_batch_size is not None:
            require_int("data.total_batch_size", total_batch_size)
        self.total_batch_size = total_batch_size
        self.num_workers = loading_processes("data.num_workers", num_workers)
        self.seed = seed
        self.augmentation = augmentation
        self.start = start
        self.test_root = test_root
        self.mask_threshold = require_int("data.mask_threshold", mask_threshold, least=0, most=254)
        self.in_channels = require_int("model.in_channels", in_channels, least=3, most=4)
        if in_channels == 4 and not self.takes_masks:
            raise InputError(
                "model.in_channels=4 needs photos with masks as a fourth channel: give data=folder "
                "data.root=DIR, with DIR/rgbm and DIR/masks"
            )
        self.split: list[SplitPhoto] = []
        self.first_epoch = 0
        self.train_set: FlukeDataset | None = None
        self.val_set: FlukeDataset | None = None
        self.test_set: FlukeDataset | None = None
        self.tests: list[SplitPhoto] = []

    def train_dataloader(self) -> DataLoader[Sample]:
        """Return batches of augmented photos, in another order each epoch."""
        rank, ranks = self._rank()
        batch_size = self._batch_size()
        sampler = EpochSampler(len(self.train_set), self.seed, batch_size, rank, ranks)
        sampler.set_epoch(self.first_epoch)
        return self._loader(self.train_set, sampler)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Return batches of every validation photo, in order."""
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Return batches of every test photo, in order."""
        return self._loader(self.test_set)

    def _training_set(self, source: PhotoSet) -> FlukeDataset:
        return FlukeDataset(source, self.augmentation, self.seed, self.start)

    def _validation_set(self, photos: CachedPhotos) -> FlukeDataset:
        if not photos.masks.any():
            raise InputError(
                "no validation photo holds a fluke, so nothing can choose a checkpoint: list "
                f"others in val.txt, or raise {self.val_count_key}"
            )
        return FlukeDataset(photos)

    def _real_test_set(self) -> FlukeDataset | None:
        if self.test_root is None:
            return None
        pairs = load_pairs(self.test_root, self.size, self.mask_threshold, self.in_channels)
        photos = cached(pairs, range(len(pairs.stems)))
        self.tests = photos.split("test")
        known = {one.photo for one in self.split}
        if seen := [one.name for one in self.tests if one.photo in known]:
            log.warning(
                "of the %d photos of data.test_root, %d are trained or validated on too (first: "
                "%s), so that its figures will be too good",
                *(len(photos), len(seen), seen[0]),
            )
        return FlukeDataset(photos)

    def held_out(self) -> list[SplitPhoto]:
        """Return what is known of the photos to validate and to test on that come from files."""
        return [*(photo for photo in self.split if photo.use == "val"), *self.tests]

    def _rank(self) -> tuple[int, int]:
        """Return the number of this process, and how many there are."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _batch_size(self) -> int:
        _, ranks = self._rank()
        if self.total_batch_size is None:
            return self.batch_size
        if self.total_batch_size % ranks:
            raise InputError(
                f"data.total_batch_size={self.total_batch_size} does not divide by {ranks} devices"
            )
        return self.total_batch_size // ranks

    def _loader(
        self, dataset: FlukeDataset, sampler: Iterable[Any] | None = None
    ) -> DataLoader[Sample]:
        rank, ranks = self._rank()
        if len(dataset) < ranks:
            raise InputError(
                f"{len(dataset)} photos are too few for {ranks} devices: lower trainer.devices, or "
                "raise data.val_count where they are for validation"
            )
        batch_size = self._batch_size()
        sizes = [self.size] if self.start is None else [self.size, *self.start.sizes]
        pixels = max(height * width for height, width in sizes)
        # a sample is a photo and a mask, in floats
        workers = workers_that_fit(
            self.num_workers, batch_size * (self.in_channels + 1) * pixels * 4
        )
        return WatchedLoader(
            dataset,
            batch_size=batch_size,
            # each photo once, in one of the processes: Lightning's own sampler would repeat some
            sampler=range(rank, len(dataset), ranks) if sampler is None else sampler,
            num_workers=workers,
            persistent_workers=workers > 0,
            worker_init_fn=one_thread,
            pin_memory=torch.cuda.is_available(),
        )
