"""Optimiser, schedule and clipping of the gradient, whichever library they come from."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from timm.scheduler.scheduler import Scheduler as TimmScheduler
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from flukeseg.errors import InputError

MakeOptimizer = Callable[[Iterable[Any]], Optimizer]
MakeSchedule = Callable[[Optimizer], Any]

SCHEDULES = ("plateau", "cosine", None)
INTERVALS = ("epoch", "step")


def build_optimizer(
    make: MakeOptimizer,
    parameters: Sequence[nn.Parameter],
    encoder: Sequence[Sequence[nn.Parameter]],
    encoder_scale: float,
    encoder_decay: float,
) -> Optimizer:
    """Build an optimiser, the learning rate of the encoder scaled, and of its layers decayed.

    Args:
        make: from parameters to an optimiser.
        parameters: all that are trained.
        encoder: those of the encoder's layers, among them, from the photo on; without, all
            parameters are one group.
        encoder_scale: factor of the learning rate of the last of these layers.
        encoder_decay: factor of each other one's to the next one's, as in BEiT (Bao et al. 2021).

    Raises:
        InputError: the optimiser does not take its options or these parameters.
    """
    try:
        if not encoder:
            return make(parameters)
        joined = [parameter for layer in encoder for parameter in layer]
        inside = {id(parameter) for parameter in joined}
        others = [parameter for parameter in parameters if id(parameter) not in inside]
        groups = [others, *encoder] if encoder_decay != 1 else [others, joined]
        optimizer = make([{"params": group} for group in groups])
    # torch raises the last where this device or these options do not go with fused
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(f"model.optimizer: {error}; see conf/model/unet.yaml") from error
    for depth, group in enumerate(reversed(optimizer.param_groups[1:])):
        group["lr"] *= encoder_scale * encoder_decay**depth
    return optimizer


def build_schedule(
    schedule: str | MakeSchedule | None, interval: str, optimizer: Optimizer, steps: int
) -> dict[str, Any]:
    """Return the schedule as Lightning wants it; empty where the learning rate is constant.

    Args:
        schedule: `plateau`, `cosine`, None, or from an optimiser to a schedule of torch or timm.
        interval: `epoch` or `step`, when the latter is stepped.
        optimizer: whose learning rate it sets.
        steps: of the entire training.

    Raises:
        InputError: the schedule does not take its options.
    """
    if schedule is None:
        return {}
    if schedule == "plateau":
        # torch halves at the first bad epoch beyond its patience, Keras at the fifth of five
        plateau = ReduceLROnPlateau(optimizer, mode="max", factor=0.5, patience=4, min_lr=1e-6)
        return {"scheduler": plateau, "reduce_on_plateau": False}
    if schedule == "cosine":
        cosine = LambdaLR(optimizer, lambda step: cosine_with_warmup(step, steps))
        return {"scheduler": cosine, "interval": "step"}
    try:
        built = schedule(optimizer)
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"model.schedule: {error}") from error
    if type(built).__name__ == "PlateauLRScheduler":  # which timm is about to remove
        raise InputError("model.schedule: timm's PlateauLRScheduler is not stepped; give plateau")
    if isinstance(built, ReduceLROnPlateau) and built.mode != "max":
        raise InputError(
            "model.schedule: ReduceLROnPlateau waits for val/score to grow; give it mode: max"
        )
    return {"scheduler": built, "interval": interval, "reduce_on_plateau": False}


def step_schedule(scheduler: Any, interval: str, epoch: int, step: int) -> None:
    """Step a schedule of torch or timm; one that waits for a plateau needs a score instead.

    Args:
        scheduler: of `build_schedule`.
        interval: when it is stepped.
        epoch: number of epochs that are done.
        step: number of steps that are done.
    """
    if isinstance(scheduler, TimmScheduler):
        if interval == "step":
            scheduler.step_update(step)
        else:
            scheduler.step(epoch)
    elif isinstance(scheduler, LRScheduler) and not isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step()


def clip_fused(optimizer: Optimizer, limit: float, algorithm: str, precision: str | int) -> None:
    """Clip the gradients of a fused optimiser's parameters by `norm` or by `value`.

    Lightning 2.6 refuses that with fused optimisers, whose fp16 gradients are scaled until they
    step; in bf16 nothing is scaled.

    Raises:
        InputError: the gradients are scaled.
    """
    if precision == "16-mixed":
        raise InputError(
            "trainer.gradient_clip_val with trainer.precision=16-mixed needs "
            "model.optimizer.fused=false"
        )
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    if algorithm == "value":
        torch.nn.utils.clip_grad_value_(parameters, limit)
    else:
        torch.nn.utils.clip_grad_norm_(parameters, limit)


def cosine_with_warmup(step: int, steps: int) -> float:
    """Share of the learning rate at a step: 5 % linear rise, then half a cosine down to 1 %."""
    warmup = max(1, round(0.05 * steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, steps - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress))
