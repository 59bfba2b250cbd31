"""Fair clocks: what is compared takes turns, and each figure comes with its spread."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

log = logging.getLogger(__name__)


class Timing(NamedTuple):
    """Seconds of several turns: median, least and most."""

    median: float
    low: float
    high: float
    turns: int

    @classmethod
    def of(cls, seconds: list[float]) -> Timing:
        """Sum up turns."""
        return cls(float(np.median(seconds)), min(seconds), max(seconds), len(seconds))


def take_turns(work: Mapping[str, Callable[[], Any]], turns: int) -> dict[str, Timing]:
    """Time several things one after the other, again and again.

    On a shared machine a slow minute then hits all of them. The first turn, which fills caches, is
    not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(turns + 1):
        for name, do in work.items():
            started = time.perf_counter()
            do()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return {name: Timing.of(own) for name, own in seconds.items()}


def products() -> dict[str, tuple[Callable[[], Any], float]]:
    """Plain matrix products by precision, each with its GFLOP: what a network could reach."""
    side = 2048
    work = {}
    for name, kind in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        one, two = torch.rand(side, side).to(kind), torch.rand(side, side).to(kind)
        work[name] = (lambda a=one, b=two: a @ b, 2 * side**3 / 1e9)
    return work


def copying() -> tuple[Callable[[], Any], float]:
    """A plain copy, with the GB it reads and writes."""
    source = torch.rand(64 * 2**20)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2 * source.numel() * 4 / 1e9


def speed(timing: Timing, amount: float, unit: str) -> dict[str, float]:
    """Return an amount a second: median, least and most."""
    return {
        unit: amount / timing.median,
        "low": amount / timing.high,
        "high": amount / timing.low,
        "turns": timing.turns,
    }


def table(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Say figures in columns."""
    log.info("\n%s", title)
    for name, row in rows.items():
        cells = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        log.info("  %-20s %s", name, cells)
