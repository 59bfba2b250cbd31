"""Batches of any photos on disk, at the network's size, for prediction."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from flukeseg.data.workers import one_thread
from flukeseg.errors import InputError
from flukeseg.images.reading import read_for_network
from flukeseg.images.resizing import resize_photo
from flukeseg.images.tensors import to_tensor
from flukeseg.prediction.inputs import InputPhoto, stamp


class PhotoFile(NamedTuple):
    """A photo as it was found.

    `size`: (height, width), upright; (0, 0) where it could not be read, and then `problem` says
    why. `orientation`: EXIF's, 1 to 8. `seconds`: of reading. `stamp`: see `sources.stamp`.
    """

    source: InputPhoto
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    problem: str = ""
    seconds: float = 0.0
    stamp: list[int] | None = None


class PhotoBatch(TypedDict):
    """`image`: N×3×H×W float32 RGB in 0..1, one for each readable photo of `files`, in their order,
    and then empty ones up to the size of a batch."""

    image: torch.Tensor
    files: list[PhotoFile]


Read = tuple[PhotoFile, np.ndarray | None]


class PhotoFiles(Dataset[Read]):
    """Photos read one by one; those that cannot be read say why and stop nothing.

    Only small images are passed on: a photo of its own size would wait in memory for the network.

    Args:
        sources: the files.
        size: (height, width) of what the network sees.
        max_pixels: photos with more are not decoded.
    """

    def __init__(
        self, sources: Sequence[InputPhoto], size: tuple[int, int], max_pixels: int
    ) -> None:
        self.sources, self.size, self.max_pixels = sources, size, max_pixels

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> Read:
        """Return a file and its photo H×W×3 uint8 RGB, or None."""
        source, started = self.sources[index], time.perf_counter()
        found = PhotoFile(source, stamp=stamp(source.path))
        try:
            photo, orientation, size = read_for_network(source.path, self.size, self.max_pixels)
        except InputError as error:
            reason = str(error).removeprefix(source.path).strip()
            return found._replace(problem=reason, seconds=time.perf_counter() - started), None
        small = resize_photo(photo, self.size)
        seconds = time.perf_counter() - started
        return found._replace(size=size, orientation=orientation, seconds=seconds), small


def photo_loader(photos: PhotoFiles, batch_size: int, num_workers: int) -> DataLoader[PhotoBatch]:
    """Batches of every photo, in order, the last one too.

    Each is filled up with empty photos to `batch_size`: how a library adds up depends on a batch's
    size, and a mask must not depend on which photos were missing when a run was started again.
    """

    return DataLoader(
        photos,
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=partial(_collate, batch_size=batch_size, size=photos.size),
        worker_init_fn=one_thread,
        pin_memory=torch.cuda.is_available(),
    )


def _collate(samples: list[Read], batch_size: int, size: tuple[int, int]) -> PhotoBatch:
    images = np.zeros((batch_size, *size, 3), np.uint8)
    readable = [small for _, small in samples if small is not None]
    for image, small in zip(images, readable, strict=False):
        image[:] = small
    return {
        "image": to_tensor(images),
        "files": [file for file, _ in samples],
    }
