"""Figures taken while training, at network size. How good a mask is at its photo's size is judged
elsewhere; these choose a checkpoint."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric


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


class SoftDice(Metric):
    """Dice of probabilities, not thresholded, over all pixels of all batches together.

    The reference's own figure, save that it took the mean over batches and dropped the last one.
    It flatters: one large, easy fluke outweighs many small ones. Both empty is 1.
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
