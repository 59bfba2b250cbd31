"""Memory that a training step frees is kept for the next one."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
"""Parameters of mallopt(3), by their numbers in glibc's malloc.h."""

KEPT = {MMAP_MAX: 0, TRIM_THRESHOLD: -1, TOP_PAD: 256 * 2**20}
"""No block of its own for what is large, nothing given back, and much asked for at once."""

USUAL = {MMAP_MAX: 65536, TRIM_THRESHOLD: 128 * 2**10, TOP_PAD: 128 * 2**10}
"""What glibc begins with."""


@contextmanager
def keep_freed_memory() -> Iterator[bool]:
    """Have glibc keep what this process frees.

    By default it gives every large block back to the system and is given it again, emptied page by
    page: a sixth of the time of a training step on a processor, or more.

    Yields:
        Whether it does; other C libraries manage memory in their own way.
    """
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    mallopt = getattr(library, "mallopt", None)
    if library is None or mallopt is None:
        yield False
        return
    try:
        yield _set(mallopt, KEPT)
    finally:
        _set(mallopt, USUAL)
        library.malloc_trim(0)


def _set(mallopt: Callable[[int, int], int], values: dict[int, int]) -> bool:
    return all([mallopt(parameter, value) == 1 for parameter, value in values.items()])
