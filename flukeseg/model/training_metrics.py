"""Metrics of a training run, at network size: they choose the checkpoint.

`flukeseg.masks.metrics` judges cleaned masks at the size of their photos.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from flukeseg.masks.cleaning import Cleaning


def photo_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Dice of each photo at threshold 0.5, for logits and targets N×1×H×W.

    Returns N float32 in 0..1. Both masks empty is 1; one of them empty is 0.
    """
    predicted, true = logits.flatten(1) > 0, target.flatten(1) > 0.5
    overlap = (predicted & true).sum(1).float()
    total = predicted.sum(1).float() + true.sum(1)
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total))


def photo_boundary_iou(logits: Tensor, target: Tensor, share: float = 0.02) -> Tensor:
    """IoU of the bands inside both masks' edges, of each photo, at network size and threshold 0.5.

    The band is `share` of the diagonal wide, as in `flukeseg.masks.metrics.boundary_iou`, which
    judges at the photo's own size. Logits and targets N×1×H×W; returns N float32 in 0..1. Both
    masks empty is 1; one of them empty is 0.
    """
    thick = max(1, round(share * math.hypot(*logits.shape[-2:])))
    predicted, true = (_band(mask.float(), thick) for mask in (logits > 0, target > 0.5))
    union = (predicted | true).flatten(1).sum(1)
    overlap = (predicted & true).flatten(1).sum(1).float()
    return torch.where(union > 0, overlap / union.clamp(min=1), torch.ones_like(overlap))


def _band(mask: Tensor, thick: int) -> Tensor:
    """Pixels of a mask N×1×H×W within `thick` of its edge; beyond the frame there is no mask."""
    outside = F.pad(1 - mask, [thick] * 4, value=1.0)
    # the square in two steps, which is many times faster
    across = F.max_pool2d(outside, (1, 2 * thick + 1), stride=1)
    return (mask > 0) & (F.max_pool2d(across, (2 * thick + 1, 1), stride=1) > 0)


class FlukeScores(Metric):
    """How good masks are, photos with and without a fluke apart.

    A photo without a fluke has no Dice worth the name: it is 1 or 0 by a single pixel, so that a
    few of them would outweigh what many others gain. `compute` returns, each in 0..1 but `score`:

    - `dice`, `boundary_iou`: mean over the photos that hold a fluke; a missed fluke is 0.
    - `missed`: share of these whose predicted mask is empty, or so small that `Cleaning` drops it.
    - `false`: share of the photos without a fluke whose predicted mask is larger than that.
    - `score`: `dice` less the false area, which is the predicted area in photos without a fluke
      divided by the true area in all others. So a false fluke as large as a true one costs what a
      missed one does, and a few stray pixels cost next to nothing.

    A metric is left out where there is no photo of its kind.
    """

    full_state_update = False
    higher_is_better = True
    SUMS = ("dice", "boundary_iou", "missed", "false", "flukes", "empty", "true_area", "false_area")

    def __init__(self) -> None:
        super().__init__()
        for name in self.SUMS:
            self.add_state(f"sum_{name}", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch of logits and targets N×1×H×W."""
        true = (target.flatten(1) > 0.5).float().mean(1)
        predicted = (logits.flatten(1) > 0).float().mean(1)
        holds = true > 0
        of_photos = {
            "dice": photo_dice(logits, target) * holds,
            "boundary_iou": photo_boundary_iou(logits, target) * holds,
            "missed": holds & (predicted < Cleaning.min_coverage),
            "false": ~holds & (predicted >= Cleaning.min_coverage),
            "flukes": holds,
            "empty": ~holds,
            "true_area": true,
            "false_area": predicted * ~holds,
        }
        for name, values in of_photos.items():
            setattr(self, f"sum_{name}", getattr(self, f"sum_{name}") + values.float().sum())

    def compute(self) -> dict[str, Tensor]:
        """Return the metrics so far, as scalars by name."""
        sums = {name: getattr(self, f"sum_{name}") for name in self.SUMS}
        found = {}
        if sums["flukes"] > 0:
            found = {n: sums[n] / sums["flukes"] for n in ("dice", "boundary_iou", "missed")}
            found["score"] = found["dice"] - sums["false_area"] / sums["true_area"]
        if sums["empty"] > 0:
            found["false"] = sums["false"] / sums["empty"]
        return found


class SoftDice(Metric):
    """Dice of probabilities, not thresholded, over all pixels of all batches together.

    The reference's metric, except that it averaged over batches and dropped the last one. One
    large, easy fluke outweighs many small ones. Both empty is 1.
    """

    full_state_update = False
    higher_is_better = True

    def __init__(self) -> None:
        super().__init__()
        # in megapixels: float32 adds these up exactly enough, and some devices have nothing else
        for name in ("overlap", "total"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, logits: Tensor, target: Tensor) -> None:
        """Add a batch of logits and targets N×1×H×W."""
        probability = torch.sigmoid(logits.float())
        self.overlap += (probability * target).sum() / 1e6
        self.total += (probability.sum() + target.sum()) / 1e6

    def compute(self) -> Tensor:
        """Return the Dice so far, a scalar in 0..1."""
        one_pixel = 1e-6
        return (2 * self.overlap + one_pixel) / (self.total + one_pixel)
