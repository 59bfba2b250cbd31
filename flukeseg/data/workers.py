"""Loading processes: how many, and how each behaves."""

from __future__ import annotations

import os

import cv2

from flukeseg.errors import require_int


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
