"""Test-time augmentation: views of a photo, each with its exact inverse, and their average."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from flukeseg.errors import InputError

Change = Callable[[Tensor], Tensor]


def _same(image: Tensor) -> Tensor:
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

    probability: Tensor
    spread: Tensor
    disagreement: Tensor


def mirror(image: Tensor) -> Tensor:
    """Flip left and right, which is its own inverse."""
    return image.flip(-1)


def blur(image: Tensor) -> Tensor:
    """Average 3 × 3 pixels, the border repeated: the reference's third view."""
    return F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), 3, stride=1)


SCALE = 1.25
"""Factor by which the enlarged view scales a photo."""


def enlarge(image: Tensor) -> Tensor:
    """Enlarge by `SCALE`, linearly."""
    return _resample(image, _enlarging)


def reduce(image: Tensor) -> Tensor:
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
    networks: Sequence[Change], image: Tensor, views: Sequence[View]
) -> BatchProbability:
    """Average the probabilities that every network gives of a batch in every view.

    Args:
        networks: each from N×3×H×W, RGB in 0..1, to probabilities N×1×H×W float32.
        image: N×3×H×W, RGB in 0..1.
        views: at least one.

    Raises:
        InputError: a probability is not finite.
    """
    each = torch.stack(
        [
            # the least-squares inverse may leave 0..1 by a little
            view.back(network(view.move(view.adjust(image)))).clamp(0, 1)
            for view in views
            for network in networks
        ]
    )
    mean = each.mean(0)
    if not torch.isfinite(mean).all():
        raise InputError(
            "the network gave probabilities that are not finite; give another checkpoint, or "
            "trainer.precision=32-true if this one was trained so"
        )
    if len(each) == 1:
        nothing = torch.full_like(mean, torch.nan)
        return BatchProbability(mean, nothing, nothing[:, 0, 0, 0])
    masks, mask = each > 0.5, mean > 0.5
    overlap = (masks & mask).sum((2, 3, 4)).float()
    total = masks.sum((2, 3, 4)).float() + mask.sum((1, 2, 3))
    dice = torch.where(total > 0, 2 * overlap / total.clamp(min=1), torch.ones_like(total))
    return BatchProbability(mean, each.std(0, correction=0), 1 - dice.mean(0))


def _resample(image: Tensor, matrix: Callable[[int, torch.device], Tensor]) -> Tensor:
    rows, columns = (matrix(side, image.device) for side in image.shape[-2:])
    with torch.autocast(image.device.type, enabled=False):  # bf16 would not undo anything exactly
        return torch.einsum("ih,nchw,jw->ncij", rows, image.float(), columns)


@cache
def _weights(side: int) -> Tensor:
    """Matrix (larger × side) that interpolates linearly from `side` pixels to `SCALE` as many."""
    unit = torch.eye(side, dtype=torch.float64)[None]
    return F.interpolate(unit, round(side * SCALE), mode="linear", align_corners=False)[0].T


@cache
def _enlarging(side: int, device: torch.device) -> Tensor:
    return _weights(side).float().to(device)


@cache
def _reducing(side: int, device: torch.device) -> Tensor:
    # the side it was enlarged from, to which rounding is unambiguous as SCALE is above 1
    smaller = next(s for s in range(1, side + 1) if round(s * SCALE) == side)
    return torch.linalg.pinv(_weights(smaller)).float().to(device)
