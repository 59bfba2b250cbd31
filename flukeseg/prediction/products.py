"""Products of a prediction -> files, encoded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from flukeseg.anatomy.alignment import SIZE
from flukeseg.anatomy.anatomy_outputs import EDGE_COLUMNS, edge_rows
from flukeseg.errors import InputError, require_number, require_size
from flukeseg.images.encoding import encode_jpeg, encode_png
from flukeseg.masks.cleaning import row_strips
from flukeseg.prediction.prediction import Prediction

FILE_PRODUCTS = (
    "mask", "probability", "uncertainty", "overlay", "cutout", "white", "crop", "crop_rgbm",
    "rotated_rgbm", "rgbm", "rgbm_npy", "edge", "aligned",
)  # fmt: skip
"""Products with files for each photo."""

NEED_PHOTO = frozenset({*FILE_PRODUCTS} - {"mask", "probability", "uncertainty", "edge"})
NEED_ANATOMY = frozenset({"edge", "aligned"})


@dataclass(frozen=True)
class ProductSettings:
    """Which files are made of each photo, and how.

    Args:
        products: names of `FILE_PRODUCTS`; `mask` is always made.
        crop_margin: of `crop`, `crop_rgbm` and `rotated_rgbm`, a share of the box's sides on each
            side.
        probability_bits: 8 or 16, of `probability` and `uncertainty`.
        rgbm_size: (height, width) of a second `rgbm`, resized; None for none.
        aligned_size: (height, width) of `aligned`.

    Raises:
        InputError: a value is out of range.
    """

    products: tuple[str, ...] = ("mask",)
    crop_margin: float = 0.05
    probability_bits: int = 8
    rgbm_size: tuple[int, int] | None = (256, 512)
    aligned_size: tuple[int, int] = SIZE

    def __post_init__(self) -> None:
        if self.probability_bits not in (8, 16):
            raise InputError(f"probability_bits={self.probability_bits} must be 8 or 16")
        require_number("crop_margin", self.crop_margin, most=2)
        require_size("aligned_size", self.aligned_size)
        if self.rgbm_size is not None:
            require_size("rgbm_size", self.rgbm_size)

    @property
    def with_anatomy(self) -> bool:
        """Whether tips, notch and trailing edges are wanted."""
        return bool(NEED_ANATOMY & {*self.products})

    @property
    def needs_photo(self) -> bool:
        """Whether the photo's own pixels are."""
        return bool(NEED_PHOTO & {*self.products})

    def including(self, others: Iterable[str]) -> ProductSettings:
        """Return the same with other products too, such as those that a photo has already."""
        return replace(self, products=tuple(sorted({*self.products, *others} - {"mask"})))


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
        yield f"uncertainty/{name}.png", encode_png(_quantise(prediction.uncertainty, top, 2))
    if "overlay" in wanted:
        yield f"overlay/{name}.jpg", encode_jpeg(prediction.overlay(anatomy=settings.with_anatomy))
    for index in range(len(prediction.areas)):
        own = name if index == 0 else f"{name}.fluke{index + 1}"
        if "cutout" in wanted:
            yield f"cutout/{own}.png", encode_png(prediction.cutout(index))
        if "white" in wanted:
            yield f"white/{own}.png", encode_png(prediction.white(index))
        if "crop" in wanted:
            yield f"crop/{own}.png", encode_png(prediction.crop(index, settings.crop_margin))
        if "crop_rgbm" in wanted:
            crop = prediction.crop_rgbm(index, settings.crop_margin)
            yield f"crop_rgbm/{own}.png", encode_png(crop)
        if "rotated_rgbm" in wanted:
            crop = prediction.rotated_rgbm(index, settings.crop_margin)
            yield f"rotated_rgbm/{own}.png", encode_png(crop)
        if "aligned" in wanted:
            yield from _encode_aligned(prediction, index, own, settings.aligned_size)
    if "edge" in wanted and prediction.areas:
        yield f"edge/{name}.edge.csv", _encode_edges(prediction)
    if "rgbm" in wanted:
        yield f"rgbm/{name}.png", encode_png(prediction.rgbm())
        if settings.rgbm_size is not None:
            height, width = settings.rgbm_size
            small = prediction.rgbm((height, width))
            yield f"rgbm_{width}x{height}/{name}.png", encode_png(small)
    if "rgbm_npy" in wanted:
        content = io.BytesIO()
        np.save(content, prediction.rgbm(settings.rgbm_size))
        yield f"rgbm_npy/{name}.npy", content.getvalue()


def _quantise(values: np.ndarray, top: int, scale: int = 1) -> np.ndarray:
    """Return H×W float32 in 0..1/scale as whole numbers up to `top`, 0 for NaN."""
    whole = np.empty(values.shape, np.uint8 if top == 255 else np.uint16)
    for rows in row_strips(len(values)):
        strip = np.nan_to_num(values[rows] * np.float32(scale))
        whole[rows] = (strip * np.float32(top)).round()
    return whole


def _encode_edges(prediction: Prediction) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EDGE_COLUMNS)
    writer.writerows(edge_rows(prediction.anatomies))
    return text.getvalue().encode()


def _encode_aligned(
    prediction: Prediction, index: int, name: str, size: tuple[int, int]
) -> Iterator[tuple[str, bytes]]:
    """A fluke set straight, as photo and with its mask, and the transform; none without tips."""
    alignment, rgbm = prediction.alignment(index, size), prediction.aligned(index, size)
    if alignment is None or rgbm is None:
        return
    yield f"aligned/{name}.png", encode_png(rgbm[..., :3])
    yield f"aligned_rgbm/{name}.png", encode_png(rgbm)
    transform = {"matrix": alignment.matrix.tolist(), "size": list(alignment.size)}
    yield f"aligned/{name}.json", (json.dumps(transform) + "\n").encode()
