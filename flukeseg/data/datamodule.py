"""Splits and loaders, from pairs in a folder or from rendered flukes."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from flukeseg.data.augmentation import Augmentation
from flukeseg.data.dataset import (
    CachedPhotos,
    EpochSampler,
    FlukeDataset,
    RenderedFlukes,
    Sample,
    Source,
    Start,
)
from flukeseg.data.loading import loading_processes, one_thread
from flukeseg.data.pairs import Pairs, load_pairs
from flukeseg.data.splits import (
    clusters,
    read_individuals,
    read_stems,
    split_by_count,
    split_by_fold,
)
from flukeseg.data.synthetic import see_parts
from flukeseg.errors import InputError, pair_of_sides, whole

log = logging.getLogger(__name__)


class FlukeDataModule(pl.LightningDataModule):
    """Loaders over a training and a validation set; a subclass says where they come from.

    Args:
        size: (height, width) of what the network sees.
        batch_size: photos a batch, of each device; the last, smaller batch is kept.
        total_batch_size: photos a batch of all devices together, in place of `batch_size`.
        num_workers: loading processes; None is half the processors, at most 8.
        seed: of the split, the order and the augmentation.
        mask_threshold: grey above it is fluke.
        augmentation: of the training photos, or None.
        start: a smaller size for the first epochs of training.
        test_root: folder of pairs, read as `FolderDataModule` reads its own, for a figure at the
            end on photos that chose nothing.
    """

    def __init__(
        self,
        size: tuple[int, int] = (192, 384),
        batch_size: int = 16,
        total_batch_size: int | None = None,
        num_workers: int | None = None,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        start: Start | None = None,
        test_root: str | Path | None = None,
        mask_threshold: int = 108,
    ) -> None:
        super().__init__()
        self.size = pair_of_sides("data.size", size)
        self.batch_size = whole("data.batch_size", batch_size)
        self.total_batch_size = total_batch_size and whole(
            "data.total_batch_size", total_batch_size
        )
        self.num_workers = loading_processes("data.num_workers", num_workers)
        self.seed = seed
        self.augmentation = augmentation
        self.start = start
        self.test_root = test_root
        self.mask_threshold = whole("data.mask_threshold", mask_threshold, least=0, most=254)
        self.train_set: FlukeDataset | None = None
        self.val_set: FlukeDataset | None = None
        self.test_set: FlukeDataset | None = None

    def train_dataloader(self) -> DataLoader[Sample]:
        """Batches of augmented photos, in an order of their own each epoch."""
        rank, ranks = self._place()
        batch_size = self._batch_size()
        sampler = EpochSampler(len(self.train_set), self.seed, batch_size, rank, ranks)
        return self._loader(self.train_set, sampler)

    def val_dataloader(self) -> DataLoader[Sample]:
        """Batches of every validation photo, in order."""
        return self._loader(self.val_set)

    def test_dataloader(self) -> DataLoader[Sample]:
        """Batches of every test photo, in order."""
        return self._loader(self.test_set)

    def _seed_of(self, part: int) -> int:
        return int(np.random.SeedSequence((self.seed, part)).generate_state(1)[0])

    def _training_set(self, source: Source) -> FlukeDataset:
        return FlukeDataset(source, self.augmentation, self.seed, self.start)

    def _real_test_set(self) -> FlukeDataset | None:
        if self.test_root is None:
            return None
        pairs = load_pairs(self.test_root, self.size, self.mask_threshold)
        return FlukeDataset(cached(pairs, range(len(pairs.stems))))

    def _place(self) -> tuple[int, int]:
        """Which of how many processes this is."""
        trainer = self.trainer
        return (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)

    def _batch_size(self) -> int:
        _, ranks = self._place()
        if not self.total_batch_size:
            return self.batch_size
        if self.total_batch_size % ranks:
            raise InputError(
                f"data.total_batch_size={self.total_batch_size} does not divide by {ranks} devices"
            )
        return self.total_batch_size // ranks

    def _loader(
        self, dataset: FlukeDataset, sampler: Iterable[Any] | None = None
    ) -> DataLoader[Sample]:
        rank, ranks = self._place()
        if len(dataset) < ranks:
            raise InputError(
                f"{len(dataset)} photos are too few for {ranks} devices: lower trainer.devices, or "
                "raise data.val_count where they are for validation"
            )
        return DataLoader(
            dataset,
            batch_size=self._batch_size(),
            # each photo once, in one of the processes: Lightning's own sampler would repeat some
            sampler=range(rank, len(dataset), ranks) if sampler is None else sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            worker_init_fn=one_thread,
            pin_memory=torch.cuda.is_available(),
        )


class FolderDataModule(FlukeDataModule):
    """Pairs from `root/images` and `root/masks`.

    Validation photos are those of `root/val.txt` where there is one; otherwise `val_count` photos,
    or one of `folds` folds. With `folds` given, `val.txt` is not read. `root/groups.csv`
    (stem,individual) keeps an individual on one side.

    Args:
        root: the folder.
        val_count: photos to validate on, where neither folds nor val.txt say so.
        folds: number of folds for cross-validation.
        fold: the one to validate on, from 0.
        **loading: see `FlukeDataModule`.
    """

    def __init__(
        self,
        root: str | Path,
        val_count: int = 50,
        folds: int | None = None,
        fold: int | None = None,
        **loading,
    ) -> None:
        super().__init__(**loading)
        self.root = Path(root)
        self.val_count = whole("data.val_count", val_count)
        if (folds is None) != (fold is None):
            raise InputError("data.folds and data.fold go together; give both or neither")
        self.folds = None if folds is None else whole("data.folds", folds, least=2)
        self.fold = None if fold is None else whole("data.fold", fold, least=0)

    def setup(self, stage: str | None = None) -> None:
        """Read, check and split the pairs, once.

        Raises:
            InputError: the folder, a pair or the split has a problem; all are named.
        """
        if self.train_set is not None:
            return
        pairs = load_pairs(self.root, self.size, self.mask_threshold)
        validation = set(self.split(pairs))
        train = [i for i, stem in enumerate(pairs.stems) if stem not in validation]
        val = [i for i, stem in enumerate(pairs.stems) if stem in validation]
        if not train:
            raise InputError(f"{self.root}: every pair is for validation; shorten val.txt")
        if not pairs.masks[train].any():
            raise InputError(
                f"{self.root}: no training mask has a fluke; see to data.mask_threshold="
                f"{self.mask_threshold} and to the masks"
            )
        log.info("%d pairs to train on, %d to validate", len(train), len(val))
        self.train_set = self._training_set(cached(pairs, train))
        self.val_set = FlukeDataset(cached(pairs, val))
        self.test_set = self._real_test_set()

    def split(self, pairs: Pairs) -> list[str]:
        """Return the validation stems of these pairs."""
        val_list, groups = self.root / "val.txt", groups_of(self.root, pairs)
        if self.folds is not None:
            return split_by_fold(groups, self.folds, self.fold, self.seed)
        if not val_list.exists():
            return split_by_count(groups, self.val_count, self.seed)
        chosen = read_stems(val_list, pairs.stems)
        divided = [
            ", ".join(group) for group in groups if 0 < len({*group} & {*chosen}) < len(group)
        ]
        if divided:
            log.warning(
                "%s divides %d group(s) of photos that are near-identical or of one individual, so "
                "validation will look better than it is: %s",
                val_list,
                len(divided),
                "; ".join(divided[:10]),
            )
        return chosen


class RenderedDataModule(FlukeDataModule):
    """Rendered flukes: new ones to train on in every epoch, fixed ones to validate and to test.

    Args:
        train_count: photos in an epoch.
        val_count: photos to validate on.
        test_count: photos for the figure at the end, where `test_root` gives no real ones.
        without: parts of the renderer that training goes without, see `render`: to measure what
            each is worth.
        **loading: see `FlukeDataModule`.
    """

    def __init__(
        self,
        train_count: int = 400,
        val_count: int = 50,
        test_count: int = 100,
        without: Sequence[str] = (),
        **loading,
    ) -> None:
        super().__init__(**loading)
        see_parts("data.without", without)
        self.without = tuple(without)
        self.train_count = whole("data.train_count", train_count)
        self.val_count = whole("data.val_count", val_count)
        self.test_count = whole("data.test_count", test_count)

    def setup(self, stage: str | None = None) -> None:
        """Render what is kept; training photos are rendered when their turn comes."""
        if self.train_set is not None:
            return
        # far-off seeds, so that no training picture is ever a validation or test picture
        train, val, test = (self._seed_of(part) for part in range(3))
        self.train_set = self._training_set(
            RenderedFlukes(self.train_count, self.size, train, self.without)
        )
        self.val_set = FlukeDataset(RenderedFlukes(self.val_count, self.size, val).cached())
        self.test_set = self._real_test_set() or FlukeDataset(
            RenderedFlukes(self.test_count, self.size, test).cached()
        )


def groups_of(root: Path, pairs: Pairs) -> list[list[str]]:
    """Stems that have to fall on one side: near-identical, or one individual of `groups.csv`."""
    listed = root / "groups.csv"
    individuals = read_individuals(listed, pairs.stems) if listed.exists() else None
    return clusters(pairs.stems, pairs.hashes, individuals)


def cached(pairs: Pairs, indices: Sequence[int]) -> CachedPhotos:
    """Some of the pairs, by their numbers."""
    return CachedPhotos(
        [pairs.stems[i] for i in indices], pairs.photos[list(indices)], pairs.masks[list(indices)]
    )
