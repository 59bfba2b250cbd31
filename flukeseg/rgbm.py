"""For networks trained on photo and mask together: a reader that keeps both, and mask dropout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from flukeseg.errors import InputError
from flukeseg.images.resizing import resize_mask, resize_photo


def read_rgbm(path: str | Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """Read a file of the product `rgbm`, and resize photo and mask apart.

    PIL and torchvision resize such a file as a transparent picture: where the mask is 0 they lose
    the photo.

    Args:
        path: a PNG of four channels.
        size: (height, width); None is the file's.

    Returns:
        H×W×4 uint8: RGB, and the mask as 0 or 255.

    Raises:
        InputError: the file cannot be read, or has other channels.
    """
    try:
        with Image.open(path) as image:
            mode, rgbm = image.mode, np.array(image)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read ({error}); give a PNG of four channels") from error
    if mode != "RGBA":
        raise InputError(f"{path} has the channels {mode}; give a PNG of the product rgbm")
    if size is None:
        return rgbm
    photo = resize_photo(np.ascontiguousarray(rgbm[..., :3]), size)
    mask = resize_mask(rgbm[..., 3] > 127, size) * np.uint8(255)
    return np.dstack([photo, mask])


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
