"""Memory that a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Parameters of mallopt(3), by their numbers in glibc's malloc.h."""

PAD = 256 * 2**20
"""Bytes that glibc asks the system for beyond those that it needs."""


def keep_freed_memory() -> bool:
    """Have glibc keep what this process frees, for good.

    By default it gives every large block back to the system and is given it again, emptied page by
    page: a sixth of the time of a training step on a processor.

    Returns:
        Whether it does; other C libraries manage memory in their own way.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = (MMAP_MAX, 0), (TRIM_THRESHOLD, -1), (TOP_PAD, PAD)
    return all([mallopt(parameter, value) == 1 for parameter, value in settings])
