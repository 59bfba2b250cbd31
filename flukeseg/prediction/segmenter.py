"""Flukes from Python: `Segmenter.from_checkpoint(path)("photo.jpg").mask`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from flukeseg.errors import InputError
from flukeseg.images.reading import MAX_PIXELS, read_photo
from flukeseg.images.resizing import resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.model.checkpoint_files import find_checkpoint
from flukeseg.model.checkpoints import load_checkpoints
from flukeseg.model.module import SegmentationModule
from flukeseg.model.precision import choose_precision
from flukeseg.model.tta import views_of
from flukeseg.prediction.prediction import MaskSettings, Prediction, make_prediction, split_batch


class Segmenter:
    """Segments one photo after another.

    Args:
        module: as `from_checkpoint` loads it; its `views` are set here.
        tta: a name of `flukeseg.model.tta.TTA`.
        settings: how masks are made.
        device: of torch.
        max_pixels: photos with more are refused.

    Raises:
        InputError: there is no such `tta`.
    """

    def __init__(
        self,
        module: SegmentationModule,
        tta: str = "flip",
        settings: MaskSettings | None = None,
        device: str | torch.device = "cpu",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        module.views = views_of(tta)
        self.module = module.eval().to(device)
        self.settings = settings or MaskSettings()
        self.device = torch.device(device)
        self.max_pixels = max_pixels
        self.in_bf16 = choose_precision("auto", self.device.type) == "bf16-mixed"

    @classmethod
    def from_checkpoint(
        cls, path: str | Path | Sequence[str | Path], runtime: str = "auto", **arguments: object
    ) -> Segmenter:
        """Load a run's folder, a .ckpt file or an exported one; of several, their mean.

        Args:
            path: one or more.
            runtime: what computes, see `flukeseg.model.runtimes.choose_runtime`.
            **arguments: of `Segmenter`.

        Raises:
            InputError: a checkpoint cannot be loaded.
        """
        paths = [path] if isinstance(path, str | Path) else path
        return cls(load_checkpoints([find_checkpoint(p) for p in paths], runtime), **arguments)

    @torch.inference_mode()
    def __call__(self, photo: str | Path | np.ndarray) -> Prediction:
        """Segment a photo of any size.

        Args:
            photo: a file, or an array H×W×3 uint8 RGB, upright.

        Raises:
            InputError: the file cannot be read, or the array is of another kind.
        """
        if not isinstance(photo, np.ndarray):
            photo = read_photo(photo, self.max_pixels)
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
            raise InputError(
                f"a photo must be an array H×W×3 uint8 RGB, not {photo.shape} {photo.dtype}"
            )
        small = resize_photo(photo, self.module.size)
        image = to_tensor(small[None]).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.in_bf16):
            averaged = self.module.predict_step({"image": image})
        return make_prediction(split_batch(averaged)[0], photo.shape[:2], self.settings, photo)
