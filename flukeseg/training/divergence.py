"""Stops a training that diverges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

from flukeseg.errors import InputError

CHECK_EVERY = 50
"""Steps between checks on a GPU, as each waits for the device; elsewhere every step is checked."""


LARGEST = 1e6
"""A loss above it will not recover: the mean cross-entropy of logits of a million. With an absurd
learning rate it may stay finite to the end, and yet no mask holds a fluke."""


class StopOnDivergence(pl.Callback):
    """Ends a run at the first training or validation loss that is NaN or above `LARGEST`.

    No checkpoint is written after that, so that those of earlier epochs are kept.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.first = torch.tensor(torch.inf)
        self.validated = torch.tensor(True)

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Note the first step with such a loss, and stop where a check is due."""
        loss, step = outputs["loss"].detach(), trainer.global_step
        at = torch.where(loss < LARGEST, torch.inf, float(step))  # NaN is not less
        self.first = torch.minimum(self.first.to(at.device), at)
        if loss.device.type != "cpu" and step % CHECK_EVERY and not trainer.is_last_batch:
            return
        first = float(trainer.strategy.reduce(self.first, reduce_op="min"))
        if first < torch.inf:
            self._stop(trainer, "training", int(first))

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Note whether the losses are in order."""
        self.validated = self.validated.to(module.device) & (outputs["loss"] < LARGEST)

    def on_validation_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop before the epoch's checkpoint is written: its weights are of no use."""
        if not trainer.strategy.reduce_boolean_decision(bool(self.validated)):
            self._stop(trainer, "validation", trainer.global_step)

    def _stop(self, trainer: pl.Trainer, kind: str, step: int) -> None:
        rate = trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else None
        lower = "" if rate is None else f" than {rate:g}"
        raise InputError(
            f"the {kind} loss is above {LARGEST:g} or not a number in epoch "
            f"{trainer.current_epoch}, step {step}; try a lower model.optimizer.lr{lower}, or look "
            f"for unusual photos (checkpoints of earlier epochs: {self.folder / 'checkpoints'})"
        )
