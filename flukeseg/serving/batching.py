"""Photos of several requests, computed together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np

from flukeseg.prediction.prediction import PhotoProbability


class _Waiting(NamedTuple):
    photo: np.ndarray
    result: Future[PhotoProbability]


class Batcher:
    """Computes photos in a thread of its own: all that are waiting, up to a batch's size.

    Nothing waits for a batch to fill up: while one is computed, the photos of the next gather.

    Args:
        compute: from N×h×w×3 uint8 RGB to the probabilities of each photo.
        batch_size: most photos to compute together.
    """

    def __init__(
        self, compute: Callable[[np.ndarray], list[PhotoProbability]], batch_size: int
    ) -> None:
        self.compute, self.batch_size = compute, batch_size
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether photos are computed."""
        return self._thread.is_alive()

    def submit(self, photo: np.ndarray) -> Future[PhotoProbability]:
        """Return what will be the probabilities of a photo h×w×3 uint8 RGB.

        A result that is cancelled before its batch begins is not computed.
        """
        result: Future[PhotoProbability] = Future()
        self._queue.put(_Waiting(photo, result))
        return result

    def close(self) -> None:
        """Compute what is waiting, then end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        while is_open:
            batch = [self._queue.get()]
            while len(batch) < self.batch_size and batch[-1] is not None:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            is_open = batch[-1] is not None
            self._compute(
                [one for one in batch if one and one.result.set_running_or_notify_cancel()]
            )

    def _compute(self, batch: list[_Waiting]) -> None:
        if not batch:
            return
        try:
            found = self.compute(np.stack([one.photo for one in batch]))
        except Exception as error:  # out of memory, say: the next batch may be smaller
            for one in batch:
                one.result.set_exception(error)
            return
        for one, probability in zip(batch, found, strict=True):
            one.result.set_result(probability)
