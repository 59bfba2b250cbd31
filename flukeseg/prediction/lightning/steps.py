"""Photos predicted by Lightning's `Trainer.predict`, their products by its callback."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import BasePredictionWriter

from flukeseg.data.loading import explain_loading_errors
from flukeseg.masks.probability import PhotoProbability
from flukeseg.prediction.lightning.photo_loader import PhotoBatch, photo_loader
from flukeseg.prediction.loader import PhotoFiles
from flukeseg.prediction.looking import Looker
from flukeseg.prediction.writer import ProductWriter


def run_trainer(
    trainer: pl.Trainer,
    looker: Looker,
    photos: PhotoFiles,
    batch_size: int,
    num_workers: int,
    writer: ProductWriter,
) -> None:
    """Predict photos on a trainer's devices, and wait for its other processes.

    Raises:
        InputError: photos could not be loaded, or their products written.
    """
    trainer.callbacks.append(WriterCallback(writer))  # type: ignore[attr-defined]
    with explain_loading_errors("start again to go on"):
        trainer.predict(
            LookerModule(looker),
            photo_loader(photos, batch_size, num_workers),
            return_predictions=False,
        )
    trainer.strategy.barrier()


class LookerModule(pl.LightningModule):
    """Looks at photos, on the device that Lightning moves it to.

    Args:
        looker: what looks.
    """

    def __init__(self, looker: Looker) -> None:
        super().__init__()
        self.looker = looker
        self.is_on_device = isinstance(looker.predictor, torch.nn.Module)
        if self.is_on_device:
            self.predictor = looker.predictor

    def predict_step(self, batch: PhotoBatch, batch_index: int = 0) -> list[PhotoProbability]:
        """Return what is seen of each readable photo of a batch, in order."""
        readable = sum(not file.problem for file in batch["files"])
        # other runtimes need no black photos, and are on the processor
        images = batch["image"] if self.is_on_device else batch["image"][:readable].cpu().numpy()
        return self.looker.look(images, batch["files"])


class WriterCallback(BasePredictionWriter):
    """Hands predictions over to what writes their products.

    Args:
        writer: what writes.
    """

    def __init__(self, writer: ProductWriter) -> None:
        super().__init__(write_interval="batch")
        self.writer = writer
        self.started = 0.0

    def on_predict_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Start to write."""
        self.writer.start()

    def on_predict_batch_start(self, *_: Any) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def write_on_batch_end(
        self,
        trainer: pl.Trainer,
        module: pl.LightningModule,
        prediction: Sequence[PhotoProbability],
        batch_indices: Sequence[int] | None,
        batch: PhotoBatch,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Write the products of a batch."""
        self.writer.write(batch["files"], prediction, time.perf_counter() - self.started)

    def on_predict_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        """Wait until all is written."""
        self.writer.finish()

    def on_exception(self, *_: Any) -> None:
        """Let what has begun be written, after Ctrl-C too."""
        self.writer.stop()
