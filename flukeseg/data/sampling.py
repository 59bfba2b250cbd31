"""The order of training samples."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def seed_of(seed: int, *numbers: int) -> int:
    """Return the seed of a numbered part, step or process of a run with a seed."""
    return int(np.random.SeedSequence((seed, *numbers)).generate_state(1)[0])


class EpochSampler(Sampler[tuple[int, int]]):
    """Yields every index once as (epoch, index), shuffled by (seed, epoch).

    The epoch comes with the index, so that persistent workers know it. Lightning calls `set_epoch`
    before each epoch, in a resumed run too.

    Several processes divide each batch that a single one would see, so that they train on the same
    batches in the same order. All must get the same number of samples: a last batch that does not
    divide is padded with some of its own.

    Args:
        length: number of samples.
        seed: of the run.
        batch_size: of one process.
        rank: which process this is.
        ranks: how many there are.
    """

    def __init__(
        self, length: int, seed: int, batch_size: int = 1, rank: int = 0, ranks: int = 1
    ) -> None:
        self.length, self.seed, self.epoch = length, seed, 0
        self.batch_size, self.rank, self.ranks = batch_size, rank, ranks

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration draws."""
        self.epoch = epoch

    def __len__(self) -> int:
        whole, rest = divmod(self.length, self.batch_size * self.ranks)
        return whole * self.batch_size + math.ceil(rest / self.ranks)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.length)
        for start in range(0, self.length, self.batch_size * self.ranks):
            batch = order[start : start + self.batch_size * self.ranks]
            share = math.ceil(len(batch) / self.ranks)
            own = np.resize(batch, share * self.ranks)[self.rank * share :][:share]
            yield from ((self.epoch, int(index)) for index in own)
