"""Rendered flukes as training, validation and test sets."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from flukeseg.data.cache import CachedPhotos
from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.dataset import FlukeDataset
from flukeseg.data.sampling import seed_of
from flukeseg.data.splits import SplitPhoto
from flukeseg.errors import require_int, require_number
from flukeseg.rendering import SPECIES, check_parts, check_species, render, render_not_fluke


class RenderedDataModule(FlukeDataModule):
    """Rendered flukes: new ones to train on in every epoch, fixed ones to validate and to test.

    Args:
        train_count: photos in an epoch.
        val_count: photos to validate on.
        test_count: photos to test on at the end, where `test_root` gives no real ones.
        without: parts of the renderer left out of training, see `render`: to measure what each is
            worth.
        not_flukes: share of pictures of fins, backs, breaches and boats, with empty masks.
        species: shares of the species of whales; none are those of `flukeseg.rendering.SPECIES`.
        **loading: see `FlukeDataModule`.
    """

    def __init__(
        self,
        train_count: int = 400,
        val_count: int = 50,
        test_count: int = 100,
        without: Sequence[str] = (),
        not_flukes: float = 0.0,
        species: Mapping[str, float] | None = None,
        **loading,
    ) -> None:
        super().__init__(**loading)
        check_parts("data.without", without)
        self.without = tuple(without)
        self.not_flukes = require_number("data.not_flukes", not_flukes)
        self.species = check_species("data.species", species)
        self.train_count = require_int("data.train_count", train_count)
        self.val_count = require_int("data.val_count", val_count)
        self.test_count = require_int("data.test_count", test_count)

    def setup(self, stage: str | None = None) -> None:
        """Render validation and test photos; training photos are rendered when they are needed."""
        if self.train_set is not None:
            return
        # seeds far apart, so that no training picture is a validation or test picture
        train, val, test = (seed_of(self.seed, part) for part in range(3))
        self.train_set = self._training_set(
            RenderedFlukes(
                self.train_count, self.size, train, self.without, self.not_flukes, self.species
            )
        )
        self.val_set = self._validation_set(self._fixed(self.val_count, val))
        self.test_set = self._real_test_set() or FlukeDataset(self._fixed(self.test_count, test))

    def _fixed(self, count: int, seed: int) -> CachedPhotos:
        """Pictures to judge by, rendered once, with every part."""
        shares = {"not_flukes": self.not_flukes, "species": self.species}
        return RenderedFlukes(count, self.size, seed, **shares).cached()


class RenderedFlukes:
    """Flukes rendered on the fly, new ones in every epoch.

    Args:
        count: photos in an epoch.
        size: (height, width).
        seed: first part of each picture's seed; equal seeds give equal pictures.
        without: parts that are left out, see `render`.
        not_flukes: share of pictures by `render_not_fluke`, 0..1.
        species: shares of a sum of 1.
    """

    def __init__(
        self,
        count: int,
        size: tuple[int, int],
        seed: int,
        without: Collection[str] = (),
        not_flukes: float = 0.0,
        species: Mapping[str, float] = SPECIES,
    ) -> None:
        self.count, self.size, self.seed = count, size, seed
        self.without, self.not_flukes, self.species = without, not_flukes, species

    def __len__(self) -> int:
        return self.count

    def get(
        self, index: int, epoch: int, size: tuple[int, int] | None = None
    ) -> tuple[str, np.ndarray, np.ndarray]:
        """Render the picture of this number and epoch."""
        seed = (self.seed, epoch, index)
        if np.random.default_rng(seed).uniform() < self.not_flukes:
            picture = render_not_fluke(seed, size or self.size)
        else:
            picture = render(seed, size or self.size, self.without, self.species)
        return f"rendered_{self.seed}_{epoch}_{index}", picture.image, picture.mask

    def split(self, use: str, source: str = "") -> list[SplitPhoto]:
        """See `PhotoSet`: none comes from a file."""
        return []

    def cached(self) -> CachedPhotos:
        """Render the first epoch once and keep it, for validation."""
        return CachedPhotos.stacked([self.get(i, epoch=0) for i in range(self.count)])
