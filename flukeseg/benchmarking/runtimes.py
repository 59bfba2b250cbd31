"""A network by every runtime that is installed: how fast, and whether its masks stay the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from flukeseg.benchmarking.training import autocast_of
from flukeseg.errors import InputError
from flukeseg.images.reading import read_photo
from flukeseg.images.resizing import resize_map, resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.masks.metrics import dice, photo_metrics
from flukeseg.model.runtimes import choose_runtime
from flukeseg.prediction.inputs import InputPhoto
from flukeseg.prediction.prediction import split_batch
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.rendering import render

WAYS = (
    ("torch float32", "torch", "32-true"),
    ("torch bfloat16", "torch", "bf16-mixed"),
    ("openvino float32", "openvino", "32-true"),
    ("openvino bfloat16", "openvino", "bf16-mixed"),
    ("onnx float32", "onnx", "32-true"),
)
"""Name, runtime and precision; the first is what the others are compared with."""

EDGE = ("dice", "boundary_iou_05", "assd", "trailing_mean")
"""Figures that say whether an edge is where it was, see `flukeseg.masks.metrics`."""

Compute = Callable[[torch.Tensor], Any]


def installed_ways(settings: PredictionSettings) -> Iterator[tuple[str, Compute]]:
    """Load a checkpoint in every way there is; give each way's name, and what computes a batch."""
    for name, runtime, precision in WAYS:
        try:
            choose_runtime(runtime, "torch")
        except InputError:
            continue
        predictor = replace(settings, runtime=runtime, precision=precision).load_predictor()
        autocast = autocast_of(precision)

        def compute(image: torch.Tensor, network: Any = predictor, cast: Any = autocast) -> Any:
            with torch.inference_mode(), cast():
                return network(image)

        yield name, compute


def masks_against_torch(
    settings: PredictionSettings, sources: Sequence[InputPhoto], renderings: int
) -> dict[str, dict[str, float]]:
    """Compare each way's masks with those of torch in float32, and with the truth.

    Args:
        settings: of prediction, but for runtime and precision.
        sources: photos; those that cannot be read are left out.
        renderings: rendered flukes of 700 × 1050 pixels, whose edges are known.

    Returns:
        By way: mean and least Dice with torch's masks of the photos; and of the renderings the
        mean of each of `EDGE` against the truth.
    """
    ways = dict(installed_ways(settings))
    same: dict[str, list[float]] = {name: [] for name in ways}
    edges: dict[str, list[dict[str, float]]] = {name: [] for name in ways}

    size = replace(settings, runtime="torch").load_predictor().size

    def masks_of(photo: np.ndarray) -> dict[str, np.ndarray]:
        image = to_tensor(resize_photo(photo, size)[None])
        return {
            name: resize_map(split_batch(compute(image))[0].probability, photo.shape[:2]) > 0.5
            for name, compute in ways.items()
        }

    for photo in _readable(sources, settings.max_pixels):
        masks = masks_of(photo)
        for name, mask in masks.items():
            same[name].append(dice(mask, masks[WAYS[0][0]]))
    for number in range(renderings):
        picture = render((77, number), (700, 1050))
        if len(picture.trailing_edge):
            for name, mask in masks_of(picture.image).items():
                edges[name].append(photo_metrics(mask, picture.mask, picture.trailing_edge))
    return {
        name: {"Dice with torch": float(np.mean(same[name])), "least": min(same[name])}
        | {figure: float(np.nanmean([one[figure] for one in edges[name]])) for figure in EDGE}
        for name in ways
    }


def _readable(sources: Sequence[InputPhoto], max_pixels: int) -> Iterator[np.ndarray]:
    for source in sources:
        try:
            yield read_photo(source.path, max_pixels)
        except InputError:
            continue
