"""A data module of one folder of pairs, divided by list, by count or by fold."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.pairs import Pairs, cached, load_pairs
from flukeseg.data.splits import (
    clusters,
    read_individuals,
    read_stems,
    split_by_count,
    split_by_fold,
)
from flukeseg.errors import InputError, require_int

log = logging.getLogger(__name__)


class FolderDataModule(FlukeDataModule):
    """Pairs from `root/images` and `root/masks`, or with a fourth channel from `root/rgbm`.

    Validation photos are those of `root/val.txt` if it exists, else `val_count` photos, or one of
    `folds` folds. With `folds` given, `val.txt` is not read. The photos of an individual in
    `root/groups.csv` (stem,individual) are not divided between training and validation.

    Args:
        root: the folder.
        val_count: photos to validate on, where there are neither folds nor val.txt.
        folds: number of folds for cross-validation.
        fold: the one to validate on, from 0.
        **loading: see `FlukeDataModule`.
    """

    takes_masks: ClassVar[bool] = True

    def __init__(
        self,
        root: str | Path,
        val_count: int = 50,
        folds: int | None = None,
        fold: int | None = None,
        **loading,
    ) -> None:
        super().__init__(**loading)
        if not isinstance(root, str | Path):
            raise InputError(f"data.root={root} must be a folder of pairs")
        self.root = Path(root)
        self.val_count = require_int("data.val_count", val_count)
        if (folds is None) != (fold is None):
            raise InputError("data.folds and data.fold go together; give both or neither")
        self.folds = None if folds is None else require_int("data.folds", folds, least=2)
        self.fold = None if fold is None else require_int("data.fold", fold, least=0)

    def setup(self, stage: str | None = None) -> None:
        """Read, check and split the pairs, once.

        Raises:
            InputError: the folder, a pair or the split has a problem; names every one.
        """
        if self.train_set is not None:
            return
        pairs = load_pairs(self.root, self.size, self.mask_threshold, self.in_channels)
        validation = set(self.validation_stems(pairs))
        train = [i for i, stem in enumerate(pairs.stems) if stem not in validation]
        val = [i for i, stem in enumerate(pairs.stems) if stem in validation]
        if not train:
            raise InputError(f"{self.root}: every pair is for validation; shorten val.txt")
        if not pairs.masks[train].any():
            raise InputError(
                f"{self.root}: no training mask has a fluke; check the masks and "
                f"data.mask_threshold={self.mask_threshold}"
            )
        log.info("%d pairs to train on, %d to validate", len(train), len(val))
        learnt, held = cached(pairs, train), cached(pairs, val)
        self.split = [*learnt.split("train"), *held.split("val")]
        self.train_set = self._training_set(learnt)
        self.val_set = self._validation_set(held)
        self.test_set = self._real_test_set()

    def validation_stems(self, pairs: Pairs) -> list[str]:
        """Return the validation stems of these pairs."""
        groups = groups_of(self.root, pairs)
        if self.folds is None:
            return held_out(self.root, groups, self.val_count, self.seed)
        return split_by_fold(groups, self.folds, self.fold, self.seed)


def held_out(
    root: Path,
    groups: Sequence[Sequence[str]],
    val_count: int,
    seed: int,
    key: str = "data.val_count",
) -> list[str]:
    """Return the stems of `root/val.txt`, or without it `val_count` stems drawn with a seed.

    Args:
        root: the folder.
        groups: stems that belong together, see `groups_of`.
        val_count: how many to draw.
        seed: of the draw.
        key: the option that gives `val_count`, for errors.

    Raises:
        InputError: the list has a problem, or the count leaves nothing to train on.
    """
    val_list = root / "val.txt"
    if not val_list.exists():
        return split_by_count(groups, val_count, seed, key)
    chosen = read_stems(val_list, [stem for group in groups for stem in group])
    divided = [", ".join(group) for group in groups if 0 < len({*group} & {*chosen}) < len(group)]
    if divided:
        log.warning(
            "%s divides %d group(s) of photos that are near-identical or of one individual, so "
            "validation metrics will be too good: %s",
            val_list,
            len(divided),
            "; ".join(divided[:10]),
        )
    return chosen


def groups_of(root: Path, pairs: Pairs) -> list[list[str]]:
    """Return clusters of stems: near-identical, or of one individual in `groups.csv`."""
    listed = root / "groups.csv"
    individuals = read_individuals(listed, pairs.stems) if listed.exists() else None
    return clusters(pairs.stems, pairs.hashes, individuals)
