"""What a run does and writes while it trains: early stopping, freezing, sheets of photos."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.trainer.states import TrainerFn

from flukeseg.data.dataset import FlukeDataset, Sample
from flukeseg.data.sampling import seed_of
from flukeseg.errors import InputError, require_int
from flukeseg.images.tensors import to_array
from flukeseg.masks.sheets import Cell, draw_sheet
from flukeseg.training.loggers import log_picture

log = logging.getLogger(__name__)


class EarlyStop(EarlyStopping):
    """Early stopping that a resumed run remembers: one that had stopped trains no further epoch.

    Unless its patience is more now.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; Lightning would take its patience too."""
        super().load_state_dict({**state_dict, "patience": self.patience})

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop at once if patience had run out."""
        if self.wait_count >= max(self.patience, 1):
            log.info(
                "it had stopped early, after %d epochs without a better %s: "
                "callbacks.early_stopping.patience=%d or more goes on",
                *(self.wait_count, self.monitor, self.wait_count + 1),
            )
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Stop where there was no improvement.

        Raises:
            InputError: the metric is not one of those that were computed.
        """
        known = trainer.callback_metrics
        if self.monitor not in known and "val/score" in known:
            raise InputError(
                f"callbacks.early_stopping.monitor={self.monitor} is not one of "
                f"{', '.join(sorted(known))}"
            )
        if self.monitor in known:  # not where the photos that are looked at hold no fluke
            super().on_train_epoch_end(trainer, module)


class ResumableEpochs(pl.Callback):
    """Makes the epochs of a resumed run what they would have been, in samples and in dropout.

    Args:
        seed: of the run.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_load_checkpoint(
        self, trainer: pl.Trainer, module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Set the first epoch.

        Lightning 2.6 sets it when loading processes have already drawn samples of epoch 0.
        """
        progress = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
        trainer.datamodule.first_epoch = progress["processed"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Seed torch, for encoders with dropout, by run, step, process and part of the step."""
        part = batch_idx % trainer.accumulate_grad_batches
        torch.manual_seed(seed_of(self.seed, trainer.global_step, trainer.global_rank, part))


class FreezeEncoder(pl.Callback):
    """Leaves the encoder as it is for the first epochs, running statistics of BatchNorm too.

    Its gradients are dropped rather than not computed: several devices expect all of them.

    Args:
        epochs: at the start, in which the encoder is not trained.
    """

    def __init__(self, epochs: int) -> None:
        self.epochs = require_int("callbacks.freeze.epochs", epochs, least=0)

    def on_train_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Use the encoder's running statistics, or update them again."""
        module.network.encoder().train(trainer.current_epoch >= self.epochs)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Drop the encoder's gradients."""
        if trainer.current_epoch < self.epochs:
            for parameter in module.network.encoder().parameters():
                parameter.grad = None


class PhotoSheets(pl.Callback):
    """Keeps `validation.jpg` and `held_out.jpg`: best, median and worst photos, with contours.

    The first shows the best epoch so far by `val/score`, and at the end the checkpoint that is
    kept; the second shows the test set if there is one. Photos are ordered by their Dice, those
    without a fluke too: 1 where nothing is predicted, else 0.

    Args:
        folder: of the run.
        count: photos a row.
    """

    def __init__(self, folder: str, count: int = 4) -> None:
        self.folder, self.count = Path(folder), count
        self.best = -math.inf
        self.dice: list[float] = []
        self.predicted: list[np.ndarray] = []

    def on_validation_epoch_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Forget the previous epoch."""
        self.dice, self.predicted = [], []

    def on_validation_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Keep the masks, one bit a pixel: the sheet is drawn once the median is known."""
        self.dice += outputs["dice"].tolist()
        self.predicted += [np.packbits(mask.cpu().numpy()) for mask in outputs["predicted"]]

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Draw the sheet where this epoch is the best so far."""
        if trainer.sanity_checking:
            return
        if "val/score" not in trainer.callback_metrics:
            return  # only the first batches are looked at, and hold no fluke
        self._gather(trainer)
        score = float(trainer.callback_metrics["val/score"])
        if score > self.best or trainer.state.fn == TrainerFn.VALIDATING:
            self.best = max(score, self.best)
            self._draw(trainer, trainer.val_dataloaders.dataset, "validation.jpg")

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end

    def on_test_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Draw the sheet of the test set."""
        self._gather(trainer)
        self._draw(trainer, trainer.test_dataloaders.dataset, "held_out.jpg")

    def state_dict(self) -> dict[str, Any]:
        """Return the best score, for the checkpoint."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint's best score."""
        self.best = state_dict["best"]

    def _gather(self, trainer: pl.Trainer) -> None:
        """Collect the photos of all processes, each of which sees every nth."""
        if (ranks := trainer.world_size) == 1:
            return
        parts: list[Any] = [None] * ranks
        torch.distributed.all_gather_object(parts, (self.dice, self.predicted))
        places = [divmod(i, ranks) for i in range(sum(len(dice) for dice, _ in parts))]
        self.dice = [parts[rank][0][i] for i, rank in places]
        self.predicted = [parts[rank][1][i] for i, rank in places]

    def _draw(self, trainer: pl.Trainer, dataset: FlukeDataset, name: str) -> None:
        if not trainer.is_global_zero:
            return
        order = np.argsort(self.dice, kind="stable")[::-1]
        middle = max(0, (len(order) - self.count) // 2)
        rows = {
            "best": order[: self.count],
            "median": order[middle : middle + self.count],
            "worst": order[-self.count :],
        }
        cells = {title: [self._cell(dataset[i], i) for i in row] for title, row in rows.items()}
        draw_sheet(cells, self.folder / name)
        for logger in trainer.loggers:
            log_picture(logger, self.folder / name, trainer.global_step)

    def _cell(self, sample: Sample, i: int) -> Cell:
        photo = to_array(sample["image"][:3])
        truth = sample["mask"][0].numpy().astype(np.uint8)
        predicted = np.unpackbits(self.predicted[i], count=truth.size).reshape(truth.shape)
        return Cell(f"{sample['name']} {self.dice[i]:.3f}", photo, truth, predicted)
