"""Photo and mask together as four channels: a reader that keeps both."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.decoding import decoding_errors, opened
from flukeseg.images.reading import MAX_PIXELS
from flukeseg.images.resizing import resize_photo


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


def read_rgbm_photo(path: str | Path, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Read the photo of a file of the product `rgbm`, without its mask: H×W×3 uint8 RGB.

    Raises:
        InputError: as `read_rgbm`.
    """
    return np.ascontiguousarray(read_rgbm(path, max_pixels=max_pixels)[..., :3])
