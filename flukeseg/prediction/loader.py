"""Photos on disk for prediction: batches at the network's size, and parts that are seen closer."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from flukeseg.errors import InputError
from flukeseg.images.reading import read_for_network
from flukeseg.images.resizing import resize_photo
from flukeseg.images.rgbm import read_rgbm
from flukeseg.masks.geometry import Box
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


Read = tuple[PhotoFile, np.ndarray | None]

Cut = Callable[[Sequence[Box]], list[np.ndarray]]
"""Returns the pixels of boxes of one photo, H×W×3 uint8 RGB, at its own scale or a reduced one."""


class PhotoFiles:
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


def read_batches(
    photos: PhotoFiles, batch_size: int, threads: int
) -> Iterator[tuple[list[PhotoFile], np.ndarray]]:
    """Read every photo, in order; decoding releases Python's lock.

    Args:
        photos: the files.
        batch_size: of a batch; the last one may be smaller.
        threads: that read ahead; 0 reads a batch when it is asked for.

    Yields:
        The files of a batch, and the images of those that could be read, N×3×H×W uint8 RGB.
    """
    with ThreadPoolExecutor(max(threads, 1)) as pool:
        ahead: deque[Future[Read]] = deque()
        numbers = iter(range(len(photos)))
        try:
            while True:
                wanted = batch_size * (2 if threads else 1) - len(ahead)
                ahead.extend(pool.submit(photos.__getitem__, n) for n in islice(numbers, wanted))
                if not ahead:
                    return
                reads = [ahead.popleft().result() for _ in range(min(batch_size, len(ahead)))]
                small = [image for _, image in reads if image is not None]
                yield [file for file, _ in reads], stack_images(small, len(small), photos)
        finally:
            pool.shutdown(cancel_futures=True)


def stack_images(images: Sequence[np.ndarray], count: int, photos: PhotoFiles) -> np.ndarray:
    """Return images H×W×3 uint8 as N×3×H×W, filled up with black ones to a count."""
    stacked = np.zeros((count, photos.in_channels, *photos.size), np.uint8)
    for place, image in zip(stacked, images, strict=False):
        place[:] = np.moveaxis(image, -1, 0)
    return stacked


def cut_photo(pixels: np.ndarray, size: tuple[int, int], boxes: Sequence[Box]) -> list[np.ndarray]:
    """Return boxes of a photo of (height, width), as views of its pixels at any scale."""
    down, across = pixels.shape[0] / size[0], pixels.shape[1] / size[1]
    parts = []
    for box in boxes:
        top, bottom = round(box.y * down), round((box.y + box.height) * down)
        left, right = round(box.x * across), round((box.x + box.width) * across)
        parts.append(pixels[top:bottom, left:right])
    return parts


def cut_file(
    path: str | Path,
    size: tuple[int, int],
    second_size: tuple[int, int],
    max_pixels: int,
    boxes: Sequence[Box],
    content: bytes | None = None,
) -> list[np.ndarray]:
    """Read a photo again, as large as a second look at boxes needs it, and cut them out.

    Args:
        path: of the file.
        size: (height, width) of the photo when it was first read.
        second_size: (height, width) of the network's input in a second look.
        max_pixels: photos with more are refused.
        boxes: of the photo.
        content: the file's bytes where it is not on disk.

    Raises:
        InputError: it cannot be read any more, or is another one.
    """
    height, width = second_size
    wanted = (
        round(max(height * size[0] / box.height for box in boxes)),
        round(max(width * size[1] / box.width for box in boxes)),
    )
    photo, _, size_now = read_for_network(path, wanted, max_pixels, content)
    if size_now != size:
        raise InputError(f"{path} was replaced by a photo of another size")
    # copies: a view would keep all of the photo
    return [part.copy() for part in cut_photo(photo, size, boxes)]
