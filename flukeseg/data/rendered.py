"""Rendered flukes as training, validation and test sets."""

from __future__ import annotations

from collections.abc import Sequence

from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.data.dataset import FlukeDataset, RenderedFlukes, seed_of
from flukeseg.data.synthetic import see_parts
from flukeseg.errors import whole


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
        train, val, test = (seed_of(self.seed, part) for part in range(3))
        self.train_set = self._training_set(
            RenderedFlukes(self.train_count, self.size, train, self.without)
        )
        self.val_set = FlukeDataset(RenderedFlukes(self.val_count, self.size, val).cached())
        self.test_set = self._real_test_set() or FlukeDataset(
            RenderedFlukes(self.test_count, self.size, test).cached()
        )
