"""For networks trained on photo and mask together: mask dropout, so that they do not rely on it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flukeseg.errors import InputError


class MaskDropout(nn.Module):
    """Sets the mask channel of a training photo to 0 with probability p.

    The network then learns to cope with wrong masks, as in the winning solution of Kaggle's
    humpback challenge, with p = 0.5. In `eval()` it changes nothing.

    Args:
        p: probability, 0 to 1.

    Raises:
        InputError: p is out of range.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise InputError(f"p={p} must be from 0 to 1")
        self.p = p

    def forward(self, rgbm: Tensor) -> Tensor:
        """Return a photo 4×H×W, or each of a batch N×4×H×W, with its mask or without.

        Raises:
            InputError: there are not four channels.
        """
        if rgbm.ndim not in (3, 4) or rgbm.shape[-3] != 4:
            raise InputError(f"photos with masks are 4×H×W or N×4×H×W, not {tuple(rgbm.shape)}")
        if not self.training or self.p == 0:
            return rgbm
        dropped = rgbm.clone()
        drop = torch.rand(rgbm.shape[:-3], device=rgbm.device) < self.p
        dropped[..., 3, :, :] *= ~drop[..., None, None]
        return dropped

    def extra_repr(self) -> str:
        """Show p in the printed network."""
        return f"p={self.p}"
