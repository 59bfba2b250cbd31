"""Flukes from Python: `Segmenter()("photo.jpg").mask`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from PIL.Image import Image
from PIL.ImageOps import exif_transpose

from flukeseg.errors import InputError
from flukeseg.images.reading import convert_picture, read_photo
from flukeseg.images.resizing import resize_photo
from flukeseg.images.rgbm import read_rgbm
from flukeseg.masks.probability import PhotoProbability
from flukeseg.model.precision import choose_precision
from flukeseg.model.runtimes import RuntimePredictor
from flukeseg.prediction.loader import Cut, cut_photo
from flukeseg.prediction.prediction import Prediction, make_prediction
from flukeseg.prediction.settings import PredictionSettings
from flukeseg.pretrained import locate

if TYPE_CHECKING:
    import torch

Photo: TypeAlias = "str | Path | np.ndarray | torch.Tensor | Image"


class Segmenter:
    """Segments one photo after another, or lists of them.

    Args:
        settings: what of them concerns masks; products are up to the caller. Without, those of
            the network that comes with flukeseg.
        device: of torch; other runtimes compute on the processor.

    Raises:
        InputError: a checkpoint cannot be loaded.
    """

    def __init__(
        self, settings: PredictionSettings | None = None, device: str | torch.device = "cpu"
    ) -> None:
        self.settings, self.device = settings or PredictionSettings(), device
        self.looker = self.settings.load_looker()
        self.predictor = self.looker.predictor
        kind = str(device).partition(":")[0]
        self.in_bf16 = choose_precision(self.settings.precision, kind) == "bf16-mixed"
        if not isinstance(self.predictor, RuntimePredictor):
            self.predictor.to(device)

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
            **settings: others of `PredictionSettings`, such as `tta`, `size`, `masks`, `runtime`,
                `networks`.

        Raises:
            InputError: a checkpoint cannot be loaded, or a setting is out of range.
        """
        paths = [path] if isinstance(path, str | Path) else path
        checkpoints = tuple(str(path) for path in paths)
        return cls(PredictionSettings(checkpoints, **settings), device)

    @classmethod
    def from_pretrained(
        cls, name: str = "rendered", device: str | torch.device = "cpu", **settings: Any
    ) -> Segmenter:
        """Load a network of `flukeseg.pretrained.NETWORKS`, fetched where it is not here yet.

        Raises:
            InputError: there is none of this name, or it cannot be fetched.
        """
        return cls.from_checkpoint(locate(name), device, **settings)

    def __repr__(self) -> str:
        """Return checkpoints, size, TTA, runtime and device in a line."""
        height, width = self.predictor.size
        return (
            f"Segmenter({', '.join(self.settings.checkpoints)}: {width} × {height}, "
            f"tta={self.settings.tta}, {self.predictor.runtime} on {self.device})"
        )

    @overload
    def __call__(self, photo: Photo) -> Prediction: ...

    @overload
    def __call__(self, photo: list[Photo] | tuple[Photo, ...]) -> list[Prediction]: ...

    def __call__(
        self, photo: Photo | list[Photo] | tuple[Photo, ...]
    ) -> Prediction | list[Prediction]:
        """Segment a photo of any size, or a list of photos in batches of `batch_size`.

        Args:
            photo: a file; a picture of PIL, which is taken as its file would be; an upright array,
                H×W×3 RGB or H×W grey, uint8; or a tensor, 3×H×W, 1×H×W or H×W, uint8 or
                float in 0..1. For a network of four channels, a file of `rgbm`, an RGBA picture,
                an array H×W×4 or a tensor 4×H×W.

        Raises:
            InputError: the file cannot be read, or the photo is of another kind.
        """
        if not isinstance(photo, list | tuple):
            return self._segment([photo])[0]
        step = self.settings.batch_size
        starts = range(0, len(photo), step)
        return [found for start in starts for found in self._segment(photo[start : start + step])]

    def _segment(self, batch: Sequence[Photo]) -> list[Prediction]:
        photos = [self._read(photo) for photo in batch]
        small = np.stack([resize_photo(photo, self.predictor.size) for photo in photos])
        sizes = [(photo.shape[0], photo.shape[1]) for photo in photos]
        cuts = [partial(cut_photo, *pair) for pair in zip(photos, sizes, strict=True)]
        looked = self.look(small, sizes, cuts)
        masks = self.settings.masks
        return [
            make_prediction(seen, size, masks, np.ascontiguousarray(photo[..., :3]))
            for seen, size, photo in zip(looked, sizes, photos, strict=True)
        ]

    def look(
        self, photos: np.ndarray, sizes: Sequence[tuple[int, int]], cuts: Sequence[Cut]
    ) -> list[PhotoProbability]:
        """Look at photos, and again at their flukes where that pays, see `Looker`.

        Args:
            photos: N×h×w×C uint8 of `predictor.size`.
            sizes: (height, width) of each upright photo.
            cuts: what gives the pixels of its parts.
        """
        with self.in_precision():
            images = np.ascontiguousarray(np.moveaxis(photos, -1, 1))
            return self.looker.look_again(self.looker.look_once(images, sizes), sizes, cuts)

    def in_precision(self) -> AbstractContextManager[Any]:
        """Return the context in which torch computes; nothing for other runtimes."""
        if isinstance(self.predictor, RuntimePredictor):
            return nullcontext()
        import torch

        return torch.autocast(self.predictor.device.type, torch.bfloat16, enabled=self.in_bf16)

    def _read(self, photo: Photo) -> np.ndarray:
        """Return a photo as H×W×3 uint8 RGB, or H×W×4 with its mask."""
        channels, most = self.predictor.in_channels, self.settings.max_pixels
        if isinstance(photo, str | Path):
            return read_rgbm(photo, None, most) if channels == 4 else read_photo(photo, most)
        if isinstance(photo, Image):
            kept = channels == 4 and photo.mode == "RGBA"
            photo = np.asarray(exif_transpose(photo)) if kept else convert_picture(photo)
        # whoever has a tensor has imported torch
        if (torch := sys.modules.get("torch")) and isinstance(photo, torch.Tensor):
            photo = _tensor_to_array(photo)
        if not isinstance(photo, np.ndarray):
            raise InputError(
                "a photo must be a path, a picture of PIL, an array or a tensor, not "
                f"{type(photo).__name__}"
            )
        if photo.ndim == 2 and channels == 3:
            photo = np.repeat(photo[..., None], 3, axis=2)
        if photo.dtype != np.uint8 or photo.ndim != 3 or not photo.size:
            raise InputError(
                f"a photo must be an array H×W×3 or H×W uint8, not {photo.shape} {photo.dtype}"
            )
        if photo.shape[2] != channels:
            raise InputError(f"a photo must have {channels} channels, not {photo.shape[2]}")
        return photo


def _tensor_to_array(photo: torch.Tensor) -> np.ndarray:
    """Return a photo C×H×W or H×W, uint8 or float in 0..1, as H×W×C or H×W uint8."""
    import torch

    if photo.is_floating_point():
        if not bool(((photo >= 0) & (photo <= 1)).all()):
            raise InputError("a photo must be a tensor in 0..1, or uint8; it has other values")
        photo = (photo.float() * 255).round().to(torch.uint8)
    photo = photo.detach().cpu()
    if photo.ndim == 3:
        photo = photo[0] if photo.shape[0] == 1 else photo.permute(1, 2, 0)
    return np.ascontiguousarray(photo.numpy())
