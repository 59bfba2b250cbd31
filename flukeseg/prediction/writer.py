"""What writes a prediction's files while the network computes the next photos."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import BoundedSemaphore
from typing import Any

from tqdm import tqdm

from flukeseg.data.workers import available_processors
from flukeseg.errors import InputError
from flukeseg.masks.drawing import draw_thumbnail
from flukeseg.masks.mask_settings import MaskSettings
from flukeseg.masks.probability import PhotoProbability
from flukeseg.prediction.folder import PredictionFolder
from flukeseg.prediction.inputs import stamp
from flukeseg.prediction.journal import read_row_photo
from flukeseg.prediction.kept_masks import mask_name
from flukeseg.prediction.loader import PhotoFile
from flukeseg.prediction.page import thumbnail_path
from flukeseg.prediction.prediction import make_prediction
from flukeseg.prediction.products import ProductSettings, encode_products
from flukeseg.prediction.table import describe

THREADS = min(max(2, available_processors() // 2), 8)
"""Threads that resize, clean, encode and write; all of these release Python's lock."""


class ProductWriter:
    """Makes the products of each photo and adds its line to the journal, in threads.

    Args:
        folder: the output.
        masks: how masks are made.
        products: what is made of them.
        constants: columns that are the same for every photo.
        max_pixels: photos with more are not decoded.
        total: number of photos, for the progress bar.
    """

    def __init__(
        self,
        folder: PredictionFolder,
        masks: MaskSettings,
        products: ProductSettings,
        constants: dict[str, Any],
        max_pixels: int,
        total: int,
    ) -> None:
        self.folder, self.masks, self.products = folder, masks, products
        self.constants, self.max_pixels, self.total = constants, max_pixels, total
        self.threads: ThreadPoolExecutor | None = None
        self.problem: BaseException | None = None

    def __enter__(self) -> ProductWriter:
        """Start."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        """Wait until all is written, after Ctrl-C too.

        Raises:
            InputError: a photo's files could not be written.
        """
        self.stop() if kind else self.finish()

    def start(self) -> None:
        """Start threads and progress bar."""
        # first, as drawing it can be interrupted: torch raises wherever Python is when a loading
        # process dies, and `stop` closes the bar where there are threads
        self.bar = tqdm(total=self.total, unit="photo", smoothing=0.05, dynamic_ncols=True)
        # where writing is slower the network waits, and memory does not grow
        self.room = BoundedSemaphore(8 * THREADS)
        self.threads = ThreadPoolExecutor(THREADS)

    def write(
        self,
        files: Sequence[PhotoFile],
        seen: Sequence[PhotoProbability],
        seconds: float,
    ) -> None:
        """Hand each photo of a batch to a thread.

        Args:
            files: of the photos.
            seen: of those that could be read, in order, with their pixels.
            seconds: that the network took.

        Raises:
            InputError: an earlier photo's files could not be written.
        """
        each = seconds / len(files)
        readable = iter(seen)
        for file in files:
            coarse = None if file.problem else next(readable)
            self.room.acquire()
            self.threads.submit(self._finish, file, coarse, each)
        if self.problem:
            raise self.problem

    def finish(self) -> None:
        """Wait for the threads.

        Raises:
            InputError: a photo's files could not be written.
        """
        self.stop()
        if self.problem:
            raise self.problem

    def stop(self) -> None:
        """Let the threads finish what they have begun."""
        if self.threads:
            self.threads.shutdown()
            self.bar.close()
            self.threads = None

    def _finish(
        self,
        file: PhotoFile,
        coarse: PhotoProbability | None,
        seconds: float,
    ) -> None:
        try:
            if not self.problem:
                self._make_and_enter(file, coarse, seconds)
                self.bar.update()
        except BaseException as error:  # raised again where the batches are handed out
            self.problem = error
        finally:
            self.room.release()

    def _make_and_enter(
        self,
        file: PhotoFile,
        coarse: PhotoProbability | None,
        seconds: float,
    ) -> None:
        started = time.perf_counter()
        photo = prediction = None
        before = self.folder.row_before(file.photo.key) or {}
        # those of an earlier call too: they would be of another mask than the row
        wanted = self.products.including(before.get("products", ()))
        if coarse is not None and wanted.needs_photo:
            try:
                # read again: photos kept until the network is done would fill the memory
                line = {"key": file.photo.path, "stamp": file.stamp, **self.constants}
                photo = read_row_photo(line, self.max_pixels)
            except InputError as error:  # it was there a moment ago
                file, coarse = file._replace(problem=str(error)), None
        row: dict[str, Any] = {"key": file.photo.key, "name": file.photo.name}
        if "mask_sha256" in before:
            row["mask_sha256"] = before["mask_sha256"]
        names: list[str] = []
        sizes: list[int] = []
        if coarse is not None:
            prediction = make_prediction(coarse, file.size, self.masks, photo)
            for name, content in encode_products(prediction, file.photo.name, wanted):
                if not names and not self._write_mask(name, content, row):
                    return  # a person changed it since the run began
                if names:
                    self.folder.write(self.folder.folder / name, content)
                names.append(name)
                sizes.append(len(content))
            path = thumbnail_path(self.folder.state, file.photo.name)
            self.folder.write(path, draw_thumbnail(coarse.image, prediction.mask))
        row |= describe(file, prediction, wanted.with_anatomy) | self.constants
        if names:
            row["mask"] = names[0]
        row["seconds"] = round(file.seconds + seconds + time.perf_counter() - started, 3)
        for name in {*before.get("files", ())} - {*names, mask_name(row["name"])}:
            (self.folder.folder / name).unlink(missing_ok=True)  # of flukes that are gone
        self.folder.add_row(
            row
            | {"generation": self.folder.generation}
            | {"files": names, "sizes": sizes, "products": sorted({"mask", *wanted.products})}
            | {"stamp": file.stamp, "written": time.time()}
        )

    def _write_mask(self, name: str, content: bytes, row: dict[str, Any]) -> bool:
        """Write a mask unless a person's is there, and note its hash in the row.

        Returns:
            False where the journal has a line of a person's mask already.
        """
        path, digest = self.folder.folder / name, hashlib.sha256(content).hexdigest()
        with self.folder.kept.locked():
            is_known = "mask_sha256" in row
            is_kept = self.folder.kept.is_kept({**row, "mask": name})
            if is_kept and is_known:
                return False
            # a mask without a line is of a run that was killed, or a person put it there. A
            # person's, and one with a verdict, gets a line, and is followed as a correction is
            if not is_kept and (is_known or not self.folder.kept.is_foreign(path, digest)):
                self.folder.kept.take_back(row, digest)
                self.folder.write_mask(path, content, digest)
                row["mask_stamp"] = stamp(path)
        row["mask_sha256"] = digest
        return True
