"""The loss, binary cross-entropy + (1 − Dice), and whatever takes its place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flukeseg.errors import InputError, require_number

UNKNOWN_TARGET = 0.5
"""Target of a pixel that pseudo-labels leave open."""

CERTAIN_SEA = -20.0
"""Logit that unknown pixels get for losses that know nothing of them; its sigmoid is 2e-9."""


class BCEDiceLoss(nn.Module):
    """Binary cross-entropy plus one minus soft Dice, as in the reference recipe.

    Dice is (2 Σpt + smooth) / (Σp + Σt + smooth), over all pixels of the batch together as there,
    or the mean of each photo's own. Without fluke, predicted as such, it is 1, and `smooth` keeps
    its gradient finite. Pixels whose target is 0.5 are unknown and left out.

    Args:
        smooth: added to numerator and denominator, in pixels.
        bce_weight: weight of the cross-entropy.
        dice_weight: weight of the Dice part.
        dice_over: `batch`, or `photo`: small flukes, and photos without one, then count as much as
            flukes that fill theirs.

    Raises:
        InputError: one of them is negative or no number, or `dice_over` is neither.
    """

    handles_unknown = True

    def __init__(
        self,
        smooth: float = 1.0,
        bce_weight: float = 1.0,
        dice_weight: float = 1.0,
        dice_over: str = "batch",
    ) -> None:
        super().__init__()
        weights = {"smooth": smooth, "bce_weight": bce_weight, "dice_weight": dice_weight}
        for name, value in weights.items():
            require_number(f"model.loss.{name}", value, most=1e6)
        if dice_over not in ("batch", "photo"):
            raise InputError(f"model.loss.dice_over={dice_over} must be batch or photo")
        self.over_photos = dice_over == "photo"
        self.smooth, self.bce_weight, self.dice_weight = smooth, bce_weight, dice_weight

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return scalars `loss`, `bce` and `dice_loss` for logits and targets N×1×H×W."""
        # bf16 has 8 bits, too few to sum a million pixels
        logits, target = logits.float(), target.float()
        known = (target != UNKNOWN_TARGET).float()
        bce = F.binary_cross_entropy_with_logits(logits, target, known, reduction="sum")
        bce = bce / known.sum().clamp(min=1)
        rows = len(logits) if self.over_photos else 1
        probability = (torch.sigmoid(logits) * known).reshape(rows, -1)
        dice = soft_dice(probability, (target * known).reshape(rows, -1), self.smooth)
        dice_loss = 1 - dice.mean()
        return {
            "loss": self.bce_weight * bce + self.dice_weight * dice_loss,
            "bce": bce.detach(),
            "dice_loss": dice_loss.detach(),
        }


def soft_dice(probability: Tensor, target: Tensor, smooth: float = 1.0) -> Tensor:
    """Dice of each row of two tensors N×pixels, N values in 0..1; both empty is 1."""
    overlap = (probability * target).sum(1)
    return (2 * overlap + smooth) / (probability.sum(1) + target.sum(1) + smooth)


class WeightedSum(nn.Module):
    """A weighted sum of losses, each logged by its name.

    Args:
        losses: by name; each takes logits and targets, see `compute_loss`.
        weights: by name; 1 where there is none.

    Raises:
        InputError: there is no loss, or a weight is of none of them.
    """

    handles_unknown = True  # for each of them, in `compute_loss`

    def __init__(
        self, losses: Mapping[str, nn.Module], weights: Mapping[str, float] | None = None
    ) -> None:
        super().__init__()
        self.weights = dict(weights or {})
        if not losses:
            raise InputError("model.loss.losses is empty; give at least one loss by name")
        if unknown := sorted({*self.weights} - {*losses}):
            raise InputError(
                f"model.loss.weights names {unknown[0]}, which is not among the losses "
                f"({', '.join(losses)})"
            )
        self.losses = nn.ModuleDict(losses)

    def forward(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Return scalars: `loss`, and each of its parts by name, before it is weighted."""
        parts = {
            name: compute_loss(loss, logits, target)["loss"] for name, loss in self.losses.items()
        }
        total = torch.stack([self.weights.get(name, 1.0) * part for name, part in parts.items()])
        return {"loss": total.sum(), **{name: part.detach() for name, part in parts.items()}}


def compute_loss(loss: nn.Module, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """Return what any loss gives for logits and targets N×1×H×W: `loss`, and its parts by name.

    A loss gives a scalar, or a dict of scalars with `loss`. It gets float32. Unknown pixels, those
    whose target is 0.5, are shown to it as certain sea predicted as such: they add nothing to the
    gradient, but a mean is still taken over all pixels. A loss with the attribute
    `handles_unknown = True` gets them as they are.

    Raises:
        InputError: what the loss gives is neither.
    """
    # bf16 has 8 bits, too few to sum a million pixels
    logits, target = logits.float(), target.float()
    if not getattr(loss, "handles_unknown", False):
        unknown = target == UNKNOWN_TARGET
        logits = logits.masked_fill(unknown, CERTAIN_SEA)
        target = target.masked_fill(unknown, 0.0)
    found = loss(logits, target)
    parts = {"loss": found} if isinstance(found, Tensor) else found
    if not isinstance(parts, Mapping) or "loss" not in parts or parts["loss"].ndim:
        raise InputError(
            f"model.loss={type(loss).__name__} must give a scalar, or a dict of scalars with "
            "`loss`; torch's losses do with reduction=mean or sum"
        )
    return dict(parts)
