"""Speed of training: the parts of a step, and of making samples."""

from __future__ import annotations

import math
import time

import pytorch_lightning as pl
from pytorch_lightning.profilers import SimpleProfiler

from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.errors import InputError
from flukeseg.model.module import SegmentationModule
from flukeseg.training.freed_memory import keep_freed_memory

PARTS = ("wait", "forward", "backward", "optimiser")

WARM_UP = 2  # steps in which loaders start and memory is allocated


def step_seconds(
    module: SegmentationModule, data: FlukeDataModule, precision: str, steps: int
) -> dict[str, list[float]]:
    """Train on the processor for some steps, timed by Lightning's profiler.

    Returns:
        Seconds of each part of each step that has a full batch, without the first steps; `wait` is
        for the loader.

    Raises:
        InputError: the photos do not fill a batch.
    """
    photos = len(data.train_set)
    if photos < data.batch_size:
        raise InputError(f"{photos} photos to train on do not fill a batch: lower data.batch_size")
    profiler = SimpleProfiler()
    trainer = pl.Trainer(
        accelerator="cpu", precision=precision, profiler=profiler, limit_val_batches=0,
        max_steps=_last_step(photos, data.batch_size, steps), max_epochs=-1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    with keep_freed_memory():  # as the job does
        trainer.fit(module, data)
    times = profiler.recorded_durations
    step = times["[LightningModule]SegmentationModule.optimizer_step"]
    forward = times["[Strategy]SingleDeviceStrategy.training_step"]
    backward = times["[Strategy]SingleDeviceStrategy.backward"]
    wait = times["[_TrainingEpochLoop].train_dataloader_next"]
    # the optimiser's step calls the other two
    own = [s - f - b for s, f, b in zip(step, forward, backward, strict=True)]
    full = [i for i in range(WARM_UP, len(step)) if _is_full(i, photos, data.batch_size)]
    parts = zip(PARTS, (wait, forward, backward, own), strict=True)
    return {part: [seconds[i] for i in full] for part, seconds in parts}


def samples_per_second(data: FlukeDataModule, count: int) -> float:
    """Return how many augmented samples one process makes in a second, from the cache."""
    dataset = data.train_set
    dataset[(0, 0)]
    started = time.perf_counter()
    for number in range(count):
        dataset[divmod(number, len(dataset))]
    return count / (time.perf_counter() - started)


def _last_step(photos: int, batch_size: int, steps: int) -> int:
    """Number of steps after which so many were measured."""
    number = WARM_UP
    while steps:
        steps -= _is_full(number, photos, batch_size)
        number += 1
    return number


def _is_full(step: int, photos: int, batch_size: int) -> bool:
    """Return whether a step has a full batch: the last one of an epoch may not."""
    per_epoch = math.ceil(photos / batch_size)
    return photos % batch_size == 0 or step % per_epoch < per_epoch - 1
