"""Training photos drawn from several sources, each with its share and its own augmentation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path

import numpy as np
from torch.utils.data import Dataset

from flukeseg.data.augmentation import Augmentation
from flukeseg.data.datamodule import FlukeDataModule, cached, groups_of
from flukeseg.data.dataset import CachedPhotos, FlukeDataset, RenderedFlukes, Sample, Source, Start
from flukeseg.data.loading import available_processors
from flukeseg.data.pairs import load_pairs
from flukeseg.data.splits import read_stems, split_by_count
from flukeseg.data.synthetic import see_parts
from flukeseg.data.taught import load_label, read_labels
from flukeseg.errors import InputError, whole

log = logging.getLogger(__name__)

NO_REAL = (
    "no real photo to validate on: add a labelled folder or taught photos, or train on renderings "
    "alone with data=synthetic"
)

Split = tuple[Source, CachedPhotos | None]
"""What to train on, and what to validate on, if anything."""


@dataclass(frozen=True)
class Part:
    """One source of a mixture.

    Args:
        share: of the training photos, relative to the other sources'.
        augmentation: of its photos, or None.

    Raises:
        InputError: the share is not above 0.
    """

    share: float
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        share = self.share
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < inf:
            raise InputError(f"share={share} of a source must be above 0; or leave it out")

    def load(self, size: tuple[int, int], seed: int, count: int) -> Split:
        """Read what there is, at a size; `count` photos of it are drawn in an epoch."""
        raise NotImplementedError


@dataclass(frozen=True)
class Rendered(Part):
    """Rendered flukes, new ones in every epoch; never for validation.

    Args:
        without: parts of the renderer left out, see `render`.
    """

    without: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        see_parts("without", self.without)

    def load(self, size: tuple[int, int], seed: int, count: int) -> Split:
        """See `Part`."""
        return RenderedFlukes(count, size, seed, self.without), None


@dataclass(frozen=True)
class Labelled(Part):
    """Pairs from `root/images` and `root/masks`; those of `root/val.txt` are for validation.

    Args:
        root: the folder.
        val_count: how many to validate on where there is no val.txt.
        validates: whether to; if not, those of val.txt are left out all the same.
        leave_out: stems that take no part at all: to be measured on later.
        mask_threshold: grey above it is fluke.
    """

    root: str | Path = ""
    val_count: int = 50
    validates: bool = True
    leave_out: Sequence[str] = ()
    mask_threshold: int = 108

    def load(self, size: tuple[int, int], seed: int, count: int) -> Split:
        """See `Part`.

        Raises:
            InputError: the folder, a pair or the split has a problem.
        """
        pairs = load_pairs(self.root, size, self.mask_threshold)
        if unknown := set(self.leave_out) - set(pairs.stems):
            raise InputError(f"leave_out={min(unknown)} is not in {self.root}")
        listed = Path(self.root) / "val.txt"
        chosen: Sequence[str] = ()
        if listed.exists():
            chosen = read_stems(listed, pairs.stems)
        elif self.validates:
            val_count = whole("val_count", self.val_count)
            chosen = split_by_count(groups_of(Path(self.root), pairs), val_count, seed)
        held = {*chosen, *self.leave_out}
        train = [i for i, stem in enumerate(pairs.stems) if stem not in held]
        val = [i for i, s in enumerate(pairs.stems) if s in chosen and s not in self.leave_out]
        if not train:
            raise InputError(f"{self.root}: no pair is left to train on")
        return cached(pairs, train), cached(pairs, val) if val and self.validates else None


@dataclass(frozen=True)
class Taught(Part):
    """Photos with the masks that a teacher made of them, as `flukeseg.selftrain` leaves them.

    Args:
        labels: its `labels.csv`.
    """

    labels: str | Path = ""

    def load(self, size: tuple[int, int], seed: int, count: int) -> Split:
        """See `Part`.

        Raises:
            InputError: the list or what it names cannot be read, or nothing in it is to train on.
        """
        labels = read_labels(self.labels)
        # Pillow and OpenCV let go of the GIL while they decode
        with ThreadPoolExecutor(available_processors()) as pool:
            loaded = list(pool.map(partial(load_label, size=size), labels))
        train, val = (
            [item for item, label in zip(loaded, labels, strict=True) if label.validates == wanted]
            for wanted in (False, True)
        )
        if not train:
            raise InputError(f"{self.labels} has no row to train on")
        return CachedPhotos.stacked(train), CachedPhotos.stacked(val) if val else None


class MixedDataset(Dataset[Sample]):
    """Samples of several datasets, the same number of each in every epoch.

    A source with more photos than its share goes on in the next epoch where it was; one with fewer
    starts over. So each of its photos is seen as often as any other of it.

    Args:
        parts: one dataset for each source.
        counts: photos of each in an epoch.
        seed: of the order within a source.
        start: a smaller size for the first epochs.
    """

    def __init__(
        self,
        parts: Sequence[FlukeDataset],
        counts: Sequence[int],
        seed: int,
        start: Start | None = None,
    ) -> None:
        self.parts, self.counts, self.seed, self.start = parts, counts, seed, start

    def __len__(self) -> int:
        return sum(self.counts)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """Return a sample by (epoch, index) as `EpochSampler` gives it."""
        epoch, index = key
        number = int(np.searchsorted(np.cumsum(self.counts), index, side="right"))
        part = self.parts[number]
        drawn = epoch * self.counts[number] + index - sum(self.counts[:number])
        visit, place = divmod(drawn, len(part))
        order = np.random.default_rng((self.seed, number, visit)).permutation(len(part))
        return part.sample(visit, int(order[place]), self.start.at(epoch) if self.start else None)


class MixedDataModule(FlukeDataModule):
    """Trains on a mixture and validates on real photos.

    Args:
        sources: by name; labelled folders and taught photos give the validation photos, and of
            both only the labelled ones where there are any.
        train_count: photos in an epoch.
        **loading: see `FlukeDataModule`; each source has an augmentation of its own.
    """

    def __init__(
        self, sources: Mapping[str, Part | None], train_count: int = 400, **loading
    ) -> None:
        super().__init__(**loading)
        self.sources = {name: part for name, part in sources.items() if part is not None}
        self.train_count = whole("data.train_count", train_count, least=len(self.sources) or 1)

    def setup(self, stage: str | None = None) -> None:
        """Read all sources, once.

        Raises:
            InputError: a source has a problem, or none has a photo to validate on.
        """
        if self.train_set is not None:
            return
        if not self.sources:
            raise InputError(f"data.sources has {NO_REAL}")
        counts = shares({name: part.share for name, part in self.sources.items()}, self.train_count)
        parts, real = [], []
        for number, (name, part) in enumerate(self.sources.items()):
            train, val = part.load(self.size, self._seed_of(number), counts[number])
            parts.append(FlukeDataset(train, part.augmentation, self._seed_of(number)))
            real.append((isinstance(part, Labelled), val))
            log.info("%s: %d of each epoch's photos, from %d", name, counts[number], len(train))
        labelled = [val for by_hand, val in real if by_hand and val]
        val = labelled or [val for _, val in real if val]
        if not val:
            raise InputError(f"data.sources has {NO_REAL}")
        self.train_set = MixedDataset(parts, counts, self.seed, self.start)
        self.val_set = FlukeDataset(CachedPhotos.joined(val))
        self.test_set = self._real_test_set()


def shares(wanted: Mapping[str, float], total: int) -> list[int]:
    """Divide a total in proportion to shares, each part at least 1, by largest remainders."""
    given = np.array(list(wanted.values()), float)
    exact = given / given.sum() * total
    counts = np.maximum(np.floor(exact), 1).astype(int)
    while counts.sum() < total:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(counts)] -= 1
    return counts.tolist()
