"""Flukes from Python: `Segmenter()("photo.jpg").mask`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from PIL.ImageOps import exif_transpose

from flukeseg.errors import InputError
from flukeseg.images.reading import read_photo
from flukeseg.images.resizing import resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.model.precision import choose_precision
from flukeseg.model.predictor import split_batch
from flukeseg.prediction.looking import cut_photo
from flukeseg.prediction.prediction import Prediction, make_prediction
from flukeseg.prediction.settings import PredictionSettings


class Segmenter:
    """Segments one photo after another.

    Args:
        settings: what of them concerns masks; products are up to the caller. Without, those of
            the network that comes with flukeseg.
        device: of torch.

    Raises:
        InputError: a checkpoint cannot be loaded.
    """

    def __init__(
        self, settings: PredictionSettings | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.settings, self.device = settings or PredictionSettings(), torch.device(device)
        self.looker = self.settings.load_looker().to(self.device)
        self.predictor = self.looker.predictor
        precision = choose_precision(self.settings.precision, self.device.type)
        self.in_bf16 = precision == "bf16-mixed"

    @classmethod
    def from_checkpoint(
        cls,
        path: str | Path | Sequence[str | Path] = "rendered",
        device: str | torch.device = "cpu",
        **settings: Any,
    ) -> Segmenter:
        """Load a run's folder, a checkpoint or an exported file; of several, their mean.

        Args:
            path: one or more.
            device: of torch.
            **settings: others of `PredictionSettings`, such as `tta`, `size`, `masks`, `runtime`.

        Raises:
            InputError: a checkpoint cannot be loaded, or a setting is out of range.
        """
        paths = [path] if isinstance(path, str | Path) else path
        checkpoints = tuple(str(path) for path in paths)
        return cls(PredictionSettings(checkpoints, **settings), device)

    def __repr__(self) -> str:
        """Return checkpoints, size, TTA, runtime and device in a line."""
        height, width = self.predictor.size
        return (
            f"Segmenter({', '.join(self.settings.checkpoints)}: {width} × {height}, "
            f"tta={self.settings.tta}, {self.predictor.runtime} on {self.device})"
        )

    @torch.inference_mode()
    def __call__(self, photo: str | Path | np.ndarray | Image) -> Prediction:
        """Segment a photo of any size.

        Args:
            photo: a file; a picture of PIL, which is set upright as its EXIF says; or an upright
                array, H×W×3 uint8 RGB or H×W uint8 grey.

        Raises:
            InputError: the file cannot be read, or the array is of another kind.
        """
        photo = self._read(photo)
        small = resize_photo(photo, self.predictor.size)
        image = to_tensor(small[None]).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bf16):
            first, size = split_batch(self.predictor(image)), photo.shape[:2]
            (looked,) = self.looker.look_again(first, [size], [partial(cut_photo, photo, size)])
        return make_prediction(looked, size, self.settings.masks, photo)

    def _read(self, photo: str | Path | np.ndarray | Image) -> np.ndarray:
        """Return a photo as H×W×3 uint8 RGB."""
        if isinstance(photo, str | Path):
            return read_photo(photo, self.settings.max_pixels)
        if isinstance(photo, Image):
            photo = np.asarray(exif_transpose(photo).convert("RGB"))
        if not isinstance(photo, np.ndarray):
            raise InputError(
                f"a photo must be a path, a picture of PIL or an array, not {type(photo).__name__}"
            )
        if photo.ndim == 2:
            photo = np.repeat(photo[..., None], 3, axis=2)
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
            raise InputError(
                f"a photo must be an array H×W×3 or H×W uint8, not {photo.shape} {photo.dtype}"
            )
        return photo
