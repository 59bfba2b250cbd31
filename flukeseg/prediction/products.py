"""Products of a prediction -> files, encoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flukeseg.errors import InputError, require_number
from flukeseg.images.encoding import encode_jpeg, encode_png
from flukeseg.prediction.prediction import Prediction

FILE_PRODUCTS = (
    "mask", "probability", "uncertainty", "overlay", "cutout", "white", "crop", "rgbm",
)  # fmt: skip
"""Products with files for each photo."""


NEED_PHOTO = frozenset({"overlay", "cutout", "white", "crop", "rgbm"})


@dataclass(frozen=True)
class ProductSettings:
    """Which files are made of each photo, and how.

    Args:
        products: names of `FILE_PRODUCTS`; `mask` is always made.
        crop_margin: of `crop`, a share of the box's sides on each side.
        probability_bits: 8 or 16, of `probability` and `uncertainty`.
        rgbm_size: (height, width) of a second `rgbm`, resized; None for none.

    Raises:
        InputError: a value is out of range.
    """

    products: tuple[str, ...] = ("mask",)
    crop_margin: float = 0.05
    probability_bits: int = 8
    rgbm_size: tuple[int, int] | None = (256, 512)

    def __post_init__(self) -> None:
        if self.probability_bits not in (8, 16):
            raise InputError(f"probability_bits={self.probability_bits} must be 8 or 16")
        require_number("crop_margin", self.crop_margin, most=2)


def encode_products(
    prediction: Prediction, name: str, settings: ProductSettings
) -> Iterator[tuple[str, bytes]]:
    """Encode a photo's products one by one, each with its path inside the output folder.

    Cut-outs and crops have a file for each fluke: `name.png`, `name.fluke2.png`, ….
    Where there is no fluke there are none, and the mask is empty.

    Args:
        prediction: with its photo, if a product needs it.
        name: of the photo's files, without suffix.
        settings: which products.
    """
    yield f"mask/{name}.png", encode_png(prediction.mask)
    wanted = set(settings.products)
    top = 2**settings.probability_bits - 1
    if "probability" in wanted:
        yield f"probability/{name}.png", encode_png(_quantise(prediction.probability, top))
    if "uncertainty" in wanted:
        # a standard deviation of values in 0..1 is at most 0.5; of a single view it is NaN
        spread = np.nan_to_num(prediction.uncertainty * 2)
        yield f"uncertainty/{name}.png", encode_png(_quantise(spread, top))
    if "overlay" in wanted:
        yield f"overlay/{name}.jpg", encode_jpeg(prediction.overlay())
    for index in range(len(prediction.areas)):
        own = name if index == 0 else f"{name}.fluke{index + 1}"
        if "cutout" in wanted:
            yield f"cutout/{own}.png", encode_png(prediction.cutout(index))
        if "white" in wanted:
            yield f"white/{own}.png", encode_png(prediction.white(index))
        if "crop" in wanted:
            yield f"crop/{own}.png", encode_png(prediction.crop(index, settings.crop_margin))
    if "rgbm" in wanted:
        yield f"rgbm/{name}.png", encode_png(prediction.rgbm())
        if settings.rgbm_size is not None:
            height, width = settings.rgbm_size
            small = prediction.rgbm((height, width))
            yield f"rgbm_{width}x{height}/{name}.png", encode_png(small)


def _quantise(values: np.ndarray, top: int) -> np.ndarray:
    scaled = (values * np.float32(top)).round()
    return scaled.astype(np.uint8 if top == 255 else np.uint16)
