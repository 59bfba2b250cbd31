"""Batches of any photos on disk, at the network's size, for prediction."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import NamedTuple, TypedDict

import numpy as np
import torch
from torch.utils.data import Dataset

from flukeseg.data.loading import PATIENCE, WatchedLoader
from flukeseg.data.workers import one_thread, workers_that_fit
from flukeseg.errors import InputError
from flukeseg.images.reading import read_for_network
from flukeseg.images.resizing import resize_photo
from flukeseg.images.rgbm import read_rgbm
from flukeseg.prediction.inputs import InputPhoto, stamp


class PhotoFile(NamedTuple):
    """A photo as it was read.

    `photo`: the file. `size`: (height, width), upright; (0, 0) where it could not be read, and then
    `problem` says why. `orientation`: EXIF's, 1 to 8. `seconds`: of reading. `stamp`: see
    `flukeseg.prediction.inputs.stamp`.
    """

    photo: InputPhoto
    size: tuple[int, int] = (0, 0)
    orientation: int = 1
    problem: str = ""
    seconds: float = 0.0
    stamp: list[int] | None = None


class PhotoBatch(TypedDict):
    """`image`: N×3×H×W uint8 RGB, or N×4×H×W with masks, one for each readable photo of `files`, in
    their order, and then black ones up to the size of a batch. Floats would take four times the
    shared memory."""

    image: torch.Tensor
    files: list[PhotoFile]


Read = tuple[PhotoFile, np.ndarray | None]


class PhotoFiles(Dataset[Read]):
    """Photos read one by one; those that cannot be read say why and stop nothing.

    Only small images are passed on: photos at their own size would fill the memory while they wait
    for the network.

    Args:
        photos: the files.
        size: (height, width) that photos are resized to.
        max_pixels: photos with more are not decoded.
        in_channels: 4 reads files of the product `rgbm`.
    """

    def __init__(
        self,
        photos: Sequence[InputPhoto],
        size: tuple[int, int],
        max_pixels: int,
        in_channels: int = 3,
    ) -> None:
        self.photos, self.size, self.max_pixels = photos, size, max_pixels
        self.in_channels = in_channels

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Read:
        """Return a file and its photo H×W×3 uint8 RGB, or H×W×4, or None."""
        photo, started = self.photos[index], time.perf_counter()
        file = PhotoFile(photo, stamp=stamp(photo.path))
        try:
            if self.in_channels == 4:
                image, orientation = read_rgbm(photo.path, max_pixels=self.max_pixels), 1
                size = image.shape[:2]
            else:
                image, orientation, size = read_for_network(photo.path, self.size, self.max_pixels)
        except InputError as error:
            reason = str(error).removeprefix(photo.path).strip()
            return file._replace(problem=reason, seconds=time.perf_counter() - started), None
        small = resize_photo(image, self.size)
        seconds = time.perf_counter() - started
        return file._replace(size=size, orientation=orientation, seconds=seconds), small


def photo_loader(
    photos: PhotoFiles, batch_size: int, num_workers: int, patience: float = PATIENCE
) -> WatchedLoader[PhotoBatch]:
    """Return batches of every photo, in order, the last one too.

    Each is filled up with black photos to `batch_size`: how a library adds up depends on a batch's
    size, and a mask must not depend on which photos were missing when a run was started again.

    Args:
        photos: the files.
        batch_size: photos of a batch.
        num_workers: processes that load; fewer are started where there is little shared memory.
        patience: seconds to wait for a batch of theirs.
    """
    height, width = photos.size
    workers = workers_that_fit(num_workers, batch_size * photos.in_channels * height * width)
    return WatchedLoader(
        photos,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=partial(_collate, shape=(batch_size, photos.in_channels, *photos.size)),
        worker_init_fn=_start_worker,
        pin_memory=torch.cuda.is_available(),
        patience=patience,
    )


def _start_worker(worker: int) -> None:
    one_thread(worker)
    # a thread of torch's hands over batches; it prints a traceback where a job that is stopped
    # leaves in the middle of one
    print_error = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, EOFError | ConnectionError):
            print_error(kind, error, trace)

    sys.excepthook = hook


def _collate(samples: list[Read], shape: tuple[int, ...]) -> PhotoBatch:
    images = np.zeros(shape, np.uint8)
    readable = [small for _, small in samples if small is not None]
    for image, small in zip(images, readable, strict=False):
        image[:] = np.moveaxis(small, -1, 0)
    return {"image": torch.from_numpy(images), "files": [file for file, _ in samples]}
