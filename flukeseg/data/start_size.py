"""Other sizes than that of the data, for some epochs of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flukeseg.errors import require_int, require_size


@dataclass(frozen=True)
class StartSize:
    """A smaller size for the first epochs: most is learnt then, in a fraction of the time.

    Args:
        size: (height, width).
        epochs: number of them.
        then: sizes of the epochs after these, in turn, where the network shall see flukes at
            several scales; without, all have the full size.

    Raises:
        InputError: one is out of range.
    """

    size: tuple[int, int]
    epochs: int
    then: Sequence[tuple[int, int]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", require_size("data.start.size", self.size))
        require_int("data.start.epochs", self.epochs)
        then = tuple(require_size("data.start.then", size) for size in self.then)
        object.__setattr__(self, "then", then)

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        """All sizes that are named."""
        return (self.size, *self.then)

    def at(self, epoch: int) -> tuple[int, int] | None:
        """Return the size of an epoch; None is the full size."""
        if epoch < self.epochs:
            return self.size
        return self.then[(epoch - self.epochs) % len(self.then)] if self.then else None
