"""Speed of training: the parts of a step, photos a second, compiled steps, making of samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.profilers import SimpleProfiler

from flukeseg.benchmarking.timing import gflop, spread, take_turns, wait_for
from flukeseg.data.datamodule import FlukeDataModule
from flukeseg.errors import InputError
from flukeseg.model.losses import compute_loss
from flukeseg.model.module import SegmentationModule
from flukeseg.training.freed_memory import keep_freed_memory

PARTS = ("wait", "forward", "backward", "optimiser")

WARM_UP = 2  # steps in which loaders start and memory is allocated


class PatientProfiler(SimpleProfiler):
    """Waits for the device before it looks at the clock: a GPU computes while Python goes on."""

    def start(self, action_name: str) -> None:
        """Start the clock of an action."""
        wait_for("cuda" if torch.cuda.is_available() else "cpu")
        super().start(action_name)

    def stop(self, action_name: str) -> None:
        """Stop it."""
        wait_for("cuda" if torch.cuda.is_available() else "cpu")
        super().stop(action_name)


class StepClock(pl.Callback):
    """Measures the time of all steps after the first, without waiting for the device between."""

    def __init__(self) -> None:
        self.began = self.seconds = 0.0
        self.photos = 0

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Start the clock after the first steps."""
        if trainer.global_step == WARM_UP:
            wait_for(module.device)
            self.began = time.perf_counter()
        if trainer.global_step >= WARM_UP:
            self.photos += len(batch["image"])

    def on_train_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop it."""
        wait_for(module.device)
        self.seconds = time.perf_counter() - self.began


def measure_training(
    build: Callable[[], SegmentationModule],
    data: FlukeDataModule,
    precisions: Sequence[str],
    steps: int,
    accelerator: str,
) -> dict[str, dict[str, float]]:
    """Train for some steps in each precision, twice: by parts, and as the job does.

    Args:
        build: makes a network that has learnt nothing.
        data: to train on.
        precisions: of Lightning.
        steps: number of them.
        accelerator: of Lightning.

    Returns:
        By precision: median seconds of the parts of a step and of the step, those of an epoch,
        photos a second with loading and computing side by side, and GFLOP/s at that speed.
    """
    rows = {}
    for precision in precisions:
        module = build()
        given = (precision, steps, accelerator)
        amount = step_gflop(module, data.size)
        seconds = step_seconds(module, data, *given)
        row = {f"{part}, s": float(np.median(own)) for part, own in seconds.items()}
        row |= spread([sum(parts) for parts in zip(*seconds.values(), strict=True)], "step, s")
        row["epoch's steps, s"] = row["step, s"] * len(data.train_set) / data.batch_size
        speed = photos_per_second(module, data, *given)
        rows[precision] = row | {"photos a second": speed, "GFLOP/s": speed * amount}
    return rows


def measure_compiled(
    module: SegmentationModule, data: FlukeDataModule, turns: int, device: str
) -> dict[str, dict[str, float]]:
    """Measure each of `compiled_steps` in turns: seconds, photos a second, GFLOP/s."""
    amount, batch = step_gflop(module, data.size), data.batch_size
    times = take_turns(compiled_steps(module, data.size, batch, device), turns)
    rows = {name: spread(own, "step, s") for name, own in times.items()}
    for row in rows.values():
        speed = batch / row["step, s"]
        row |= {"photos a second": speed, "GFLOP/s": speed * amount}
    return rows


def step_seconds(
    module: SegmentationModule,
    data: FlukeDataModule,
    precision: str,
    steps: int,
    accelerator: str,
) -> dict[str, list[float]]:
    """Train for some steps, timed by Lightning's profiler, which waits for a GPU at each part.

    Returns:
        Seconds of each part of each step that has a full batch, without the first steps; `wait` is
        for the loader.

    Raises:
        InputError: the photos do not fill a batch.
    """
    profiler = PatientProfiler()
    trainer = _trainer(data, precision, steps, accelerator, profiler=profiler)
    with keep_freed_memory():  # as the job does
        trainer.fit(module, data)
    times = profiler.recorded_durations
    step = times["[LightningModule]SegmentationModule.optimizer_step"]
    forward = times["[Strategy]SingleDeviceStrategy.training_step"]
    backward = times["[Strategy]SingleDeviceStrategy.backward"]
    wait = times["[_TrainingEpochLoop].train_dataloader_next"]
    # the optimiser's step calls the other two
    own = [s - f - b for s, f, b in zip(step, forward, backward, strict=True)]
    photos = len(data.train_set)
    full = [i for i in range(WARM_UP, len(step)) if _is_full(i, photos, data.batch_size)]
    parts = zip(PARTS, (wait, forward, backward, own), strict=True)
    return {part: [seconds[i] for i in full] for part, seconds in parts}


def photos_per_second(
    module: SegmentationModule, data: FlukeDataModule, precision: str, steps: int, accelerator: str
) -> float:
    """Train for some steps as the job does, loading and computing side by side.

    Raises:
        InputError: the photos do not fill a batch.
    """
    clock = StepClock()
    trainer = _trainer(data, precision, steps, accelerator, callbacks=[clock])
    with keep_freed_memory():
        trainer.fit(module, data)
    return clock.photos / clock.seconds


def step_gflop(module: SegmentationModule, size: tuple[int, int]) -> float:
    """Return GFLOP (two for each multiply-add) to learn from a photo: thrice those of the network.

    Backward computes two products, for weights and for inputs, where forward computes one.
    """
    forward = gflop(module.eval().cpu(), module.hparams["in_channels"], size)
    module.train()  # Lightning would train it as it is
    return 3 * forward


def compiled_steps(
    module: SegmentationModule, size: tuple[int, int], batch: int, device: str
) -> dict[str, Callable[[], None]]:
    """Return steps of training on random photos in bf16: as it is, in another layout, compiled.

    Args:
        module: whose network and loss are used; each step changes its weights.
        size: (height, width) of the photos.
        batch: number of photos.
        device: where they are.

    Returns:
        By name: `channels last`, as in training; `channels first`; `compiled`; and `graph`,
        compiled and replayed as a CUDA graph, which needs a GPU.
    """
    module.to(device).train()
    image = torch.rand(batch, 3, *size, device=device)
    mask = (torch.rand(batch, 1, *size, device=device) > 0.7).float()
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-5, fused=True)

    def step(network: Callable[[torch.Tensor], torch.Tensor], layout: torch.memory_format) -> None:
        module.network.to(memory_format=layout)
        optimizer.zero_grad()
        with torch.autocast(device, torch.bfloat16):
            logits = network(image.to(memory_format=layout))
            loss = compute_loss(module.loss, logits, mask)["loss"]
        loss.backward()
        optimizer.step()
        wait_for(device)

    last, first = torch.channels_last, torch.contiguous_format
    compiled = torch.compile(module.network)
    graph = torch.compile(module.network, mode="reduce-overhead")
    steps = {
        "channels last": lambda: step(module.network, last),
        "channels first": lambda: step(module.network, first),
        "compiled": lambda: step(compiled, last),
    }
    return steps | ({"graph": lambda: step(graph, last)} if device == "cuda" else {})


def samples_per_second(data: FlukeDataModule, count: int) -> float:
    """Return how many augmented samples one process makes in a second, from the cache."""
    dataset = data.train_set
    dataset[(0, 0)]
    started = time.perf_counter()
    for number in range(count):
        dataset[divmod(number, len(dataset))]
    return count / (time.perf_counter() - started)


def _trainer(
    data: FlukeDataModule, precision: str, steps: int, accelerator: str, **options: Any
) -> pl.Trainer:
    photos = len(data.train_set)
    if photos < data.batch_size:
        raise InputError(f"{photos} photos to train on do not fill a batch: lower data.batch_size")
    return pl.Trainer(
        accelerator=accelerator, devices=1, precision=precision, limit_val_batches=0,
        max_steps=_last_step(photos, data.batch_size, steps), max_epochs=-1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        use_distributed_sampler=False, **options,
    )  # fmt: skip


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
