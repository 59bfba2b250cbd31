"""Rendered flukes as training, validation and test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flukeseg.data.cache import CachedPhotos
from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.dataset import FlukeDataset
from flukeseg.data.rendered_pictures import KeptPictures, RenderedFlukes
from flukeseg.data.sampling import seed_of
from flukeseg.errors import require_int, require_number
from flukeseg.rendering import FRAMING, SPECIES, check_parts, check_shares


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
        framing: shares of the crops; none are those of `flukeseg.rendering.FRAMING`.
        keep: a folder in which training pictures are kept, see `KeptPictures`: they are not
            rendered again in later epochs and runs.
        keep_count: how many different ones there are then, rather than new ones in every epoch.
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
        framing: Mapping[str, float] | None = None,
        keep: str | Path | None = None,
        keep_count: int = 20000,
        **loading,
    ) -> None:
        super().__init__(**loading)
        check_parts("data.without", without)
        self.without = tuple(without)
        self.not_flukes = require_number("data.not_flukes", not_flukes)
        self.species = check_shares("data.species", species, SPECIES)
        self.framing = check_shares("data.framing", framing, FRAMING)
        self.train_count = require_int("data.train_count", train_count)
        self.val_count = require_int("data.val_count", val_count)
        self.test_count = require_int("data.test_count", test_count)
        self.keep = keep
        self.keep_count = require_int("data.keep_count", keep_count)

    def setup(self, stage: str | None = None) -> None:
        """Render validation and test photos; training photos are rendered when they are needed."""
        if self.train_set is not None:
            return
        # seeds far apart, so that no training picture is a validation or test picture
        train, val, test = (seed_of(self.seed, part) for part in range(3))
        drawn = RenderedFlukes(self.train_count, self.size, train, self.without, **self._shares())
        self.train_set = self._training_set(
            KeptPictures(drawn, self.keep, self.keep_count) if self.keep else drawn
        )
        self.val_set = self._validation_set(self._fixed(self.val_count, val))
        self.test_set = self._real_test_set() or FlukeDataset(self._fixed(self.test_count, test))

    def _fixed(self, count: int, seed: int) -> CachedPhotos:
        """Pictures to judge by, rendered once, with every part."""
        return RenderedFlukes(count, self.size, seed, **self._shares()).cached()

    def _shares(self) -> dict[str, Any]:
        return {
            "not_flukes": self.not_flukes, "species": self.species, "framing": self.framing
        }  # fmt: skip
