"""A smaller size for the first epochs."""

from __future__ import annotations

from dataclasses import dataclass

from flukeseg.errors import require_int, require_size


@dataclass(frozen=True)
class StartSize:
    """A smaller size for the first epochs: most is learnt then, in a fraction of the time.

    Args:
        size: (height, width).
        epochs: number of them.

    Raises:
        InputError: either is out of range.
    """

    size: tuple[int, int]
    epochs: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", require_size("data.start.size", self.size))
        require_int("data.start.epochs", self.epochs)

    def at(self, epoch: int) -> tuple[int, int] | None:
        """Return the size of an epoch; None is the full size."""
        return self.size if epoch < self.epochs else None
