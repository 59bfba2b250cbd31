"""What predicts with torch: networks and views."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from flukeseg.masks.probability import PhotoProbability
from flukeseg.model.runtimes import Compute
from flukeseg.model.tta import PLAIN, BatchProbability, View, average_views, split_batch


class ScriptNetwork(nn.Module):
    """A TorchScript file's network, which stays on the processor.

    Args:
        compute: from images N×3×H×W float32 to probabilities N×1×H×W float32.
    """

    def __init__(self, compute: Compute) -> None:
        super().__init__()
        self.compute = compute

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities N×1×H×W of images N×3×H×W, RGB in 0..1."""
        return torch.from_numpy(self.compute(image.float().cpu().numpy()))


class Predictor(pl.LightningModule):
    """Averages probabilities over networks and views; Lightning's `Trainer.predict` runs it.

    Args:
        networks: each from images N×3×H×W float32, RGB in 0..1, to probabilities N×1×H×W float32.
        size: (height, width) that photos are resized to.
        views: of test-time augmentation, see `flukeseg.model.tta.TTA`.
        in_channels: of photos, 4 with a mask.
    """

    runtime = "torch"

    def __init__(
        self,
        networks: Sequence[nn.Module],
        size: tuple[int, int],
        views: Sequence[View] = (PLAIN,),
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.size, self.views = size, tuple(views)
        self.in_channels = in_channels
        self.eval()

    def forward(self, image: Tensor) -> BatchProbability:
        """Return the averaged probabilities of images N×C×H×W, uint8 or float RGB in 0..1.

        Raises:
            InputError: a network gives values that are not finite.
        """
        if image.dtype == torch.uint8:
            # the default is what Lightning sets for its true-half precisions
            image = image.to(torch.get_default_dtype()).div_(255)
        return average_views(self.networks, image, self.views)

    @torch.inference_mode()
    def see(self, images: np.ndarray | Tensor) -> list[PhotoProbability]:
        """Return the averaged probabilities of each of the images, which may be on any device."""
        return split_batch(self(torch.as_tensor(images, device=self.device)))

    def predict_step(self, batch: Mapping[str, Any], batch_index: int = 0) -> BatchProbability:
        """Return the averaged probabilities of a batch's `image`."""
        return self(batch["image"])
