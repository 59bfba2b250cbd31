"""Test-time augmentation: views of a photo, each with its exact inverse, and their average.

Photos are tensors, or arrays of numpy where a runtime other than torch computes: torch takes
seconds to import, and is not imported here unless there is a tensor.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.resizing import resize_map
from flukeseg.masks.probability import PhotoProbability

Images = Any
"""A tensor or an array, N×C×H×W."""

Change = Callable[[Images], Images]


def _same(image: Images) -> Images:
    return image


class View(NamedTuple):
    """A view of a photo: `adjust` changes its values, `move` its pixels, and `back` undoes `move`.

    All three take and give N×C×H×W. `back(move(x))` is x; `adjust` moves nothing and is not undone.
    """

    name: str
    adjust: Change = _same
    move: Change = _same
    back: Change = _same


class BatchProbability(NamedTuple):
    """Probabilities of a batch, averaged over networks and views.

    `probability`: N×1×H×W float32 in 0..1, their mean. `spread`: N×1×H×W float32 in
    0..0.5, their standard deviation. `disagreement`: N float32 in 0..1, one minus the mean Dice of
    each one's mask (threshold 0.5) with the mask of the mean; all of them empty is 0. For one
    network in one view there is nothing to compare: `spread` and `disagreement` are NaN.
    """

    probability: Images
    spread: Images
    disagreement: Images


def mirror(image: Images) -> Images:
    """Flip left and right, which is its own inverse."""
    return _library(image).flip(image, (-1,))


def blur(image: Images) -> Images:
    """Average 3 × 3 pixels, the border repeated: the reference's third view."""
    if not isinstance(image, np.ndarray):
        functional = sys.modules["torch"].nn.functional
        padded = functional.pad(image, (1, 1, 1, 1), mode="replicate")
        return functional.avg_pool2d(padded, 3, stride=1)
    height, width = image.shape[-2:]
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
    parts = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return sum(parts) / np.float32(9)


SCALE = 1.25
"""Factor by which the enlarged view scales a photo."""


def enlarge(image: Images) -> Images:
    """Enlarge by `SCALE`, linearly."""
    return _resample(image, _enlarging)


def reduce(image: Images) -> Images:
    """Undo `enlarge` exactly: by its pseudo-inverse, the least-squares answer for other images."""
    return _resample(image, _reducing)


PLAIN = View("plain")
FLIP = View("flip", move=mirror, back=mirror)
BLUR = View("blur", adjust=blur)
LARGE = View("large", move=enlarge, back=reduce)
LARGE_FLIP = View("large flip", move=lambda x: mirror(enlarge(x)), back=lambda x: reduce(mirror(x)))

TTA: dict[str, tuple[View, ...]] = {
    "none": (PLAIN,),
    "reference": (PLAIN, FLIP, BLUR),
    "flip": (PLAIN, FLIP),
    "flip_scale": (PLAIN, FLIP, LARGE, LARGE_FLIP),
}
"""The settings of `tta=`."""


def views_of(tta: str) -> tuple[View, ...]:
    """Return the views of a setting.

    Raises:
        InputError: there is no such setting.
    """
    if tta not in TTA:
        raise InputError(f"tta={tta} must be one of {', '.join(TTA)}")
    return TTA[tta]


def average_views(
    networks: Sequence[Change], image: Images, views: Sequence[View]
) -> BatchProbability:
    """Average the probabilities that every network gives of a batch in every view.

    Args:
        networks: each from N×3×H×W, RGB in 0..1, to probabilities N×1×H×W float32.
        image: N×3×H×W float32, RGB in 0..1.
        views: at least one.

    Raises:
        InputError: a probability is not finite.
    """
    library = _library(image)
    each = library.stack(
        [
            # the least-squares inverse may leave 0..1 by a little
            library.clip(view.back(network(view.move(view.adjust(image)))), 0, 1)
            for view in views
            for network in networks
        ]
    )
    mean = each.mean(0)
    if not library.isfinite(mean).all():
        raise InputError(
            "the network gave probabilities that are not finite; give another checkpoint, or "
            "trainer.precision=32-true if this one was trained so"
        )
    if len(each) == 1:
        nothing = library.full_like(mean, library.nan)
        return BatchProbability(mean, nothing, nothing[:, 0, 0, 0])
    return _compare(each, mean)


def average_looks(first: PhotoProbability, other: PhotoProbability) -> PhotoProbability:
    """Return the mean of two looks at all of a photo, at the size of the first.

    The spread is the standard deviation between all their views. The disagreement is the larger of
    that between the two looks, as between views, and that between views of a look, the mean over
    both.

    Args:
        first: whose second looks and pixels stay.
        other: at another size; as many views.
    """
    size = first.probability.shape
    each = np.stack([first.probability, resize_map(other.probability, size)])[:, None, None]
    (between,) = split_batch(_compare(each, each.mean(0)))
    # a single view has no spread of its own
    within = np.nan_to_num(np.stack([first.spread, resize_map(other.spread, size)]))
    views = np.nan_to_num([first.disagreement, other.disagreement])
    return first._replace(
        probability=between.probability,
        spread=np.sqrt((within**2).mean(0) + between.spread**2),
        disagreement=max(between.disagreement, float(views.mean())),
    )


def _compare(each: Images, mean: Images) -> BatchProbability:
    """Compare K×N×1×H×W probabilities with their mean N×1×H×W."""
    masks, mask = each > 0.5, mean > 0.5
    overlap = (masks & mask).sum((2, 3, 4))
    total = masks.sum((2, 3, 4)) + mask.sum((1, 2, 3))
    dice = _library(each).where(total > 0, 2 * overlap / (total + (total == 0)), 1.0)
    spread = ((each - mean) ** 2).mean(0) ** 0.5
    return BatchProbability(mean, spread, 1 - dice.mean(0))


def split_batch(averaged: BatchProbability) -> list[PhotoProbability]:
    """Return the probabilities of each photo of a batch."""
    probability, spread, disagreement = (
        values if isinstance(values, np.ndarray) else values.cpu().numpy() for values in averaged
    )
    return [
        PhotoProbability(mean, deviation, float(value))
        for mean, deviation, value in zip(
            probability[:, 0], spread[:, 0], disagreement, strict=True
        )
    ]


def _library(image: Images) -> Any:
    """Return numpy for an array and torch for a tensor: what is used here they call the same."""
    return np if isinstance(image, np.ndarray) else sys.modules["torch"]


def _resample(image: Images, matrix: Callable[[int], np.ndarray]) -> Images:
    rows, columns = (matrix(side) for side in image.shape[-2:])
    if isinstance(image, np.ndarray):
        return rows @ image @ columns.T
    torch = sys.modules["torch"]
    with torch.autocast(image.device.type, enabled=False):  # bf16 would not undo anything exactly
        rows, columns = (torch.from_numpy(one).to(image.device) for one in (rows, columns))
        return torch.einsum("ih,nchw,jw->ncij", rows, image.float(), columns)


def _weights(side: int) -> np.ndarray:
    """Matrix (larger × side) that interpolates linearly from `side` pixels to `SCALE` as many."""
    larger = round(side * SCALE)
    # pixels are squares: their centres, not the borders' ends, are spread evenly
    place = np.maximum((np.arange(larger) + 0.5) * (side / larger) - 0.5, 0)
    before = place.astype(int)
    after = np.minimum(before + 1, side - 1)
    matrix = np.zeros((larger, side))
    np.add.at(matrix, (np.arange(larger), before), 1 - (place - before))
    np.add.at(matrix, (np.arange(larger), after), place - before)
    return matrix


@cache
def _enlarging(side: int) -> np.ndarray:
    return _weights(side).astype(np.float32)


@cache
def _reducing(side: int) -> np.ndarray:
    # the side it was enlarged from, to which rounding is unambiguous as SCALE is above 1
    smaller = next(s for s in range(1, side + 1) if round(s * SCALE) == side)
    return np.linalg.pinv(_weights(smaller)).astype(np.float32)
