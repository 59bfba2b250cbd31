"""Loading processes: how many, and how each behaves."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

import cv2

from flukeseg.errors import require_int

log = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")
"""Through which loading processes hand over batches on Linux; 64 MB in a container by default."""

SOCKET_NAME = len("/pymp-01234567/listener-01234567")
"""Characters that Python adds to the temporary folder for the sockets of loading processes."""


def loading_processes(key: str, wanted: int | None) -> int:
    """Return the number that an option gave; for None half the processors, at most 8.

    Raises:
        InputError: it is no whole number of at least 0.
    """
    if wanted is not None:
        return require_int(key, wanted, least=0)
    return min(8, available_processors() // 2)


def available_processors() -> int:
    """Return how many processors this process may use."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return own or 1


def one_thread(worker: int = 0) -> None:
    """Keep OpenCV from starting a thread for each core in every process of several."""
    cv2.setNumThreads(0)


def workers_that_fit(workers: int, batch_bytes: int) -> int:
    """Return how many loading processes, at most `workers`, can hand over their batches.

    Where the shared memory is full, or their sockets cannot be named, the job would wait for ever.
    On macOS and Windows shared memory has no limit of its own, and Windows needs no sockets.

    Args:
        workers: wanted.
        batch_bytes: of the tensors of one batch.
    """
    # the system takes a path of 104 to 108 bytes, its end included
    longest = 103 if sys.platform == "darwin" else 107
    folder = tempfile.gettempdir()
    if workers and os.name != "nt" and len(os.fsencode(folder)) + SOCKET_NAME > longest:
        log.warning(
            "no loading processes: the path of the folder for temporary files, %s, is too long for "
            "their sockets; set TMPDIR to one of at most %d characters",
            *(folder, longest - SOCKET_NAME),
        )
        return 0
    if not SHARED_MEMORY.is_dir():
        return workers
    free = shutil.disk_usage(SHARED_MEMORY).free
    # each prepares two batches ahead; one is in use, and one on its way
    fitting = min(workers, max(0, (free // batch_bytes - 2) // 2))
    if fitting < workers:
        log.warning(
            "%d rather than %d loading processes: %s has %d MB free; give the container more "
            "(docker run --shm-size=1g)",
            *(fitting, workers, SHARED_MEMORY, free // 2**20),
        )
    return fitting
