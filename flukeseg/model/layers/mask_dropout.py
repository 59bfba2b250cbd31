"""Mask dropout, for networks that are trained on photo and mask as four channels."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from flukeseg.errors import InputError

Photos = TypeVar("Photos", Tensor, np.ndarray, Image.Image)


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

    def forward(self, rgbm: Photos) -> Photos:
        """Return a photo, or each of a batch, with its mask or without.

        Args:
            rgbm: a tensor 4×H×W or N×4×H×W, an array H×W×4 or N×H×W×4, or an RGBA picture of PIL.

        Returns:
            The same kind; a copy where a mask may have been dropped.

        Raises:
            InputError: there are not four channels.
        """
        if isinstance(rgbm, Image.Image):
            if rgbm.mode != "RGBA":
                raise InputError(f"photos with masks are RGBA pictures, not {rgbm.mode}")
            return Image.fromarray(self(np.asarray(rgbm)))
        channels = -3 if isinstance(rgbm, Tensor) else -1
        if rgbm.ndim not in (3, 4) or rgbm.shape[channels] != 4:
            raise InputError(
                "photos with masks are tensors 4×H×W or N×4×H×W, or arrays H×W×4 or N×H×W×4, "
                f"not {tuple(rgbm.shape)}"
            )
        if not self.training or self.p == 0:
            return rgbm
        drop = torch.rand(rgbm.shape[:-3]) < self.p
        if isinstance(rgbm, Tensor):
            dropped = rgbm.clone()
            dropped[..., 3, :, :] *= ~drop.to(rgbm.device)[..., None, None]
            return dropped
        copied = rgbm.copy()
        copied[..., 3] *= ~drop.numpy()[..., None, None]
        return copied

    def extra_repr(self) -> str:
        """Show p in the printed network."""
        return f"p={self.p}"
