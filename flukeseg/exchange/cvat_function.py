"""Predictions as a function that CVAT annotates a task with.

`cvat-cli task auto-annotate ID --function-module flukeseg.exchange.cvat_function -p
predictions=str:DIR`, with `cvat-cli` and `cvat-sdk[masks]` of Python 3.11 or later. Each frame gets
the masks that the prediction folder has for a photo of its name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cvat_sdk.auto_annotation as cvataa
from cvat_sdk.masks import encode_mask
from PIL import Image

from flukeseg.exchange.outside_files import PhotoFinder, check_size
from flukeseg.exchange.predicted_photos import PredictedPhoto, Predictions
from flukeseg.exchange.shapes import edge_outlines


class PredictionFunction:
    """A detection function of cvat-sdk that looks masks up; it computes none.

    Args:
        photos: of the prediction.
        label: of the shapes, as the task has it.
    """

    def __init__(self, photos: Sequence[PredictedPhoto], label: str) -> None:
        self.spec = cvataa.DetectionFunctionSpec(labels=[cvataa.label_spec(label, 0)])
        self._finder = PhotoFinder(photos)

    def detect(
        self, context: cvataa.DetectionFunctionContext, image: Image.Image
    ) -> list[cvataa.DetectionAnnotation]:
        """Return a mask for each component, or where CVAT asks for them polygons, holes filled.

        Raises:
            InputError: the prediction has no photo of the frame's name.
            ValueError: it has one of another size.
        """
        photo = self._finder.find(Path("the task"), context.frame_name)
        check_size(*image.size, photo)
        if context.conv_mask_to_poly:
            outlines = edge_outlines(photo.read_mask())
            polygons = [line.points.ravel().tolist() for line in outlines if not line.is_hole]
            return [cvataa.polygon(0, polygon) for polygon in polygons]
        return [cvataa.mask(0, encode_mask(mask > 0)) for mask in photo.components()]


def create(predictions: str, label: str = "fluke") -> PredictionFunction:
    """Make the function of a prediction folder; cvat-cli calls this with what `-p` gives.

    Args:
        predictions: the folder.
        label: of the shapes.
    """
    return PredictionFunction(list(Predictions(predictions)), label)
