"""The order of training samples."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


def seed_of(seed: int, *place: int) -> int:
    """Return a seed for one of the parts, steps or processes that share a run's seed."""
    return int(np.random.SeedSequence((seed, *place)).generate_state(1)[0])


class EpochSampler(Sampler[tuple[int, int]]):
    """Every index once, shuffled by (seed, epoch), each with its epoch.

    The epoch travels with the index, so that workers that live on through the epochs know it.
    Lightning calls `set_epoch` before each epoch, after a resume too.

    Several processes share each batch of what a single one would see, so that they learn from the
    same batches in the same order. All must come to the same number: only the last batch, where it
    does not divide, is filled up with photos of its own.

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
