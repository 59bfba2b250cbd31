"""Timing of alternatives in turns, with their spread; reference speeds of the machine."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from flukeseg.errors import InputError
from flukeseg.model.precision import choose_precision, has_gpu

log = logging.getLogger(__name__)

Work = Callable[[], Any]


def take_turns(work: Mapping[str, Work], turns: int) -> dict[str, list[float]]:
    """Time several things in turns; return the seconds of every turn but the first, a warm-up.

    In turns, since on a shared machine a slow minute then slows all of them. The timer of
    `torch.utils.benchmark` would warm up twice before every turn: three times the work.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(turns + 1):
        for name, do in work.items():
            started = time.perf_counter()
            do()
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def run_program(command: Sequence[str], folder: Path | None = None) -> dict[str, float]:
    """Run a program in a folder, by default this one.

    Returns:
        `seconds`, and of its main process, not on Windows, `cpu` seconds, which other programs
        disturb less, and the peak memory in `megabytes`.

    Raises:
        InputError: it fails.
    """
    started = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        job = subprocess.Popen(command, stdout=said, stderr=said, cwd=folder)
        found = {}
        if hasattr(os, "wait4"):
            _, status, used = os.wait4(job.pid, 0)
            job.returncode = os.waitstatus_to_exitcode(status)
            found["cpu"] = used.ru_utime + used.ru_stime
            # in bytes on macOS, in KiB elsewhere
            found["megabytes"] = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        else:
            job.wait()
        seconds = time.perf_counter() - started
        if job.returncode:
            said.seek(0)
            raise InputError(f"{' '.join(command)} failed: {said.read()[-300:]}")
    return {"seconds": seconds} | found


def wait_for(device: str | torch.device) -> None:
    """Wait until a GPU has computed what it was given; a processor is done already."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def gflop(network: nn.Module, channels: int, size: tuple[int, int]) -> float:
    """Return GFLOP (two for each multiply-add) of a network for one photo of (height, width)."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, channels, *size))
    return counter.get_total_flops() / 1e9


def matrix_products() -> dict[str, tuple[Work, float]]:
    """Return matrix products by precision, each with its GFLOP: an upper bound for a network.

    In bfloat16 only where the processor computes it; elsewhere a product takes over a minute. On a
    GPU, too, if there is one.
    """
    side = 2048
    work = {}
    kinds = {"float32": torch.float32}
    if choose_precision("auto", "cpu") == "bf16-mixed":
        kinds["bfloat16"] = torch.bfloat16
    for name, kind in kinds.items():
        one, two = torch.rand(side, side).to(kind), torch.rand(side, side).to(kind)
        work[name] = (lambda a=one, b=two: a @ b, 2 * side**3 / 1e9)
    if has_gpu():
        side = 8192
        one, two = (torch.rand(side, side, device="cuda").bfloat16() for _ in range(2))

        def on_gpu() -> None:
            one @ two
            wait_for("cuda")

        work["bfloat16 on the GPU"] = (on_gpu, 2 * side**3 / 1e9)
    return work


def memory_copy() -> tuple[Work, float]:
    """Return a copy in memory, and the GB that it reads and writes."""
    source = torch.rand(64 * 2**20)
    target = torch.empty_like(source)
    return lambda: target.copy_(source), 2 * source.numel() * 4 / 1e9


def spread(values: Sequence[float], name: str) -> dict[str, float]:
    """Return the median of values under a name, with the lowest and the highest."""
    return {name: float(np.median(values)), "low": min(values), "high": max(values)}


def rate(seconds: Sequence[float], amount: float, unit: str) -> dict[str, float]:
    """Return an amount per second: median, lowest and highest."""
    return spread([amount / value for value in seconds], unit) | {"turns": len(seconds)}


def log_table(title: str, rows: Mapping[str, Mapping[str, float]]) -> None:
    """Log rows of values in columns."""
    log.info("\n%s", title)
    for name, row in rows.items():
        cells = "  ".join(f"{key} {value:.4g}" for key, value in row.items())
        log.info("  %-20s %s", name, cells)
