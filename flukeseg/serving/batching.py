"""Photos of several requests, computed together."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Waiting(NamedTuple, Generic[Item, Result]):
    item: Item
    result: Future[Result]


class Batcher(Generic[Item, Result]):
    """Computes items in a thread of its own: all that are waiting, up to a batch's size.

    Nothing waits for a batch to fill up: while one is computed, the items of the next gather.

    Args:
        compute: from items to the result of each.
        batch_size: most items to compute together.
    """

    def __init__(self, compute: Callable[[list[Item]], list[Result]], batch_size: int) -> None:
        self.compute, self.batch_size = compute, batch_size
        self._queue: queue.SimpleQueue[_Waiting[Item, Result] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether items are computed."""
        return self._thread.is_alive()

    def submit(self, item: Item) -> Future[Result]:
        """Return what will be the result of an item.

        One that is cancelled before its batch begins is not computed.
        """
        result: Future[Result] = Future()
        self._queue.put(_Waiting(item, result))
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

    def _compute(self, batch: list[_Waiting[Item, Result]]) -> None:
        if not batch:
            return
        try:
            found = self.compute([one.item for one in batch])
        except Exception as error:  # out of memory, say: the next batch may be smaller
            for one in batch:
                one.result.set_exception(error)
            return
        for one, result in zip(batch, found, strict=True):
            one.result.set_result(result)
