"""Photo and mask together as four channels: a reader that keeps both, and mask dropout."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from flukeseg.errors import InputError
from flukeseg.images.decoding import decoding_errors, opened
from flukeseg.images.reading import MAX_PIXELS
from flukeseg.images.resizing import resize_photo

Photos = TypeVar("Photos", Tensor, np.ndarray, Image.Image)


def read_rgbm(
    path: str | Path, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS
) -> np.ndarray:
    """Read a file of the product `rgbm`, and resize photo and mask apart.

    PIL and torchvision resize such a file as a transparent picture: where the mask is 0 they lose
    the photo.

    Args:
        path: a PNG of four channels.
        size: (height, width); None is the file's.
        max_pixels: files with more are refused.

    Returns:
        H×W×4 uint8: RGB, and the mask as 0 or 255.

    Raises:
        InputError: the file cannot be read, or has other channels.
    """
    with opened(path, max_pixels) as (image, _, _):
        if image.mode != "RGBA":
            raise InputError(
                f"{path} has the channels {image.mode}; give a PNG of four channels, RGB and the "
                "mask, as the product rgbm is"
            )
        with decoding_errors(path):
            rgbm = np.array(image)
    rgbm[..., 3] = np.where(rgbm[..., 3] > 127, 255, 0)
    return rgbm if size is None else resize_photo(rgbm, size)


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
