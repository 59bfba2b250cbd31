"""A loader whose processes may be killed or get stuck, and what to say then."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from torch.utils.data import DataLoader

from flukeseg.errors import InputError

PATIENCE = 600
"""Seconds to wait for a batch; the slowest disk is quicker."""

CHECK_EVERY = 5
"""Seconds between checks whether all loading processes are alive."""

Batch = TypeVar("Batch")


class WatchedLoader(DataLoader[Batch]):
    """A loader that notices killed processes at once or within seconds, and waits for slow ones.

    torch (2.14) either checks on its processes while it waits, and waits for ever for one that is
    stuck, or waits for a given time without checking; and a process that is killed while the next
    one is started goes unnoticed by its signal.

    Args:
        dataset: what is loaded.
        num_workers: loading processes.
        patience: seconds to wait for a batch of theirs.
        options: of torch's loader.
    """

    def __init__(
        self, dataset: Any, *, num_workers: int = 0, patience: float = PATIENCE, **options: Any
    ) -> None:
        options["timeout"] = min(CHECK_EVERY, patience) if num_workers else 0
        super().__init__(dataset, num_workers=num_workers, **options)
        self.patience = patience

    def __iter__(self) -> Any:
        """Return the batches."""
        return self._wait_for_each(super().__iter__())

    def _wait_for_each(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        waited = 0.0
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except InputError as error:  # torch puts the traceback of its process before it
                raise InputError(str(error).rpartition("InputError: ")[2].strip()) from None
            except RuntimeError as error:  # the only class torch has for it
                waited += self.timeout
                if "timed out" not in str(error) or waited >= self.patience:
                    raise
            else:
                waited = 0
                yield batch


@contextmanager
def explain_loading_errors(go_on: str) -> Iterator[None]:
    """Say in a sentence that a loading process was killed, or gave nothing for too long.

    Args:
        go_on: the end of the sentence, after "what is done is kept".

    Raises:
        InputError: one of these.
        SystemExit: it was ended as the job is: by SIGTERM.
    """
    try:
        yield
    except RuntimeError as error:
        if not (reason := str(error)).startswith("DataLoader"):
            raise
        if str(signal.strsignal(signal.SIGTERM)) in reason:  # sent to the job's processes together
            raise SystemExit(128 + signal.SIGTERM) from error
        raise InputError(
            f"loading photos failed ({reason.splitlines()[0].rstrip('. ')}); what is done is kept: "
            f"{go_on}, with fewer loading processes if memory ran out"
        ) from error
