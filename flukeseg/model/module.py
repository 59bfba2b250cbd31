"""The LightningModule: network, loss, metrics and optimiser in named steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from flukeseg.data.dataset import Sample
from flukeseg.errors import InputError, require_number
from flukeseg.model.layers.mask_dropout import MaskDropout
from flukeseg.model.losses import BCEDiceLoss, compute_loss
from flukeseg.model.network import FlukeNetwork, ProbabilityNetwork
from flukeseg.model.optimisation import (
    INTERVALS,
    SCHEDULES,
    MakeOptimizer,
    MakeSchedule,
    build_optimizer,
    build_schedule,
    clip_fused,
    step_schedule,
)
from flukeseg.model.predictor import Predictor
from flukeseg.model.training_metrics import FlukeScores, SoftDice, photo_dice
from flukeseg.model.tta import BatchProbability, views_of
from flukeseg.model.weights import load_network


class SegmentationModule(pl.LightningModule):
    """Learns fluke masks; the metrics it logs are at network size and threshold 0.5.

    Logged: `train/loss` and its parts, `val/loss` and its parts, `val/soft_dice` (the reference's:
    probabilities, all pixels pooled), and what `FlukeScores` defines: `val/score`, which chooses
    the checkpoint, `val/dice`, `val/boundary_iou`, `val/missed`, `val/false`.

    Args:
        encoder: see `FlukeNetwork`.
        encoder_weights: see `FlukeNetwork`; a loaded checkpoint brings its own.
        start_from: a run or checkpoint whose network is fine-tuned, for example one trained on
            rendered flukes; `encoder_weights` is then not used.
        size: (height, width) of the training photos; stored in the checkpoint for prediction.
        loss: from logits and targets to a scalar or to a dict with `loss`, see `compute_loss`;
            BCE + Dice by default.
        optimizer: from parameters to an optimiser; Adam by default.
        encoder_lr_scale: factor of the encoder's learning rate.
        encoder_lr_decay: factor of the learning rate of each of its layers to the next one's.
        schedule: `plateau` halves the learning rate after 5 epochs without a better `val/score`,
            down to 1e-6; `cosine` rises for 5 % of all steps and falls to 1 % in a cosine; None
            keeps it. Or from an optimiser to a schedule of torch or timm.
        schedule_interval: `epoch` or `step`, when a schedule of torch or timm is stepped.
        architecture: see `FlukeNetwork`; checkpoints that do not say are of a U-Net.
        decoder: see `FlukeNetwork`.
        in_channels: see `FlukeNetwork`; checkpoints that do not say are for photos alone.
        mask_dropout: with 4 channels, share of the training photos whose mask is emptied, see
            `MaskDropout`.
        network: class of a network of one's own, see `FlukeNetwork`. A checkpoint holds its name
            only, and is loaded with the class, see `load_module`.
        network_options: its arguments, plain values.
        learnt_from, tta: see `flukeseg.model.checkpoint_files.learnt_from`, and
            `flukeseg.model.tta.TTA`, the views of `predict_step`.
    """

    def __init__(
        self,
        encoder: str = "seresnet34",
        encoder_weights: str | None = None,
        start_from: str | None = None,
        size: tuple[int, int] = (192, 384),
        loss: nn.Module | None = None,
        optimizer: MakeOptimizer | None = None,
        encoder_lr_scale: float = 1.0,
        encoder_lr_decay: float = 1.0,
        schedule: str | MakeSchedule | None = "plateau",
        schedule_interval: str = "epoch",
        architecture: str = "unet",
        decoder: Mapping[str, Any] | None = None,
        in_channels: int = 3,
        mask_dropout: float = 0.5,
        network: type[nn.Module] | None = None,
        network_options: Mapping[str, Any] | None = None,
        learnt_from: str = "",
        tta: str = "flip",
    ) -> None:
        super().__init__()
        if schedule not in SCHEDULES and not callable(schedule):
            raise InputError(
                f"model.schedule={schedule} must be plateau, cosine, null or {{_target_:CLASS,…}}"
            )
        if schedule_interval not in INTERVALS:
            raise InputError(f"model.schedule_interval={schedule_interval} must be epoch or step")
        require_number("model.encoder_lr_scale", encoder_lr_scale, most=100)
        require_number("model.encoder_lr_decay", encoder_lr_decay)
        self.size = size = (int(size[0]), int(size[1]))
        self.optimizer = optimizer or torch.optim.Adam
        self.encoder_lr_scale, self.encoder_lr_decay = encoder_lr_scale, encoder_lr_decay
        self.schedule, self.schedule_interval = schedule, schedule_interval
        self.views = views_of(tta)
        weights = None if start_from else encoder_weights
        own = {"own": network, "own_options": network_options}
        built = FlukeNetwork(encoder, weights, architecture, decoder, in_channels, **own)
        # plain types only, so that checkpoints load with weights_only; and no weights to fetch
        # again when they do
        self.save_hyperparameters({
            "encoder": encoder, "size": size, "architecture": architecture,
            "decoder": dict(decoder or {}), "in_channels": in_channels, "learnt_from": learnt_from,
            **({} if network is None else {
                "network": f"{network.__module__}.{network.__qualname__}",
                "network_options": dict(network_options or {}),
            }),
        })  # fmt: skip
        if start_from:
            load_network(built, start_from)
        self.network = built.to(memory_format=torch.channels_last)
        self.mask_dropout = MaskDropout(mask_dropout)
        self.loss = loss or BCEDiceLoss()
        self.val_scores, self.test_scores = FlukeScores(), FlukeScores()
        self.val_soft_dice, self.test_soft_dice = SoftDice(), SoftDice()

    def forward(self, image: Tensor) -> Tensor:
        """Return logits N×1×H×W of images N×3×H×W, RGB in 0..1, or N×4×H×W."""
        return self.network(image)

    def training_step(self, batch: Sample, batch_index: int) -> Tensor:
        """Return the loss of a batch."""
        image = batch["image"]
        logits = self(self.mask_dropout(image) if image.shape[1] == 4 else image)
        parts = compute_loss(self.loss, logits, batch["mask"])
        self._log_parts("train", parts, batch)
        return parts["loss"]

    def validation_step(self, batch: Sample, batch_index: int) -> dict[str, Tensor]:
        """Add a batch to the metrics.

        Returns:
            For callbacks: `loss`, `dice` N (of photos without a fluke too, see `photo_dice`) and
            `predicted` N×H×W bool.
        """
        return self._judge("val", batch, self.val_scores, self.val_soft_dice)

    def test_step(self, batch: Sample, batch_index: int) -> dict[str, Tensor]:
        """Do as `validation_step`, on photos that choose nothing."""
        return self._judge("test", batch, self.test_scores, self.test_soft_dice)

    def predict_step(self, batch: Mapping[str, Any], batch_index: int = 0) -> BatchProbability:
        """Return the probabilities of a batch's `image`, averaged over the views of `tta`."""
        predictor = Predictor(
            [ProbabilityNetwork(self.network)],
            self.size,
            self.views,
            in_channels=self.network.in_channels,
        )
        return predictor.predict_step(batch, batch_index)

    def configure_optimizers(self) -> dict[str, Any]:
        """Build the optimiser and its schedule."""
        factors = self.encoder_lr_scale, self.encoder_lr_decay
        encoder = [] if factors == (1, 1) else self.network.encoder_layers()
        optimizer = build_optimizer(self.optimizer, [*self.parameters()], encoder, *factors)
        # only this one needs the number of steps, which needs a trainer
        steps = int(self.trainer.estimated_stepping_batches) if self.schedule == "cosine" else 0
        schedule = build_schedule(self.schedule, self.schedule_interval, optimizer, steps)
        return {"optimizer": optimizer, **({"lr_scheduler": schedule} if schedule else {})}

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the gradients, in bf16 too, see `clip_fused`."""
        if gradient_clip_val and any(group.get("fused") for group in optimizer.param_groups):
            precision, algorithm = self.trainer.precision, gradient_clip_algorithm or "norm"
            clip_fused(optimizer, gradient_clip_val, algorithm, precision)
        elif gradient_clip_val:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    def on_validation_start(self) -> None:
        """Give every process the same running statistics of BatchNorm."""
        if self.trainer.world_size > 1:
            for buffer in self.network.buffers():
                torch.distributed.broadcast(buffer, 0)

    def on_validation_epoch_start(self) -> None:
        """Do so again: `callbacks=ema` has put averages in their place, each process its own."""
        self.on_validation_start()

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the epoch and step the plateau schedule.

        Lightning would step it after the epoch's checkpoint is written, and a resumed run would not
        know of that epoch.
        """
        scores = self._log_scores("val", self.val_scores)
        if self.trainer.state.fn != TrainerFn.FITTING or self.trainer.sanity_checking:
            return
        scheduler = self.lr_schedulers()
        # there is none where only the first batches are looked at, and hold no fluke
        if isinstance(scheduler, ReduceLROnPlateau) and "score" in scores:
            scheduler.step(scores["score"])

    def on_test_epoch_end(self) -> None:
        """Log the metrics of the test photos."""
        self._log_scores("test", self.test_scores)

    def lr_scheduler_step(self, scheduler: Any, metric: Any | None) -> None:
        """Step any other schedule when Lightning does."""
        step_schedule(
            scheduler, self.schedule_interval, self.current_epoch + 1, self.trainer.global_step
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Drop the state of another loss: prediction needs none."""
        own = self.state_dict()
        for name in [n for n in checkpoint["state_dict"] if n.startswith("loss.") and n not in own]:
            del checkpoint["state_dict"][name]

    def _judge(
        self, stage: str, batch: Sample, scores: FlukeScores, soft_dice: SoftDice
    ) -> dict[str, Tensor]:
        logits = self(batch["image"]).float()
        parts = compute_loss(self.loss, logits, batch["mask"])
        self._log_parts(stage, parts, batch)
        scores.update(logits, batch["mask"])
        soft_dice.update(logits, batch["mask"])
        self.log(f"{stage}/soft_dice", soft_dice, on_epoch=True, on_step=False, prog_bar=True)
        dice = photo_dice(logits, batch["mask"])
        return {"loss": parts["loss"], "dice": dice, "predicted": logits[:, 0] > 0}

    def _log_scores(self, stage: str, scores: FlukeScores) -> dict[str, Tensor]:
        found = scores.compute()  # of all processes together
        scores.reset()
        for name, value in found.items():
            shown = name in ("dice", "false")
            self.log(f"{stage}/{name}", value, prog_bar=shown, sync_dist=True)
        return found

    def _log_parts(self, stage: str, parts: dict[str, Tensor], batch: Sample) -> None:
        self.log_dict(
            {f"{stage}/{name}": value.detach() for name, value in parts.items()},
            on_step=False,
            on_epoch=True,
            batch_size=len(batch["image"]),
            sync_dist=True,
        )
