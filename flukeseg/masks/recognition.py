"""How likely a component of a mask is a fluke: two small networks' answer to its shape and look.

The first sees the component, the probabilities around it and where the photo ends, in a square
about its box; the second what the photo shows there, as features of an encoder. Their weights are
fitted to rendered flukes and to renderings of fins, backs, breaches and boats by
`flukeseg.training.small_networks.recognition_fit`, and NumPy computes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from flukeseg.errors import require_number
from flukeseg.images.resizing import resize_map
from flukeseg.masks.cleaning import Cleaned, row_strips
from flukeseg.masks.geometry import Box, tight_box
from flukeseg.masks.probability import PhotoProbability
from flukeseg.masks.recognition_features import CROP, CROP_REACH, crop_photo, photo_features

SIDE = 64
"""Pixels of the network's square."""

REACH = 1.2
"""Side of the square over the longer side of a component's box."""

LAYERS = 4
WEIGHTS = "recognition.npz"


REMOVE, DOUBT = 0.18, 0.5
"""Of the network that comes with flukeseg; the model card has what is kept and lost by others."""


@dataclass(frozen=True)
class Recognition:
    """What is done by the probability that a component is a fluke; both values are from 0 to 1.

    None stands for `REMOVE` and `DOUBT` with the network that comes with flukeseg and those that
    learnt from its pseudo-labels, and for 0 with others, which may know another kind of masks.

    Args:
        remove: components below it are removed, see `keep_flukes`; 0 removes none.
        doubt: masks with a component below it are flagged; 0 flags none.

    Raises:
        InputError: a value is out of range.
    """

    remove: float | None = None
    doubt: float | None = None

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None:
                require_number(f"recognition.{name}", value)

    def settled(self, is_fitted: bool) -> Recognition:
        """Replace None, by whether the weights were fitted to this kind of masks."""
        remove, doubt = (REMOVE, DOUBT) if is_fitted else (0, 0)
        return Recognition(
            remove if self.remove is None else self.remove,
            doubt if self.doubt is None else self.doubt,
        )

    @property
    def is_on(self) -> bool:
        """Whether anything is removed or flagged."""
        return bool(self.remove or self.doubt)


def keep_flukes(
    cleaned: Cleaned, probabilities: Sequence[float], remove: float, doubt: float
) -> tuple[Cleaned, tuple[float, ...]]:
    """Remove components that are probably no flukes, their labels in place.

    Returns what is left and its probabilities. What is removed does not count as an island. Where
    the most likely component is a doubtful one, all are kept: a fluke may have come apart into
    pieces, none of which has its shape.

    Args:
        cleaned: components.
        probabilities: of each.
        remove: those below it are removed.
        doubt: those below it are doubtful.
    """
    comes_apart = remove <= max(probabilities, default=0) < doubt
    kept = [n for n, value in enumerate(probabilities) if value >= remove or comes_apart]
    if len(kept) == len(probabilities):
        return cleaned, tuple(probabilities)
    new_label = np.zeros(len(probabilities) + 1, np.uint8)
    new_label[[number + 1 for number in kept]] = np.arange(1, len(kept) + 1)
    for rows in row_strips(len(cleaned.labels)):
        cleaned.labels[rows] = new_label[cleaned.labels[rows]]
    areas = tuple(cleaned.areas[number] for number in kept)
    return cleaned._replace(areas=areas), tuple(probabilities[number] for number in kept)


def fluke_probabilities(
    labels: np.ndarray, count: int, probability: np.ndarray, coarse: PhotoProbability
) -> tuple[float, ...]:
    """Return how likely each component is a fluke, 0..1.

    It is calibrated on renderings, of which half show flukes.

    Args:
        labels: H×W uint8, from 1 to `count` where a component is.
        count: of components.
        probability: H×W float32 in 0..1.
        coarse: what was seen of the photo, with its pixels.

    Raises:
        InputError: the pixels are not there.
    """
    views, features = [], []
    for label in range(1, count + 1):
        box = tight_box((labels == label).view(np.uint8))
        if box is None:
            raise ValueError(f"no pixel has the label {label} of {count}")
        around = view_component(labels, label, probability, box, CROP, CROP_REACH)
        features.append(photo_features(crop_photo(coarse, box, labels.shape), around))
        views.append(view_component(labels, label, probability, box))
    return tuple(recognise(np.stack(views), np.stack(features)).tolist()) if views else ()


def view_component(
    labels: np.ndarray,
    label: int,
    probability: np.ndarray,
    box: Box,
    side: int = SIDE,
    reach: float = REACH,
) -> np.ndarray:
    """Return a square about a component, side×side×3 float32 in 0..1.

    The channels are the component's share of each pixel, the probability, and 1 inside the photo.

    Args:
        labels: H×W uint8, `label` where the component is.
        label: of the component.
        probability: H×W float32 in 0..1.
        box: of the component.
        side: pixels of the square.
        reach: side of the square over the longer side of the box.
    """
    view = np.zeros((side, side, 3), np.float32)
    scale = side / (reach * max(box.width, box.height))
    half = side / scale / 2
    x, y = box.x + box.width / 2 - half, box.y + box.height / 2 - half
    height, width = labels.shape
    left, top = max(0, round(x)), max(0, round(y))
    right, bottom = min(width, round(x + 2 * half)), min(height, round(y + 2 * half))
    part = Box(left, top, right - left, bottom - top)
    columns = _span((left - x) * scale, (right - x) * scale, side)
    rows = _span((top - y) * scale, (bottom - y) * scale, side)
    size = (rows.stop - rows.start, columns.stop - columns.start)
    inside = (part.cut(labels) == label).astype(np.float32)
    for channel, values in enumerate((inside, part.cut(probability))):
        view[rows, columns, channel] = resize_map(values, size)
    view[rows, columns, 2] = 1
    return view


def recognise(views: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Return how likely each of N components is a fluke: N values, 0..1.

    A view and its mirror image count alike.

    Args:
        views: N×`SIDE`×`SIDE`×3.
        features: N×F, see `flukeseg.masks.recognition_features.photo_features`.
    """
    by_shape = (_logits(views) + _logits(views[:, :, ::-1])) / 2
    shape, look, offset = _weights()["calibration"]
    return 1 / (1 + np.exp(-(shape * by_shape + look * _look_logits(features) + offset)))


def _span(start: float, stop: float, side: int) -> slice:
    first = min(max(0, round(start)), side - 1)
    return slice(first, max(first + 1, min(side, round(stop))))


@cache
def _weights() -> dict[str, np.ndarray]:
    with (files("flukeseg.masks") / WEIGHTS).open("rb") as file, np.load(file) as arrays:
        return {name: arrays[name].astype(np.float32) for name in arrays}


def _logits(views: np.ndarray) -> np.ndarray:
    """Convolutions 3×3 of stride 2, then two layers: N values of N×`SIDE`×`SIDE`×3."""
    weights = _weights()
    x = 2 * views - 1
    for number in range(LAYERS):
        x = _convolve(x, weights[f"convolutions.{number}.weight"])
        x = np.maximum(x + weights[f"convolutions.{number}.bias"], 0)
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
    x = np.maximum(x @ weights["hidden.weight"].T + weights["hidden.bias"], 0)
    return (x @ weights["last.weight"].T + weights["last.bias"])[:, 0]


def _look_logits(features: np.ndarray) -> np.ndarray:
    """Two layers: N values of N×F."""
    weights = _weights()
    x = (features - weights["look.mean"]) * weights["look.scale"]
    x = np.maximum(x @ weights["look.hidden.weight"].T + weights["look.hidden.bias"], 0)
    return (x @ weights["look.last.weight"].T + weights["look.last.bias"])[:, 0]


def _convolve(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Convolve N×h×w×C by O×C×3×3 with a stride of 2 and a border of one zero."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.tensordot(windows[:, ::2, ::2], weight, axes=((3, 4, 5), (1, 2, 3)))
