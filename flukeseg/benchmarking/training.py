"""The parts of a training step, and what the loaders deliver."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.errors import InputError
from flukeseg.model.module import SegmentationModule

PARTS = ("wait", "forward", "backward", "optimiser")


def step_seconds(
    module: SegmentationModule,
    data: FlukeDataModule,
    autocast: Callable[[], object],
    steps: int,
) -> dict[str, list[float]]:
    """Return seconds of each part of each step; `wait` is for the loader.

    The first two steps, in which loaders start and memory is taken, are left out.

    Raises:
        InputError: the photos do not fill a batch.
    """
    if len(data.train_set) < data.batch_size:
        raise InputError(
            f"{len(data.train_set)} photos to train on do not fill a batch: lower data.batch_size"
        )
    module.train()
    optimizer = module.optimizer(module.parameters())
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    sampler_epoch, done = 0, 0
    while done < steps + 2:
        loader = data.train_dataloader()
        loader.sampler.set_epoch(sampler_epoch)
        sampler_epoch += 1
        batches = iter(loader)
        while done < steps + 2:
            clock = [time.perf_counter()]
            batch = next(batches, None)
            if batch is None:
                break
            clock.append(time.perf_counter())
            with autocast():
                loss = module.loss(module(batch["image"]), batch["mask"])["loss"]
            clock.append(time.perf_counter())
            optimizer.zero_grad()
            loss.backward()
            clock.append(time.perf_counter())
            optimizer.step()
            clock.append(time.perf_counter())
            if done >= 2 and len(batch["image"]) == data.batch_size:
                for part, began, ended in zip(PARTS, clock, clock[1:], strict=False):
                    found[part].append(ended - began)
            done += 1
    return found


def samples_a_second(data: FlukeDataModule, count: int) -> float:
    """Return how many augmented samples one process makes in a second, from the cache."""
    dataset = data.train_set
    length = len(dataset)
    dataset[(0, 0)]
    started = time.perf_counter()
    for number in range(count):
        dataset[divmod(number, length)]
    return count / (time.perf_counter() - started)


def autocast_of(precision: str) -> Callable[[], object]:
    """Return the context of a trainer's precision, on the processor."""
    enabled = precision == "bf16-mixed"
    return lambda: torch.autocast("cpu", torch.bfloat16, enabled=enabled)
