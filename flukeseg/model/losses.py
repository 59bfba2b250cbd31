"""The loss: binary cross-entropy + (1 − Dice)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BCEDiceLoss(nn.Module):
    """Binary cross-entropy plus one minus soft Dice, as in the reference recipe.

    Dice is taken over all pixels of the batch together:
    (2 Σpt + smooth) / (Σp + Σt + smooth). A batch without fluke, predicted as such, has Dice 1,
    and `smooth` keeps its gradient finite. Pixels whose target is 0.5 are unknown and left out.

    Args:
        smooth: added to numerator and denominator, in pixels.
        bce_weight: weight of the cross-entropy.
        dice_weight: weight of the Dice part.
    """

    def __init__(
        self, smooth: float = 1.0, bce_weight: float = 1.0, dice_weight: float = 1.0
    ) -> None:
        super().__init__()
        self.smooth, self.bce_weight, self.dice_weight = smooth, bce_weight, dice_weight

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return scalars `loss`, `bce` and `dice_loss` for logits and targets N×1×H×W.

        A loss that replaces this one returns a dict with `loss`; its other entries are logged.
        """
        # bf16 has 8 bits, too few to sum a million pixels
        logits, target = logits.float(), target.float()
        known = (target != 0.5).float()
        bce = F.binary_cross_entropy_with_logits(logits, target, known, reduction="sum")
        bce = bce / known.sum().clamp(min=1)
        dice_loss = 1 - soft_dice(torch.sigmoid(logits) * known, target * known, self.smooth)
        return {
            "loss": self.bce_weight * bce + self.dice_weight * dice_loss,
            "bce": bce.detach(),
            "dice_loss": dice_loss.detach(),
        }


def soft_dice(probability: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """Dice over all pixels of two tensors of one shape, in 0..1; both empty is 1."""
    overlap = (probability * target).sum()
    return (2 * overlap + smooth) / (probability.sum() + target.sum() + smooth)
