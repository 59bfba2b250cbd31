"""Training photos drawn from several sources, each with its share and its own augmentation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from torch.utils.data import Dataset

from flukeseg.data.cache import CachedPhotos
from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.dataset import FlukeDataset, Sample
from flukeseg.data.mixture_sources import VAL_COUNT, MixtureSource
from flukeseg.data.pairs import find_copies
from flukeseg.data.sampling import seed_of
from flukeseg.data.start_size import StartSize
from flukeseg.errors import InputError, require_int

log = logging.getLogger(__name__)

NO_REAL = (
    "no real photo to validate on: add a labelled folder or pseudo-labelled photos, or train on "
    "renderings alone with data=synthetic"
)


class MixedDataset(Dataset[Sample]):
    """Samples of several datasets, the same number of each in every epoch.

    A source with more photos than its share continues in the next epoch where it stopped; one with
    fewer starts over. So all photos of a source are seen equally often.

    Args:
        parts: one dataset for each source.
        counts: photos of each in an epoch.
        seed: of the order within a source.
        start: other sizes for some epochs.
    """

    def __init__(
        self,
        parts: Sequence[FlukeDataset],
        counts: Sequence[int],
        seed: int,
        start: StartSize | None = None,
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
        sources: by name. Labelled folders give the validation photos; where none does,
            pseudo-labelled photos do.
        train_count: photos in an epoch.
        **loading: see `FlukeDataModule`; each source has its own augmentation.
    """

    val_count_key: ClassVar[str] = VAL_COUNT

    def __init__(
        self, sources: Mapping[str, MixtureSource | None], train_count: int = 400, **loading
    ) -> None:
        super().__init__(**loading)
        self.sources = {name: part for name, part in sources.items() if part is not None}
        self.train_count = require_int(
            "data.train_count", train_count, least=len(self.sources) or 1
        )

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
        loaded = {
            name: part.load(self.size, self.seed, counts[number], number)
            for number, (name, part) in enumerate(self.sources.items())
        }
        validating = {name: val for name, (_, val) in loaded.items() if val is not None}
        by_hand = {n: val for n, val in validating.items() if self.sources[n].drawn_by_hand}
        used = by_hand or validating
        if not used:
            raise InputError(f"data.sources has {NO_REAL}")
        kept = {name: part.measured_on(self.size) for name, part in self.sources.items()}
        parts: list[FlukeDataset] = []
        for number, (name, part) in enumerate(self.sources.items()):
            train, val = loaded[name]
            if isinstance(train, CachedPhotos):
                # a folder of pairs was split so that there are none of its own, but for its val.txt
                others = [own for n, own in used.items() if n != name or n not in by_hand]
                shown = [*CachedPhotos.joined(others).photos.numpy()] if others else []
                shown += [photo for n, own in kept.items() if n != name for photo in own]
                train = _without_copies(train, shown, name)
            parts.append(FlukeDataset(train, part.augmentation, seed_of(self.seed, number)))
            for use, photos in (("train", train), ("val", val)):
                self.split += photos.split(use, name) if photos is not None else []
            log.info("%s: %d of each epoch's photos, from %d", name, counts[number], len(train))
        self.train_set = MixedDataset(parts, counts, self.seed, self.start)
        self.val_set = self._validation_set(CachedPhotos.joined([*used.values()]))
        self.test_set = self._real_test_set()


def _without_copies(train: CachedPhotos, shown: Sequence[np.ndarray], name: str) -> CachedPhotos:
    """Leave out what photos of other sources show that are validated or measured on.

    Raises:
        InputError: nothing is left.
    """
    copies = find_copies(train.photos.numpy(), shown)
    if len(copies) == len(train):
        raise InputError(
            f"data.sources.{name} has only photos that other sources validate or measure on; give "
            "others, or leave the source out"
        )
    if copies:
        told = "%s: %d photos are validated or measured on, and not trained on"
        log.info(told, name, len(copies))
    return train.without(copies) if copies else train


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
