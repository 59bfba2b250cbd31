"""Batches of photos for torch, read by processes."""

from __future__ import annotations

import sys
from functools import partial
from types import TracebackType
from typing import TypedDict

import torch

from flukeseg.data.loading import PATIENCE, WatchedLoader
from flukeseg.data.workers import one_thread, workers_that_fit
from flukeseg.prediction.loader import PhotoFile, PhotoFiles, Read, stack_images


class PhotoBatch(TypedDict):
    """`image`: N×3×H×W uint8 RGB, or N×4×H×W with masks, one for each readable photo of `files`, in
    their order, and then black ones up to the size of a batch. Floats would take four times the
    shared memory."""

    image: torch.Tensor
    files: list[PhotoFile]


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
        collate_fn=partial(_collate, photos=photos, batch_size=batch_size),
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


def _collate(samples: list[Read], photos: PhotoFiles, batch_size: int) -> PhotoBatch:
    images = stack_images([small for _, small in samples if small is not None], batch_size, photos)
    return {"image": torch.from_numpy(images), "files": [file for file, _ in samples]}
