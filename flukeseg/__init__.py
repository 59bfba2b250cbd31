"""Segments whale flukes in photographs."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

# albumentations asks the network for its newest release when it is imported
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

if TYPE_CHECKING:
    from flukeseg.images.rgbm import read_rgbm
    from flukeseg.model.layers.mask_dropout import MaskDropout
    from flukeseg.predict import predict_folder
    from flukeseg.prediction.segmenter import Segmenter
    from flukeseg.prediction_dataset import PredictionDataset

__version__ = "0.1.0"
__all__ = ["MaskDropout", "PredictionDataset", "Segmenter", "predict_folder", "read_rgbm"]


def __getattr__(name: str) -> object:
    # torch is imported when it is wanted, so that `import flukeseg` takes no seconds
    rooms = {
        "MaskDropout": "flukeseg.model.layers.mask_dropout",
        "read_rgbm": "flukeseg.images.rgbm",
        "PredictionDataset": "flukeseg.prediction_dataset",
        "Segmenter": "flukeseg.prediction.segmenter",
        "predict_folder": "flukeseg.predict",
    }
    if name not in rooms:
        raise AttributeError(f"module 'flukeseg' has no attribute {name!r}")
    return getattr(import_module(rooms[name]), name)
