"""What predicts: networks and views, whatever computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from flukeseg.masks.geometry import Box
from flukeseg.model.tta import PLAIN, BatchProbability, View, average_views

SIZE_ERRORS = (AssertionError, RuntimeError, ValueError)
"""What networks raise at sizes that they do not take."""


class PhotoProbability(NamedTuple):
    """Probabilities of one photo, at the network's size.

    `probability`: h×w float32 in 0..1. `spread`: h×w float32 in 0..0.5, the standard deviation
    between views, and `disagreement`, 0..1, between their masks; both NaN after a single view.
    `second`: second looks at parts of the photo, which do not overlap.
    """

    probability: np.ndarray
    spread: np.ndarray
    disagreement: float
    second: tuple[SecondLook, ...] = ()


class SecondLook(NamedTuple):
    """A second look at a box of the upright photo; the others as in `PhotoProbability`.

    `believed`: whether it counts, see `flukeseg.masks.second_look`.
    """

    box: Box
    probability: np.ndarray
    spread: np.ndarray
    disagreement: float
    believed: bool


def split_batch(averaged: BatchProbability) -> list[PhotoProbability]:
    """Return the probabilities of each photo of a batch."""
    probability, spread, disagreement = (values.cpu().numpy() for values in averaged)
    return [
        PhotoProbability(*maps, float(value))
        for *maps, value in zip(probability[:, 0], spread[:, 0], disagreement, strict=True)
    ]


class Predictor(pl.LightningModule):
    """Averages probabilities over networks and views; Lightning's `Trainer.predict` runs it.

    Args:
        networks: each from images N×3×H×W float32, RGB in 0..1, to probabilities N×1×H×W float32.
        size: (height, width) that photos are resized to.
        views: of test-time augmentation, see `flukeseg.model.tta.TTA`.
        runtime: name of what computes the networks.
        in_channels: of photos, 4 with a mask.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        size: tuple[int, int],
        views: Sequence[View] = (PLAIN,),
        runtime: str = "torch",
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.size, self.views, self.runtime = size, tuple(views), runtime
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

    def predict_step(self, batch: Mapping[str, Any], batch_index: int = 0) -> BatchProbability:
        """Return the averaged probabilities of a batch's `image`."""
        return self(batch["image"])
